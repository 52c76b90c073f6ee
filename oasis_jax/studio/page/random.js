/** New seeds. */

/** A seed in 0..2**32-1 that nobody has seen before. */
export function newSeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}

/** `count` new seeds. */
export function newSeeds(count) {
  return Array.from(crypto.getRandomValues(new Uint32Array(count)));
}
