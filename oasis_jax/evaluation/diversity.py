"""Diversity of a generator's images of one label map: with different noise for the whole image, and for one class alone."""
import functools

import jax
import numpy as np
from tqdm import tqdm

from oasis_jax.metrics.lpips import LPIPS
from oasis_jax.metrics.metric import Finding
from oasis_jax.metrics.msssim import SHORTEST_SIDE, ms_ssim
from oasis_jax.metrics.pairs import absolute_difference, inside_and_outside, mean_over_pairs
from oasis_jax.parallel.processes import gather, is_first, part_of
from oasis_jax.recipes import Recipe

FIRST_SEED = 1 << 31  # of the samples, so that their seeds differ from those of the evaluation itself


def measure_diversity(samples, lpips, remember):
    """Diversity of `protocol.diversity_maps` label maps, evenly spaced. Every process must call this; each measures some of them.

    Args:
        samples: sources.Samples of a generator with noise; K is the diversity_samples of its protocol.
        lpips: variables of LPIPS, or None for the measures that need no network.
        remember: (identity, compute) -> JSON value of compute(), as in cache.remembered; called once for each label map.

    Returns:
        Finding. Scores, means over the label maps: LPIPS (higher is more diverse), MS-SSIM (lower is more diverse; if the images are large
        enough) and the mean absolute pixel difference, over all pairs of K samples. Columns by class, means over the label maps that
        contain the class: LPIPS and pixel difference of two samples whose noise differs in that class alone, inside and outside its region.
    """
    protocol, count = samples.protocol, samples.examples.count
    chosen = np.unique(np.linspace(0, count - 1, min(protocol.diversity_maps, count)).round().astype(int))
    found = []
    for number in tqdm(part_of(len(chosen), 1), "diversity", unit="label map", disable=not is_first()):
        index = int(chosen[number])
        seeds = [FIRST_SEED + number * protocol.diversity_samples + k for k in range(protocol.diversity_samples)]
        compute = functools.partial(_of_label_map, samples, index, seeds, lpips)
        found.append(remember(["diversity", samples.identity, index, seeds, lpips is not None], compute))

    names = _names(lpips, samples.examples.spec.image_size)
    local = [name for name in names if name != "ms_ssim"]
    own = {"whole": np.reshape([row["whole"] for row in found], (-1, len(names)))}
    for region in ("inside", "outside"):
        own[region] = np.reshape([row[region] for row in found], (-1, len(local), samples.model.num_classes))
    found = jax.tree.map(lambda *parts: np.concatenate(parts), *gather(own))
    scores = {f"{name}_of_{protocol.diversity_samples}_samples": float(found["whole"][:, i].mean()) for i, name in enumerate(names)}
    columns = {}
    for i, name in enumerate(local):
        columns |= {f"{name}_{region}": _mean_where_known(found[region][:, i]) for region in ("inside", "outside")}
    return Finding(scores, tables={"per_class": columns})


def _names(lpips, image_size):
    return ["pixel_change"] + ["lpips"] * (lpips is not None) + ["ms_ssim"] * (min(image_size) >= SHORTEST_SIDE)


def _of_label_map(samples, index, seeds, lpips):
    """{"whole": a number for each of `_names`, "inside" and "outside": (N,) for each but ms_ssim, NaN for classes not in the label map}."""
    model, label_map = samples.model, samples.examples.label_map(index)

    def images(recipes):
        return _unit(model.images(model.inputs(recipes, {"label_map": np.repeat(label_map[None], len(recipes), 0)})))

    def sample(class_seeds):
        image = images([Recipe(seeds[0], class_seeds)])
        return image, None if lpips is None else _embed(lpips, image)

    whole, start = _of_samples(images(seeds), lpips), sample({})
    inside, outside = np.full((2, 1 if lpips is None else 2, model.num_classes), np.nan)
    for i in np.unique(label_map):
        for row, distances in enumerate(_distance_maps(start, sample({int(i): seeds[1]}), lpips)):
            inside[row, i], outside[row, i] = inside_and_outside(distances[0], label_map == i)
    return {"whole": whole, "inside": inside.tolist(), "outside": outside.tolist()}


def _of_samples(images, lpips):
    found = [float(mean_over_pairs(lambda a, b: absolute_difference(a, b).mean((1, 2)), images))]
    if lpips is not None:
        found.append(float(mean_over_pairs(functools.partial(_lpips_of_embeddings, lpips), _embed(lpips, images))))
    if min(images.shape[1:3]) >= SHORTEST_SIDE:
        found.append(float(mean_over_pairs(ms_ssim, images)))
    return found


def _distance_maps(a, b, lpips):
    """Distance maps (1, H, W) of two (images, embedding): of pixels, and of LPIPS if there are embeddings."""
    maps = [absolute_difference(a[0], b[0])]
    return maps if lpips is None else [*maps, _lpips_map(lpips, a[1], b[1])]


def _unit(samples):
    return samples.astype(np.float32) / 255


@jax.jit
def _embed(variables, images):
    return LPIPS().apply(variables, 2 * images - 1, method="embed")


@jax.jit
def _lpips_of_embeddings(variables, a, b):
    return LPIPS().apply(variables, a, b, method="distance").sum(-1)


@jax.jit
def _lpips_map(variables, a, b):
    return LPIPS().apply(variables, a, b, a[0].shape[1:3], method="distance_map")  # the first tap is as large as the image


def _mean_where_known(values):
    known = np.isfinite(values)
    return np.where(known.any(0), np.where(known, values, 0).sum(0) / np.maximum(known.sum(0), 1), np.nan)
