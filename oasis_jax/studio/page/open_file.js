/** Reads the files that a page without a server can open: label maps, and recipe.json as specified in `recipe_file.py`. */
import {fromBase64} from "./base64.js";
import {readIndices, readLabelMap, resizeNearest} from "./read_png.js";

const MOST_BYTES = 16 << 20;
const MOST_REGIONS = 63;
const NOTICED = 0.02; // relative difference of aspect ratios above which the user is told
const FORMAT = 1;
const KNOWN = ["seed", "class_seeds", "regions", "interpolation", "base_heatmaps"];

const isSeed = (value) => Number.isInteger(value) && value >= 0 && value < 2 ** 32;

function seedOf(value, what) {
  if (!isSeed(value)) throw new Error(`${what} is ${JSON.stringify(value)}: it should be an integer in 0..${2 ** 32 - 1}`);
  return value;
}

function positionOf(value) {
  if (!(typeof value === "number" && value >= 0 && value <= 1)) throw new Error(`t is ${JSON.stringify(value)}: it should be a number from 0 to 1`);
  return value;
}

function classSeedsOf(values = {}, names) {
  const unknown = Object.keys(values).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`class_seeds names ${unknown}, which is no class of this model`);
  return Object.fromEntries(Object.entries(values).map(([name, seed]) => [name, seedOf(seed, `the seed of ${name}`)]));
}

/** The names of classes, all different, as `unique_names` in `recipes.py` makes them: those of older recipes may not be. */
export function uniqueNames(names) {
  const [given, unique, numbers] = [new Set(names), new Set(), new Map()];
  for (const name of names) {
    let next = name;
    while (unique.has(next) || (next !== name && given.has(next))) {
      numbers.set(name, (numbers.get(name) ?? 1) + 1);
      next = `${name} (${numbers.get(name)})`;
    }
    unique.add(next);
  }
  return [...unique];
}

function bytesOf(base64, what) {
  try {
    return fromBase64(base64);
  } catch {
    throw new Error(`${what} is not base64`);
  }
}

/** The ids in a PNG of the recipe, as they are stored; it must have the size of the image. */
async function mapOf(base64, what, {height, width}, count) {
  const found = await readIndices(bytesOf(base64, what));
  if (found.height !== height || found.width !== width) throw new Error(`${what} is ${found.height}x${found.width}, but the image is ${height}x${width}`);
  if (found.values.some((value) => value >= count)) throw new Error(`${what} holds ids beyond 0..${count - 1}`);
  return found.values;
}

async function regionsOf(regions, size) {
  if (!regions) return {regions: [], regionMap: null};
  const {seeds, map} = regions;
  if (!Array.isArray(seeds) || seeds.length > MOST_REGIONS) throw new Error(`regions should have at most ${MOST_REGIONS} seeds`);
  const list = seeds.map(({seed, end = null, t = 0}) => ({seed: seedOf(seed, "a region's seed"), end: end === null ? null : seedOf(end, "a region's end"), t: positionOf(t)}));
  return {regions: list, regionMap: Uint8Array.from(await mapOf(map, "the map of regions", size, list.length + 1))};
}

function heatmapsOfRecipe(rows, info) {
  if (rows === undefined) return null;
  const fits = Array.isArray(rows) && rows.length === info.levels.flat().length;
  if (!info.spatial || !fits || !rows.every((row) => row.length === 3 && row.every(Number.isFinite) && row[2] > 0)) {
    throw new Error(info.spatial ? "base_heatmaps should be 7 rows of centre y, centre x and a positive width" : "it has heatmaps, but this model takes none");
  }
  return rows;
}

async function openRecipe(text, info) {
  const {format, recipe, label_map: labelMap, image_size: size, classes} = JSON.parse(text);
  const names = info.classes.map(({name}) => name);
  if (format !== undefined && format !== FORMAT) throw new Error(`its format is ${JSON.stringify(format)}, but this page reads format ${FORMAT}: open it in the studio`);
  if (format === undefined || !recipe || !labelMap) throw new Error("it is JSON, but not a recipe: format, recipe or label_map is missing");
  if (!Array.isArray(classes) || JSON.stringify(uniqueNames(classes)) !== JSON.stringify(names)) throw new Error("it is for a model of other classes");
  if (size?.[0] !== info.height || size?.[1] !== info.width) throw new Error(`its image is ${size?.join("x")}, but this page shows ${info.height}x${info.width}`);
  const unknown = Object.keys(recipe).find((name) => !KNOWN.includes(name));
  if (unknown) throw new Error(`its ${unknown} cannot be shown by a page without a server: open it in the studio`);
  const {height, width} = info;
  const labels = await mapOf(labelMap, "the label map", info, names.length);
  const {interpolation} = recipe;
  return {
    height, width,
    labels: names.length > 256 ? Uint16Array.from(labels) : Uint8Array.from(labels),
    seed: seedOf(recipe.seed, "seed"),
    class_seeds: classSeedsOf(recipe.class_seeds, names),
    end: interpolation ? {seed: seedOf(interpolation.seed, "the second seed"), class_seeds: classSeedsOf(interpolation.class_seeds, names)} : null,
    t: interpolation ? positionOf(interpolation.t) : 0,
    heatmaps: heatmapsOfRecipe(recipe.base_heatmaps, info),
    ...(await regionsOf(recipe.regions, info)),
  };
}

/** The notice for a label map whose aspect ratio changes, worded as in `fitting.py`; null if it does not change. */
function squeezedNote({height, width}, info) {
  if (Math.abs((height * info.width) / (width * info.height) - 1) <= NOTICED) return null;
  const scale = Math.min(info.height, info.width) / Math.min(height, width) / info.multiple;
  const [high, wide] = [height, width].map((side) => Math.max(1, Math.round(side * scale)) * info.multiple);
  return `is ${height}x${width} and was squeezed into ${info.height}x${info.width}, the size of the images here. To keep its shape, crop it, or start the studio with the size ${high}x${wide} (--size=${high}x${wide}).`;
}

/** Reads a file for the transport's `open`; `rule` is that of `readLabelMap`. Throws an Error that names the file. */
export async function openFile(file, name, info, rule) {
  try {
    if (file.size > MOST_BYTES) throw new Error(`it has ${(file.size / 1e6).toFixed(0)} MB, which is too large`);
    const bytes = new Uint8Array(await file.arrayBuffer());
    if (bytes[0] === "{".charCodeAt(0)) return await openRecipe(new TextDecoder().decode(bytes), info);
    const found = await readLabelMap(bytes, rule);
    return {...resizeNearest(found, info), notice: squeezedNote(found, info)};
  } catch (error) {
    throw new Error(`${name}: ${error.message}`);
  }
}
