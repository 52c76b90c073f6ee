/**
 * Heatmaps as seven rows [centre y, centre x, width]. Centres are coordinates in the square [-1, 1]^2, whose corners are the centres of
 * the corner pixels, with y downwards.
 */

const FLOOR_OF_MAPS = 0.01;

/** The heatmaps at every pixel: for each level a Float32Array, the maximum over the rows of the level. */
function levelMaps(rows, levels, {width, height}, isotropic) {
  const positions = (side) => Float32Array.from({length: side}, (_, i) => (side > 1 ? (2 * i) / (side - 1) - 1 : 0));
  const [ys, xs] = [positions(height), positions(width)];
  const stretch = isotropic ? width / height : 1;
  return levels.map((members) => {
    const map = new Float32Array(width * height);
    for (const [cy, cx, spread] of members.map((row) => rows[row])) {
      const down = ys.map((y) => Math.exp(-((y - cy) ** 2) / spread));
      const across = xs.map((x) => Math.exp(-(((x - cx) * stretch) ** 2) / spread));
      for (let y = 0, i = 0; y < height; y++)
        for (let x = 0; x < width; x++, i++) map[i] = Math.max(map[i], down[y] * across[x] + FLOOR_OF_MAPS);
    }
    return map;
  });
}

/** Heatmaps as RGBA bytes: the coarse level in red, the middle level in green, the fine level in blue. */
export function heatmapPicture(rows, levels, shape, isotropic) {
  const maps = levelMaps(rows, levels, shape, isotropic);
  const rgba = new Uint8ClampedArray(4 * shape.width * shape.height);
  for (let i = 0; i < maps[0].length; i++) {
    maps.forEach((map, channel) => (rgba[4 * i + channel] = 255 * map[i]));
    rgba[4 * i + 3] = 255;
  }
  return rgba;
}

/** Absolute change of each pixel between two RGB photos, averaged over channels; the largest is white: {rgba, largest}. */
export function changePicture(before, after) {
  const change = new Float32Array(before.length / 3);
  let largest = 0;
  for (let i = 0; i < change.length; i++) {
    change[i] =
      (Math.abs(before[3 * i] - after[3 * i]) +
        Math.abs(before[3 * i + 1] - after[3 * i + 1]) +
        Math.abs(before[3 * i + 2] - after[3 * i + 2])) /
      3;
    largest = Math.max(largest, change[i]);
  }
  const rgba = new Uint8ClampedArray(4 * change.length);
  change.forEach((value, i) =>
    rgba.set([(255 * value) / (largest || 1), (255 * value) / (largest || 1), (255 * value) / (largest || 1), 255], 4 * i),
  );
  return {rgba, largest};
}

/** Rows in which the centres of `members` are moved by (dy, dx); coordinates are limited to [-reach, reach]. */
export function movedRows(rows, members, dy, dx, reach = 2) {
  const limited = (value) => Math.min(reach, Math.max(-reach, value));
  return rows.map((row, i) => (members.includes(i) ? [limited(row[0] + dy), limited(row[1] + dx), row[2]] : row));
}

/** Rows in which the widths of `members` are multiplied by a factor. */
export function widenedRows(rows, members, factor) {
  return rows.map((row, i) => (members.includes(i) ? [row[0], row[1], Math.min(4, Math.max(0.01, row[2] * factor))] : row));
}

/** Linear interpolation of rows, for t in [0, 1]. */
export function rowsBetween(rows, others, t) {
  return rows.map((row, i) => row.map((value, j) => (1 - t) * value + t * others[i][j]));
}
