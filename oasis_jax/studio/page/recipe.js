/** Writes recipe.json: one image in one file, as specified in `oasis_jax/recipe_file.py`. */
import {base64Of} from "./base64.js";
import {idPng} from "./png.js";

const asBase64 = async (blob) => base64Of(new Uint8Array(await blob.arrayBuffer()));

/** The recipe of an image; optional fields at their default are omitted. */
async function recipeOf(image, info) {
  const side = ({seed, class_seeds}) => (info.labels ? {seed, class_seeds} : {seed});
  const recipe = side(image);
  if (image.end) recipe.interpolation = {...side(image.end), t: image.t};
  if (info.styles && image.truncation !== 1) recipe.truncation = image.truncation;
  if (info.styles && Object.keys(image.style_seeds).length) recipe.style_seeds = image.style_seeds;
  if (info.spatial && image.heatmaps) recipe.base_heatmaps = image.heatmaps;
  if (info.labels && image.regions.length) {
    const seeds = image.regions.map(({seed, end, t}) => (end === null ? {seed} : {seed, end, t}));
    recipe.regions = {map: await asBase64(await idPng(image.regionMap, image)), seeds};
  }
  return recipe;
}

/** The recipe.json of an image, as a Blob. */
export async function recipeFile(image, info) {
  const file = {
    format: 1,
    made_by: "oasis_jax studio",
    model: info.model ?? info.name,
    step: info.step,
    image_size: [image.height, image.width],
  };
  if (info.labels) {
    file.classes = info.classes.map(({name}) => name);
    file.label_map = await asBase64(
      await idPng(
        image.labels,
        image,
        info.classes.map(({color}) => color),
      ),
    );
  }
  if (info.noise_kind) file.noise = info.noise_kind;
  file.recipe = await recipeOf(image, info);
  return new Blob([JSON.stringify(file, null, 1) + "\n"], {type: "application/json"});
}
