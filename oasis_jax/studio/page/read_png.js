/** Class ids of a PNG without a server: palette indices, grey levels, or colours of the palette. The browser's own decoder gives colours alone. */

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}; // by colour type
const MOST_PIXELS = 4096 * 4096;

/** {header, palette, data} of the chunks of a PNG; `bytes` is a Uint8Array. */
function chunksOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (SIGNATURE.some((each, i) => bytes[i] !== each)) throw new Error("it is not a PNG file: save the label map as PNG");
  const found = {palette: null, data: []};
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (body.length < length) break;
    if (type === "IHDR" && length === 13) {
      const [width, height] = [view.getUint32(at + 8), view.getUint32(at + 12)];
      found.header = {width, height, depth: body[8], type: body[9], interlaced: body[12] !== 0};
    }
    if (type === "PLTE") found.palette = body;
    if (type === "IDAT") found.data.push(body);
    if (type === "IEND") return found;
    at += length + 12;
  }
  throw new Error("the file ends too early: it is damaged");
}

async function inflate(parts, expected) {
  const reader = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  const bytes = new Uint8Array(expected);
  for (let filled = 0; ; ) {
    const {done, value} = await reader.read().catch(() => {
      throw new Error("its data cannot be decompressed: the file is damaged");
    });
    if (done) {
      if (filled < expected) throw new Error("the file ends too early: it is damaged");
      return bytes;
    }
    bytes.set(value.subarray(0, expected - filled), filled);
    filled += Math.min(value.length, expected - filled);
  }
}

function paeth(left, up, corner) {
  const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

/** Undoes the filters of the rows of `stride` bytes, each behind a byte that names its filter; in place. */
function unfilter(bytes, height, stride, unit) {
  const rows = [];
  for (let y = 0; y < height; y++) {
    const filter = bytes[y * (stride + 1)];
    const row = bytes.subarray(y * (stride + 1) + 1, (y + 1) * (stride + 1));
    const above = rows[y - 1];
    for (let x = 0; x < stride; x++) {
      const left = x >= unit ? row[x - unit] : 0;
      const up = above ? above[x] : 0;
      const corner = above && x >= unit ? above[x - unit] : 0;
      row[x] += [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter] ?? 0;
    }
    rows.push(row);
  }
  return rows;
}

/** Reads {height, width, values (one number for each pixel and channel), channels, palette (RGB bytes or null)}. Throws an Error for people. */
async function decode(bytes) {
  const {header, palette, data} = chunksOf(bytes);
  const channels = CHANNELS[header?.type];
  if (!channels || header.interlaced) throw new Error("PNG files of this kind (interlaced) are not read here: save it without interlacing");
  const {width, height, depth} = header;
  if (!width || !height || width * height > MOST_PIXELS) throw new Error(`it has ${width} x ${height} pixels, which is too large`);
  const stride = Math.ceil((width * channels * depth) / 8);
  const rows = unfilter(await inflate(data, height * (stride + 1)), height, stride, Math.max(1, (channels * depth) >> 3));
  const values = new Uint16Array(width * height * channels);
  rows.forEach((row, y) => {
    for (let i = 0; i < width * channels; i++) {
      const shift = 8 - depth - ((i * depth) & 7);
      values[y * width * channels + i] = depth === 16 ? (row[2 * i] << 8) | row[2 * i + 1] : (row[(i * depth) >> 3] >> shift) & ((1 << depth) - 1);
    }
  });
  return {height, width, values, channels, depth, palette: header.type === 3 ? palette : null};
}

/** What the pixels of a PNG of one channel are stored as: {height, width, values}. */
export async function readIndices(bytes) {
  const {height, width, values, channels} = await decode(bytes);
  if (channels !== 1) throw new Error("it is a PNG of several channels, but should have a palette or be grey");
  return {height, width, values};
}

/** A label map in another size, by nearest neighbour. */
export function resizeNearest({labels, ...from}, to) {
  if (from.height === to.height && from.width === to.width) return {...from, labels};
  const resized = new labels.constructor(to.height * to.width);
  for (let y = 0; y < to.height; y++) {
    const row = Math.floor(((y + 0.5) * from.height) / to.height) * from.width;
    for (let x = 0; x < to.width; x++) resized[y * to.width + x] = labels[row + Math.floor(((x + 0.5) * from.width) / to.width)];
  }
  return {height: to.height, width: to.width, labels: resized};
}

function refuse(what, wrong) {
  const shown = [...wrong].slice(0, 5).join(", ");
  throw new Error(`it holds ${what} ${shown}${wrong.size > 5 ? ` and ${wrong.size - 5} more` : ""}`);
}

/**
 * The label map in a PNG file: {height, width, labels (Uint8Array or Uint16Array)}.
 *
 * A palette image is read by its colours if all of them are colours of `classes` ([{id, color: [r, g, b]}]), else by its indices; a grey one
 * by its levels, and so is an RGB one with equal channels; other RGB images by colour. Throws an Error for people, which names what is wrong.
 */
export async function readLabelMap(bytes, classes) {
  const {height, width, values, channels, depth, palette} = await decode(bytes);
  const idOf = new Map(classes.map(({id, color}) => [color.join(" "), id]));
  const count = height * width;
  const labels = classes.length > 256 ? new Uint16Array(count) : new Uint8Array(count);
  const colourOf = (i) => {
    const [source, at] = palette ? [palette, 3 * values[i]] : [values, channels * i];
    return `${source[at]} ${source[at + 1]} ${source[at + 2]}`;
  };
  const everyPixel = (test) => labels.every((_, i) => test(i));
  const grey = (i) => values[channels * i] === values[channels * i + 1] && values[channels * i] === values[channels * i + 2];
  const byColour = palette ? everyPixel((i) => idOf.has(colourOf(i))) : channels > 2 && !everyPixel(grey);
  const wrong = new Set();
  for (let i = 0; i < count; i++) {
    const id = byColour ? idOf.get(colourOf(i)) : values[channels * i];
    if (id === undefined || id >= classes.length) wrong.add(byColour ? `(${colourOf(i)})` : id);
    else labels[i] = id;
  }
  if (byColour && depth === 16) throw new Error("it has 16 bits for each colour: save it with 8");
  if (wrong.size) refuse(byColour ? "colours that are in no class:" : `ids beyond 0..${classes.length - 1}:`, wrong);
  return {height, width, labels};
}
