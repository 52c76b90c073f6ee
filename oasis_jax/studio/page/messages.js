/** Messages between the page and the program that computes images: length of the header, JSON header, then the bytes of maps. */
import {newName} from "./random.js";

function packed(header, ...maps) {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const size = new DataView(new ArrayBuffer(4));
  size.setUint32(0, text.length, true);
  return new Blob([size, text, ...maps.filter(Boolean)], {type: "application/octet-stream"});
}

/** The parts {header, rest} of a message (ArrayBuffer). */
export function unpacked(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  return {header: JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size))), rest: buffer.slice(4 + size)};
}

/** The header of an image, with only the fields that the model takes; others would be refused. */
export function headerOf(image, info) {
  const side = ({seed, class_seeds}) => (info.labels ? {seed, class_seeds} : {seed});
  const header = {height: image.height, width: image.width, ...side(image), end: image.end && side(image.end), t: image.t};
  if (info.labels) header.regions = image.regions;
  if (info.spatial) header.heatmaps = image.heatmaps;
  if (info.styles) Object.assign(header, {truncation: image.truncation, style_seeds: image.style_seeds});
  return header;
}

/** The message (Blob) that describes an image; `more` has additional fields of the header. */
export function messageOf(image, info, more) {
  const maps = info.labels ? [image.labels, image.regions.length ? image.regionMap : null] : [];
  return packed({...headerOf(image, info), ...more}, ...maps);
}

/** The image in a message, a label map alone or a whole recipe; `tail` has the remaining bytes. Throws an Error for one of another model. */
function imageIn({header: {model_id: answering, ...header}, rest}, info) {
  if (answering !== info.model_id) {
    throw Object.assign(new Error("this page was opened with another model than the one that runs now: reload the page"), {ofAnotherModel: true});
  }
  const size = header.height * header.width;
  const bytes = info.classes.length > 256 ? 2 : 1;
  const labels = info.labels ? new (bytes === 2 ? Uint16Array : Uint8Array)(rest.slice(0, bytes * size)) : null;
  const after = info.labels ? bytes * size : 0;
  const regionMap = header.regions?.length ? new Uint8Array(rest.slice(after, after + size)) : null;
  return {...header, labels, regionMap, tail: new Uint8Array(rest.slice(after + (regionMap ? size : 0)))};
}

/**
 * The five functions of a transport, as `mount` takes them.
 *
 * @param ask (what, {name, body (Blob or text), signal}) -> Promise of {header, rest (ArrayBuffer)}: sends a request.
 * @param tab name of this page: its previews start from its own last exact image.
 */
export function transportOver(ask, tab = newName()) {
  let info = null;
  return {
    async info() {
      return (info = (await ask("info")).header);
    },
    async render(image, {preview = null, signal, background = false} = {}) {
      const more = {preview, tab: background ? undefined : tab, model_id: info.model_id};
      const {header, rest} = await ask("render", {body: messageOf(image, info, more), signal});
      return {...header, rgb: new Uint8Array(rest)};
    },
    async open(file, name) {
      return imageIn(await ask("open", {body: file, name}), info);
    },
    async example(name) {
      const {tail, ...image} = imageIn(await ask("example", {name}), info);
      return {...image, photo: tail.length ? tail : null};
    },
    async heatmaps(seed) {
      return (await ask("heatmaps", {body: JSON.stringify({seed})})).header.heatmaps;
    },
  };
}
