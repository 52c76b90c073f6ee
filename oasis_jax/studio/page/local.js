/** The transport of a page without a server: the page contains network, runtime and examples, and computes noise and heatmaps itself. */
import {fromBase64} from "./base64.js";
import {heatmapsOf} from "./seeds.js";
import {tableMaker} from "./noise_table.js";
import {openFile} from "./open_file.js";
import {readIndices} from "./read_png.js";

/** Starts a worker from the source of `inference_worker.js`; returns a function from a message to a Promise of the answer. */
function callWorker(source) {
  const address = URL.createObjectURL(new Blob([source], {type: "text/javascript"}));
  const worker = new Worker(address);
  const waiting = new Map();
  let number = 0;
  worker.onmessage = ({data}) => {
    const {resolve, reject} = waiting.get(data.number);
    waiting.delete(data.number);
    if (data.error) reject(new Error(data.error));
    else resolve(data);
  };
  worker.onerror = (event) => {
    for (const {reject} of waiting.values()) reject(new Error(`the network cannot be run in this browser: ${event.message ?? "no reason is given"}`));
    waiting.clear();
  };
  return (message) =>
    new Promise((resolve, reject) => {
      waiting.set(++number, {resolve, reject});
      worker.postMessage({number, ...message});
    });
}

/** The heatmaps of an image's seeds, linearly interpolated if there are two. */
function heatmapsBetween({seed, end = null, t = 0}, rule) {
  const start = heatmapsOf(seed, rule);
  if (end === null) return start;
  const other = heatmapsOf(end.seed, rule);
  return start.map((row, map) => row.map((each, i) => (1 - t) * each + t * other[map][i]));
}

/**
 * The transport of `mount`; resolves when the network is ready.
 *
 * `facts` is {info, files (the rule of `readLabelMap`), noise_length, heatmaps (the rule of `heatmapsOf`), examples}. An example is
 * {name, notice, labels, photo}; labels and photo are PNG files in base64, and photo is optional. The second argument is
 * {worker, runtime, glue (script texts), wasm, model (Uint8Array)}.
 */
export async function localTransport(facts, {worker, ...parts}) {
  const {info} = facts;
  const {classes} = info;
  const call = callWorker(worker);
  await call({start: parts});
  const makeTable = tableMaker(classes, facts.noise_length);
  const photoOf = async (base64) => {
    const picture = await createImageBitmap(new Blob([fromBase64(base64)], {type: "image/png"}));
    const context = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
    context.drawImage(picture, 0, 0);
    const {data} = context.getImageData(0, 0, picture.width, picture.height);
    return data.filter((_, i) => i % 4 !== 3);
  };

  return {
    info: async () => info,
    heatmaps: async (seed) => heatmapsOf(seed, facts.heatmaps),
    async render(image, {signal} = {}) {
      signal?.throwIfAborted();
      const {height, width} = image;
      const {ids, table, rows} = makeTable(image);
      const feeds = {
        ids: {type: "int32", data: ids, dims: [height, width]},
        table: {type: "float32", data: table, dims: [rows, table.length / rows]},
      };
      if (info.spatial) {
        const maps = image.heatmaps ?? heatmapsBetween(image, facts.heatmaps);
        feeds.heatmaps = {type: "float32", data: Float32Array.from(maps.flat()), dims: [maps.length, 3]};
      }
      const {data, dims} = await call({feeds});
      return {height: dims[0], width: dims[1], rgb: data, top: 0, left: 0, exact: true};
    },
    open: (file, name) => openFile(file, name, info, facts.files),
    async example(name) {
      const found = facts.examples.find((each) => each.name === name);
      if (!found) throw new Error(`there is no example ${name}`);
      const {height, width, values} = await readIndices(fromBase64(found.labels));
      const labels = classes.length > 256 ? values : Uint8Array.from(values);
      return {height, width, labels, notice: found.notice, photo: found.photo ? await photoOf(found.photo) : null};
    },
  };
}
