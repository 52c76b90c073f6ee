/** Noise vectors and heatmaps of seeds, as in noise.py and heatmaps.py, from the random numbers of JAX (partitionable threefry 2x32). */

const ROTATIONS = [[13, 15, 26, 6], [17, 29, 16, 24]];
const BELOW_ONE = -0.99999994039535522; // the next float32 above -1
/** Coefficients of Giles, "Approximating the erfinv function", for float32, as in XLA: for the central region and the tails. */
const ERF_INV_CENTRE = [2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 0.00021858087, -0.00125372503, -0.00417768164, 0.246640727, 1.50140941];
const ERF_INV_TAIL = [-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047, 1.00167406, 2.83297682];

/** Threefry 2x32: maps a key and a counter, two words each, to two words. */
function threefry([key0, key1], [count0, count1]) {
  const keys = [key0, key1, key0 ^ key1 ^ 0x1bd11bda];
  let a = (count0 + key0) | 0;
  let b = (count1 + key1) | 0;
  for (let round = 0; round < 5; round++) {
    for (const bits of ROTATIONS[round % 2]) {
      a = (a + b) | 0;
      b = ((b << bits) | (b >>> (32 - bits))) ^ a;
    }
    a = (a + keys[(round + 1) % 3]) | 0;
    b = (b + keys[(round + 2) % 3] + round + 1) | 0;
  }
  return [a >>> 0, b >>> 0];
}

const keyOfSeed = (seed) => [0, seed >>> 0]; // jax.random.key
const foldIn = (key, data) => threefry(key, [0, data >>> 0]); // jax.random.fold_in
const split = (key) => [threefry(key, [0, 0]), threefry(key, [0, 1])]; // jax.random.split

/** jax.random.uniform(key, (count,)): float32 in [0, 1). */
function uniform(key, count) {
  return Float32Array.from({length: count}, (_, i) => {
    const [a, b] = threefry(key, [0, i]);
    return ((a ^ b) >>> 9) / 8388608;
  });
}

function erfInv(x) {
  const {fround} = Math;
  let w = fround(-Math.log1p(-fround(x * x)));
  const coefficients = w < 5 ? ERF_INV_CENTRE : ERF_INV_TAIL;
  w = w < 5 ? fround(w - 2.5) : fround(fround(Math.sqrt(w)) - 3);
  return fround(coefficients.reduce((sum, each) => fround(each + fround(sum * w)), 0) * x);
}

/** jax.random.normal(key, (count,)): float32. */
function normal(key, count) {
  return uniform(key, count).map((u) => Math.SQRT2 * erfInv(Math.max(BELOW_ONE, Math.fround(Math.fround(2 * u) + BELOW_ONE))));
}

/** The noise vector of a seed: Float32Array (length). */
export function noiseVector(seed, length) {
  return normal(keyOfSeed(seed), length);
}

/** Spherical interpolation of two vectors with the same number of elements, for t in [0, 1], as noise.slerp. */
export function slerp(start, end, t) {
  const norm = (vector) => Math.sqrt(vector.reduce((sum, each) => sum + each * each, 0));
  const [normA, normB] = [norm(start), norm(end)];
  const cosine = start.reduce((sum, each, i) => sum + (each / (normA || 1)) * (end[i] / (normB || 1)), 0);
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  const sine = Math.sin(angle);
  if (normA === 0 || normB === 0 || sine < 1e-6) return start.map((each, i) => (1 - t) * each + t * end[i]);
  const length = ((1 - t) * normA + t * normB) / sine;
  const [left, right] = [(Math.sin((1 - t) * angle) * length) / normA, (Math.sin(t * angle) * length) / normB];
  return start.map((each, i) => left * each + right * end[i]);
}

/** The heatmaps of a seed: seven rows [centre y, centre x, width]. The second argument comes from heatmaps.formula_of_seed. */
export function heatmapsOf(seed, {purpose, limit, deviation, offset, scale}) {
  const [normalKey, uniformKey] = split(foldIn(keyOfSeed(seed), purpose));
  const centre = normal(normalKey, 3).map((each, i) => Math.min(limit, Math.max(-limit, Math.fround(deviation[i] * each))));
  const numbers = uniform(uniformKey, 3 * offset.length);
  return offset.map((row, map) => row.map((each, i) => Math.fround(Math.fround(centre[i] + each) + Math.fround(scale[map][i] * numbers[3 * map + i]))));
}
