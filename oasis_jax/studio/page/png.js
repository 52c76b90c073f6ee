/** Writes PNG files: RGB photos, and ids with a palette or in grey. */

const crcTable = Uint32Array.from({length: 256}, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = crcTable[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

function adler32(bytes) {
  let [a, b] = [1, 0];
  for (const byte of bytes) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return ((b << 16) | a) >>> 0;
}

function bigEndian(value, count = 4) {
  return Uint8Array.from({length: count}, (_, i) => value >>> (8 * (count - 1 - i)));
}

function joinBytes(parts) {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (joined.set(part, at), at + part.length), 0);
  return joined;
}

/** A zlib stream without compression, for browsers that have no CompressionStream. */
export function storedDeflate(bytes) {
  const parts = [Uint8Array.of(0x78, 0x01)];
  for (let at = 0; at === 0 || at < bytes.length; at += 65535) {
    const block = bytes.subarray(at, at + 65535);
    const {length} = block;
    parts.push(Uint8Array.of(at + 65535 >= bytes.length ? 1 : 0, length & 255, length >> 8, ~length & 255, (~length >> 8) & 255), block);
  }
  return joinBytes([...parts, bigEndian(adler32(bytes))]);
}

async function deflate(bytes) {
  if (typeof CompressionStream === "undefined") return storedDeflate(bytes);
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function chunk(type, data) {
  const body = joinBytes([new TextEncoder().encode(type), data]);
  return joinBytes([bigEndian(data.length), body, bigEndian(crc32(body))]);
}

/** The bytes of a PNG file whose rows have `rowBytes` bytes each; `extra` are chunks before the image data. */
async function pngBytes(width, height, depth, colourType, rows, rowBytes, extra = []) {
  const filtered = new Uint8Array(height * (rowBytes + 1)); // each row begins with its filter, 0
  for (let y = 0; y < height; y++) filtered.set(rows.subarray(y * rowBytes, (y + 1) * rowBytes), y * (rowBytes + 1) + 1);
  const header = joinBytes([bigEndian(width), bigEndian(height), Uint8Array.of(depth, colourType, 0, 0, 0)]);
  const chunks = [chunk("IHDR", header), ...extra, chunk("IDAT", await deflate(filtered)), chunk("IEND", new Uint8Array())];
  return joinBytes([Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a), ...chunks]);
}

/** A photo as a PNG Blob; `rgb` has height x width x 3 bytes. */
export async function rgbPng(rgb, {width, height}) {
  return new Blob([await pngBytes(width, height, 8, 2, rgb, 3 * width)], {type: "image/png"});
}

/** Ids as a PNG Blob: indices of the palette `colours` ([r, g, b] each) if it is given and ids are bytes, else grey of 8 or 16 bits. */
export async function idPng(labels, {width, height}, colours = null) {
  const wide = labels.BYTES_PER_ELEMENT === 2;
  const palette = wide || !colours ? [] : [chunk("PLTE", Uint8Array.from(colours.flat()))];
  const rows = wide ? new Uint8Array(2 * labels.length) : labels;
  if (wide) labels.forEach((id, i) => rows.set([id >> 8, id & 255], 2 * i));
  const bytes = await pngBytes(width, height, wide ? 16 : 8, palette.length ? 3 : 0, rows, rows.length / height, palette);
  return new Blob([bytes], {type: "image/png"});
}
