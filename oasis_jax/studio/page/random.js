/** Random seeds and names. */

/** A random seed in 0..2**32-1. */
export function newSeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}

/** `count` random seeds. */
export function newSeeds(count) {
  return Array.from(crypto.getRandomValues(new Uint32Array(count)));
}

/** A random name that no other has, 128 bits in hexadecimal. */
export function newName() {
  return newSeeds(4)
    .map((part) => part.toString(16))
    .join("");
}
