/**
 * The noise of each pixel, and functions that change it. A pixel gets its noise from its region if it has one (regionMap k > 0 means
 * values.regions[k - 1]), else from its class if the class has a seed, else from the image. A region is {seed, end, t, locked};
 * resampling never changes the noise of a locked region.
 *
 * Functions that change noise take a state, leave it unchanged, and return the new {values, regionMap}. A mask is a Uint8Array of 1 and 0;
 * null means the whole image.
 */
import {classMask} from "./ids.js";

/** The largest number of regions in an image; must not exceed that of `image_request.py`. */
export const MAX_REGIONS = 63;

/** The values of a state with this seed and defaults for everything else. */
export function plainValues(seed) {
  return {seed, class_seeds: {}, end: null, t: 0, regions: [], heatmaps: null, truncation: 1, style_seeds: {}};
}

/** The noise of pixels of a class outside all regions: {seed, end, t}. */
function classSource(values, name) {
  const seed = values.class_seeds[name] ?? values.seed;
  if (!values.end || values.t === 0) return {seed, end: null, t: 0};
  const end = values.end.class_seeds[name] ?? values.end.seed;
  return values.t === 1 ? {seed: end, end: null, t: 0} : {seed, end, t: values.t};
}

/** The noise of a pixel: {seed, end, t, locked}. */
export function sourceAt(state, pixel, names) {
  const region = state.regionMap[pixel];
  return region ? state.values.regions[region - 1] : {...classSource(state.values, names[state.labels[pixel]]), locked: false};
}

const keyOf = ({seed, end, t, locked}) => `${seed},${end ?? ""},${t},${locked}`;

/** Removes unused regions, merges equal ones, and renumbers them from 1. */
function compacted(values, regionMap, regions) {
  const numbers = new Map();
  const kept = [];
  const renumbered = regionMap.map((old) => {
    if (!old) return 0;
    const region = regions[old - 1];
    const key = keyOf(region);
    if (!numbers.has(key)) {
      kept.push(region);
      numbers.set(key, kept.length);
    }
    return numbers.get(key);
  });
  if (kept.length > MAX_REGIONS) {
    throw new Error(
      `${kept.length} regions would have noise of their own, but at most ${MAX_REGIONS} can: unlock some, or resample the image.`,
    );
  }
  return {values: {...values, regions: kept}, regionMap: Uint8Array.from(renumbered)};
}

/** Assigns new regions to the pixels of a mask: `change` takes the noise of a pixel and returns the new noise. */
function changeRegions(state, names, mask, change) {
  const regions = [...state.values.regions];
  const numbers = new Map();
  const wide = Uint16Array.from(state.regionMap); // until regions are merged, a byte may be too small for their numbers
  for (let i = 0; i < wide.length; i++) {
    if (mask && !mask[i]) continue;
    const key = state.regionMap[i] || `class ${state.labels[i]}`;
    if (!numbers.has(key)) {
      regions.push(change(sourceAt(state, i, names)));
      numbers.set(key, regions.length);
    }
    wide[i] = numbers.get(key);
  }
  return compacted(state.values, wide, regions);
}

/** The region map without the unlocked regions of a mask; null means everywhere. */
function withoutFree(state, mask) {
  return state.regionMap.map((k, i) => (k && (!mask || mask[i]) && !state.values.regions[k - 1].locked ? 0 : k));
}

/** Resamples everything that is not locked. */
export function resampleImage(state, seed) {
  const values = {...state.values, seed, class_seeds: {}, end: null, t: 0};
  return state.regionMap ? compacted(values, withoutFree(state, null), state.values.regions) : {values, regionMap: null};
}

/** Resamples a class, including pixels that are painted with it later. Locked pixels keep their noise. */
export function resampleClass(state, names, id, seed) {
  const end = state.values.end && {...state.values.end, class_seeds: {...state.values.end.class_seeds, [names[id]]: seed}};
  const values = {...state.values, class_seeds: {...state.values.class_seeds, [names[id]]: seed}, end};
  return compacted(values, withoutFree(state, classMask(state.labels, id)), state.values.regions);
}

/** Resamples the pixels of a mask that are not locked. */
export function resampleMask(state, names, mask, seed) {
  return changeRegions(state, names, mask, (source) => (source.locked ? source : {seed, end: null, t: 0, locked: false}));
}

/** Interpolates from the noise of the image to that of the seed `end`, for t in [0, 1]. */
export function blendImage(state, end, t) {
  return {values: {...state.values, end: t === 0 ? null : {seed: end, class_seeds: {}}, t}, regionMap: state.regionMap};
}

/**
 * Interpolates from the noise of the pixels of a mask to that of the seed `end`. `state` is the one before the slider moved. A pixel whose
 * noise is already interpolated towards another seed starts from the nearer of its two seeds.
 */
export function blendMask(state, names, mask, end, t) {
  return changeRegions(state, names, mask, (source) => {
    if (source.locked) return source;
    const seed = source.end === null || source.end === end || source.t < 0.5 ? source.seed : source.end;
    return {seed, end: t === 0 ? null : end, t, locked: false};
  });
}

/** Locks the pixels of a mask with their current noise. */
export function lockMask(state, names, mask) {
  return changeRegions(state, names, mask, (source) => ({...source, locked: true}));
}

/** Unlocks the pixels of a mask; their noise does not change. */
export function unlockMask(state, names, mask) {
  return changeRegions(state, names, mask, (source) => ({...source, locked: false}));
}

/** Mask of the locked pixels; null if there are none. */
export function lockedMask(state) {
  if (!state.regionMap || !state.values.regions.some((region) => region.locked)) return null;
  return state.regionMap.map((k) => (k && state.values.regions[k - 1].locked ? 1 : 0));
}
