/** recipe.json: what reproduces an image, as `python -m oasis_jax.sample --recipe` reads it. */
import {idPng} from "./png.js";

async function base64(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text);
}

/** The file of an image. */
export async function recipeFile(image, info) {
  const side = ({seed, class_seeds}) => (info.labels ? {seed, class_seeds} : {seed});
  const record = side(image);
  if (image.end) record.interpolation = {...side(image.end), t: image.t};
  if (info.styles && image.truncation !== 1) record.truncation = image.truncation;
  if (info.styles && Object.keys(image.style_seeds).length) record.style_seeds = image.style_seeds;
  if (info.spatial && image.heatmaps) record.base_heatmaps = image.heatmaps;
  if (info.labels && image.regions.length) {
    const seeds = image.regions.map(({seed, end, t}) => (end === null ? {seed} : {seed, end, t}));
    const grey = Array.from({length: 256}, (_, i) => [i, i, i]);
    record.regions = {map: await base64(await idPng(image.regionMap, image, grey)), seeds};
  }
  if (info.labels) record.label_map = await base64(await idPng(image.labels, image, info.classes.map(({color}) => color)));
  return new Blob([JSON.stringify(record, null, 1) + "\n"], {type: "application/json"});
}
