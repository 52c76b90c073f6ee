/**
 * Painting on maps of ids. A map is a Uint8Array or Uint16Array of height x width values, row by row. Every operation writes exact ids,
 * without antialiasing. Points are {x, y} in continuous pixel coordinates: the first pixel covers [0, 1).
 */

const disks = new Map();

/** Rows of a disk with a diameter in pixels: [first, last] column of each row. A pixel belongs to the disk if its centre does. */
export function diskRows(size) {
  if (!disks.has(size)) {
    const radius = size / 2;
    disks.set(
      size,
      Array.from({length: size}, (_, row) => {
        const half = Math.sqrt(Math.max(0, radius * radius - (row + 0.5 - radius) ** 2));
        const first = Math.min(Math.ceil(radius - half - 0.5), Math.floor((size - 1) / 2));
        return [first, size - 1 - first];
      }),
    );
  }
  return disks.get(size);
}

/** Top left pixel of a disk around a point. */
export function diskCorner(point, size) {
  const offset = size % 2 ? Math.floor : Math.round;
  const half = size % 2 ? (size - 1) / 2 : size / 2;
  return {x: offset(point.x) - half, y: offset(point.y) - half};
}

/** The rectangle {left, top, right, bottom} around points, with a margin. */
export function rectAround(points, margin) {
  const [xs, ys] = [points.map(({x}) => x), points.map(({y}) => y)];
  return {left: Math.min(...xs) - margin, top: Math.min(...ys) - margin, right: Math.max(...xs) + margin, bottom: Math.max(...ys) + margin};
}

/** The smallest rectangle that contains two rectangles; one of them may be null. */
export function joinedRect(a, b) {
  if (!a || !b) return a ?? b;
  const [left, top] = [Math.min(a.left, b.left), Math.min(a.top, b.top)];
  return {left, top, right: Math.max(a.right, b.right), bottom: Math.max(a.bottom, b.bottom)};
}

/** The pixels of an image that a rectangle touches: from left and top up to, but without, right and bottom. */
export function pixelsOf({left, top, right, bottom}, {width, height}) {
  const limited = (value, side) => Math.max(0, Math.min(side, value));
  const [firstX, firstY] = [limited(Math.floor(left), width), limited(Math.floor(top), height)];
  const [endX, endY] = [limited(Math.ceil(right), width), limited(Math.ceil(bottom), height)];
  return {left: firstX, top: firstY, right: Math.max(firstX, endX), bottom: Math.max(firstY, endY)};
}

function fillRow(map, width, y, first, last, id) {
  const from = Math.max(0, first);
  const to = Math.min(width - 1, last);
  if (from <= to) map.fill(id, y * width + from, y * width + to + 1);
}

/** Paints a disk. */
export function paintDisk(map, {width, height}, point, size, id) {
  const corner = diskCorner(point, size);
  diskRows(size).forEach(([first, last], row) => {
    const y = corner.y + row;
    if (y >= 0 && y < height) fillRow(map, width, y, corner.x + first, corner.x + last, id);
  });
}

/** Paints a straight line with a round brush, ends included. */
export function paintLine(map, shape, from, to, size, id) {
  const steps = Math.max(1, Math.ceil(Math.max(Math.abs(to.x - from.x), Math.abs(to.y - from.y))));
  for (let i = 0; i <= steps; i++) {
    const t = i / steps;
    paintDisk(map, shape, {x: from.x + t * (to.x - from.x), y: from.y + t * (to.y - from.y)}, size, id);
  }
}

/** Paints the rectangle between two corners, including the pixels of both. */
export function paintRectangle(map, {width, height}, from, to, id) {
  const [left, right] = [from.x, to.x].map(Math.floor).sort((a, b) => a - b);
  const [top, bottom] = [from.y, to.y].map(Math.floor).sort((a, b) => a - b);
  for (let y = Math.max(0, top); y <= Math.min(height - 1, bottom); y++) fillRow(map, width, y, left, right, id);
}

/** Mask (1 and 0) of the 4-connected region that has one id and contains a point; empty if the point is outside the map. */
export function connectedMask(map, {width, height}, point) {
  const mask = new Uint8Array(width * height);
  const x = Math.floor(point.x);
  const y = Math.floor(point.y);
  if (x < 0 || y < 0 || x >= width || y >= height) return mask;
  const id = map[y * width + x];
  const waiting = [y * width + x];
  while (waiting.length) {
    const pixel = waiting.pop();
    if (mask[pixel]) continue;
    const row = pixel - (pixel % width);
    let first = pixel;
    let last = pixel;
    while (first > row && map[first - 1] === id) first--;
    while (last < row + width - 1 && map[last + 1] === id) last++;
    mask.fill(1, first, last + 1);
    for (const offset of [-width, width]) {
      let open = false;
      for (let i = first + offset; i <= last + offset; i++) {
        const inside = map[i] === id && !mask[i]; // map[i] is undefined outside the map
        if (inside && !open) waiting.push(i);
        open = inside;
      }
    }
  }
  return mask;
}

/** Mask of the pixels whose centres lie in a polygon (even-odd rule); the last point is joined to the first. */
export function polygonMask(points, {width, height}) {
  const mask = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const crossings = [];
    points.forEach((a, i) => {
      const b = points[(i + 1) % points.length];
      if (a.y <= y + 0.5 !== b.y <= y + 0.5) crossings.push(a.x + ((y + 0.5 - a.y) / (b.y - a.y)) * (b.x - a.x));
    });
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2)
      fillRow(mask, width, y, Math.ceil(crossings[i] - 0.5), Math.ceil(crossings[i + 1] - 0.5) - 1, 1);
  }
  return mask;
}

/** Mask of all pixels with an id. */
export function classMask(map, id) {
  const mask = new Uint8Array(map.length);
  for (let i = 0; i < mask.length; i++) if (map[i] === id) mask[i] = 1;
  return mask;
}

/** Paints the pixels of a mask. */
export function paintMask(map, mask, id) {
  for (let i = 0; i < mask.length; i++) if (mask[i]) map[i] = id;
}

/** Combines two masks: "replace" returns the second, "add" the union, "subtract" the first without the second. */
export function joinedMask(mask, other, how) {
  if (how === "replace" || !mask) return how === "subtract" ? new Uint8Array(other.length) : other;
  return mask.map((each, i) => (how === "add" ? each | other[i] : each & ~other[i] & 1));
}

/** Whether a mask is null or has no pixels. */
export function isEmpty(mask) {
  return !mask || !mask.includes(1);
}

/** The rectangle of the pixels of a mask, as `pixelsOf`; null for an empty mask. */
function extentOf(mask, width) {
  const row = (y) => mask.subarray(y * width, (y + 1) * width);
  const first = mask.indexOf(1);
  if (first < 0) return null;
  const [top, bottom] = [Math.floor(first / width), Math.floor(mask.lastIndexOf(1) / width) + 1];
  let [left, right] = [width, 0];
  for (let y = top; y < bottom; y++) {
    const start = row(y).indexOf(1);
    if (start >= 0) [left, right] = [Math.min(left, start), Math.max(right, row(y).lastIndexOf(1) + 1)];
  }
  return {left, top, right, bottom};
}

/** Edges of a mask as line segments [x0, y0, x1, y1, ...] along pixel borders; adjacent collinear segments are merged. */
export function maskEdges(mask, {width}) {
  const edges = [];
  const extent = extentOf(mask, width);
  if (!extent) return edges;
  const {left, top, right, bottom} = extent;
  const at = (x, y) => (x >= left && y >= top && x < right && y < bottom ? mask[y * width + x] : 0);
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x < right; x++) {
      const start = x;
      while (x < right && at(x, y) !== at(x, y - 1)) x++;
      if (x > start) edges.push(start, y, x, y);
    }
  }
  for (let x = left; x <= right; x++) {
    for (let y = top; y < bottom; y++) {
      const start = y;
      while (y < bottom && at(x, y) !== at(x - 1, y)) y++;
      if (y > start) edges.push(x, start, x, y);
    }
  }
  return edges;
}
