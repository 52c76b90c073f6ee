/** The inputs of the network: a table with noise and class in each row, and the row of each pixel, as in exported models. */
import {noiseVector, slerp} from "./seeds.js";

const MOST_REMEMBERED = 256;

/** Returns a function (seed, end, t) -> noise vector. It caches the vectors of seeds, because a slider needs the same two repeatedly. */
function remembering(length) {
  const known = new Map();
  const of = (seed) => {
    if (!known.has(seed)) {
      if (known.size >= MOST_REMEMBERED) known.clear();
      known.set(seed, noiseVector(seed, length));
    }
    return known.get(seed);
  };
  return (seed, end, t) => (end === null || end === undefined ? of(seed) : slerp(of(seed), of(end), t));
}

/**
 * Returns a function of an image ({labels, seed, class_seeds, end, t, regions, regionMap}) that returns {ids: Int32Array,
 * table: Float32Array, rows}. `classes` are [{id, name}], and `length` is that of a noise vector; 0 for a model without noise.
 */
export function tableMaker(classes, length) {
  const noise = remembering(length);
  return ({labels, seed, class_seeds: classSeeds = {}, end = null, t = 0, regions = [], regionMap = null}) => {
    const noiseOf = (label, region) => {
      if (region > 0) {
        const {seed: own, end: other = null, t: position = 0} = regions[region - 1];
        return noise(own, other, position);
      }
      const {name} = classes[label];
      return noise(classSeeds[name] ?? seed, end && (end.class_seeds?.[name] ?? end.seed), t);
    };
    const [rowOf, rows, ids] = [new Map(), [], new Int32Array(labels.length)];
    labels.forEach((label, i) => {
      const region = regionMap ? regionMap[i] : 0;
      const pair = label * 256 + region;
      if (!rowOf.has(pair)) {
        rowOf.set(pair, rows.length);
        rows.push([label, region]);
      }
      ids[i] = rowOf.get(pair);
    });
    const table = new Float32Array(rows.length * (length + classes.length));
    rows.forEach(([label, region], row) => {
      const start = row * (length + classes.length);
      if (length) table.set(noiseOf(label, region), start);
      table[start + length + label] = 1;
    });
    return {ids, table, rows: rows.length};
  };
}
