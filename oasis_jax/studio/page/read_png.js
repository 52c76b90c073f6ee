/** Reads the classes in a PNG file without a server, as `file_rule.py` does. The browser's own decoder returns only colours, not ids. */

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}; // by colour type
const MOST_PIXELS = 4096 * 4096;

/** Reads the chunks of a PNG (Uint8Array): {header, palette, alphas (the tRNS chunk), data (the IDAT chunks)}. */
function chunksOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (SIGNATURE.some((each, i) => bytes[i] !== each)) throw new Error("it is not a PNG file: save the label map as PNG");
  const found = {palette: null, alphas: [], data: []};
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
    if (type === "tRNS") found.alphas = body;
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

/** Reverses the filters of rows in place, and returns the rows. Each has `stride` bytes, preceded by a byte with its filter type. */
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

const packed = (r, g, b) => (r << 16) | (g << 8) | b;
const named = (colour) => (colour === undefined ? "(none)" : `(${colour >> 16} ${(colour >> 8) & 255} ${colour & 255})`);

function colourTable(bytes) {
  return Array.from({length: Math.floor(bytes.length / 3)}, (_, i) => packed(...bytes.subarray(3 * i, 3 * i + 3)));
}

/**
 * Decodes a PNG to {height, width, values (one number for each pixel and channel), channels, depth, palette (packed colours, or null),
 * alphas (the tRNS chunk)}. Throws an Error whose message is for the user.
 */
async function decode(bytes) {
  const {header, palette, alphas, data} = chunksOf(bytes);
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
  return {height, width, values, channels, depth, palette: header.type === 3 ? colourTable(palette ?? []) : null, alphas};
}

/** The stored values of a PNG with one channel, palette indices or grey: {height, width, values}. */
export async function readIndices(bytes) {
  const {height, width, values, channels} = await decode(bytes);
  if (channels !== 1) throw new Error("it is a PNG of several channels, but should have a palette or be grey");
  return {height, width, values};
}

/** Resizes a label map by nearest neighbour. */
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

/** The packed colour of the pixel whose values start at index `at`; undefined for an index beyond the palette. */
function colourAt({values, channels, palette}, at) {
  if (palette) return palette[values[at]];
  return channels > 2 ? packed(values[at], values[at + 1], values[at + 2]) : packed(values[at], values[at], values[at]);
}

/** Whether the pixels of a decoded PNG are to be read as colours: `_holds_colours` of `file_rule.py`. */
function holdsColours({values, channels, palette}, known, own) {
  if (channels === 1 && !palette) return false;
  if (own) return true;
  if (!palette) return channels > 2 && values.some((value, i) => i % channels < 3 && value !== values[i - (i % channels)]);
  const used = new Set([...new Set(values)].map((index) => palette[index]));
  return [...used].every((colour) => known.has(colour)) && (used.size > 1 || palette.every((colour) => known.has(colour)));
}

function refuseTransparent({values, channels, palette, alphas}) {
  const key = alphas.length === 6 ? packed(alphas[1], alphas[3], alphas[5]) : null; // the transparent colour of an RGB image
  const isTransparent = palette
    ? (value) => (alphas[value] ?? 255) < 255
    : channels === 3
      ? (value, i) => i % 3 === 0 && packed(value, values[i + 1], values[i + 2]) === key
      : (value, i) => i % channels === channels - 1 && value < 255;
  if (values.some(isTransparent)) throw new Error("it has transparent pixels, whose class is unknown: save it without transparency");
}

/**
 * Reads the label map in a PNG file: {height, width, labels (Uint8Array or Uint16Array)}. Throws an Error whose message is for the user.
 *
 * The rule {count, offset, map, colours, own} comes from `FileRule.facts`. Greyscale images hold ids. If the model has its own palette,
 * colour images hold colours of that palette. If it has none, its classes have the colours that the page shows. A palette image then
 * holds colours if all colours of its pixels are colours of classes; otherwise its indices are ids. They are also ids if all pixels have
 * the same colour and the palette has colours of no class. An RGB image with three equal channels holds ids; any other holds colours.
 */
export async function readLabelMap(bytes, {count, offset, map, colours, own}) {
  const decoded = await decode(bytes);
  const {height, width, values, channels, depth, palette} = decoded;
  const classOfColour = new Map(colours.map(([r, g, b, number]) => [packed(r, g, b), number]));
  const byColour = holdsColours(decoded, classOfColour, own);
  if (channels > 1 && depth === 16) throw new Error("it has 16 bits for each colour: save it with 8");
  if (channels === 1 && !palette && (depth === 2 || depth === 4)) throw new Error(`it holds grey of ${depth} bits: save the ids with 8`);
  if (palette ? byColour : channels > 1) refuseTransparent(decoded);
  const labels = count > 256 ? new Uint16Array(height * width) : new Uint8Array(height * width);
  const wrong = new Set();
  for (let i = 0; i < labels.length; i++) {
    const stored = byColour ? colourAt(decoded, channels * i) : values[channels * i];
    const number = byColour ? classOfColour.get(stored) : (map[stored] ?? stored + offset);
    if (number >= 0 && number < count) labels[i] = number;
    else wrong.add(byColour ? named(stored) : stored);
  }
  if (wrong.size) refuse(byColour ? "colours that no class has:" : `ids of no class (there are ${count}):`, wrong);
  return {height, width, labels};
}
