"""How much a generator varies one label map: by other noise for the whole image, and for one class alone, inside and outside it."""
import functools

import jax
import numpy as np
from tqdm import tqdm

from oasis_jax.evaluation.sources import label_map_of
from oasis_jax.metrics.diversity import absolute_difference, inside_and_outside, mean_over_pairs
from oasis_jax.metrics.lpips import LPIPS
from oasis_jax.metrics.msssim import SHORTEST_SIDE, ms_ssim
from oasis_jax.noise import class_noise

FIRST_SEED = 1 << 31  # samples of other seeds than those of the evaluation itself


def measure_diversity(model, split, spec, protocol, lpips, count):
    """Diversity of `protocol.diversity_maps` label maps of the first `count` pairs, evenly spaced.

    Args:
        model: sampling.Model with noise.
        split, spec: Split and DataSpec.
        protocol: Protocol; K is its diversity_samples.
        lpips: variables of LPIPS, or None for the measures that need no network.
        count: pairs of the split.

    Returns:
        ({score: mean over the label maps}, {column: (N,) means over the label maps that have the class}). Over the whole image: LPIPS
        (higher is more diverse), MS-SSIM (lower is; where the images are large enough) and the mean absolute difference of the pixels, over
        all pairs of K samples. By class: of a pair of samples whose noise differs in that class alone, inside and outside its region.
    """
    num_classes, z_dim = model.num_classes, model.generator.z_dim
    whole, inside, outside = [], [], []
    chosen = np.unique(np.linspace(0, count - 1, min(protocol.diversity_maps, count)).round().astype(int))
    for number, index in enumerate(tqdm(chosen, "diversity", unit="label map")):
        label_map = label_map_of(split, spec, index)
        seeds = FIRST_SEED + number * protocol.diversity_samples + np.arange(protocol.diversity_samples)
        whole.append(_of_samples(model.sample(np.repeat(label_map[None], len(seeds), 0), seed=list(map(int, seeds))), lpips))

        first, second = int(seeds[0]), int(seeds[1])
        within, without = np.full((2, 2, num_classes), np.nan)
        start = model.sample(label_map, noise=class_noise(first, {}, num_classes, z_dim)[None])
        for i in np.unique(label_map):
            other = model.sample(label_map, noise=class_noise(first, {int(i): second}, num_classes, z_dim)[None])
            for row, distance in enumerate(_distance_maps(start, other, lpips)):
                within[row, i], without[row, i] = inside_and_outside(distance, label_map == i)
        inside.append(within)
        outside.append(without)

    scores = {f"{name}_of_{protocol.diversity_samples}_samples": float(np.mean([found[name] for found in whole])) for name in whole[0]}
    columns = {}
    for row, name in enumerate(["pixel_change", "lpips"][: 2 if lpips is not None else 1]):
        for part, values in (("inside", inside), ("outside", outside)):
            columns[f"{name}_{part}"] = _mean_where_known(np.stack(values)[:, row])
    return scores, columns


def _of_samples(samples, lpips):
    images = samples.astype(np.float32) / 255
    found = {"pixel_change": float(mean_over_pairs(lambda a, b: absolute_difference(a, b).mean((1, 2)), images))}
    if lpips is not None:
        found["lpips"] = float(mean_over_pairs(functools.partial(_lpips_of_embeddings, lpips), _embed(lpips, images)))
    if min(images.shape[1:3]) >= SHORTEST_SIDE:
        found["ms_ssim"] = float(mean_over_pairs(ms_ssim, images))
    return found


def _distance_maps(a, b, lpips):
    a, b = (images.astype(np.float32) / 255 for images in (a, b))
    maps = [np.asarray(absolute_difference(a, b))[0]]
    return maps if lpips is None else [*maps, np.asarray(_lpips_map(lpips, a, b))[0]]


@jax.jit
def _embed(variables, images):
    return LPIPS().apply(variables, 2 * images - 1, method="embed")


@jax.jit
def _lpips_of_embeddings(variables, a, b):
    return LPIPS().apply(variables, a, b, method="distance").sum(-1)


@jax.jit
def _lpips_map(variables, a, b):
    module = LPIPS()
    a, b = (module.apply(variables, 2 * images - 1, method="embed") for images in (a, b))
    return module.apply(variables, a, b, a[0].shape[1:3], method="distance_map")


def _mean_where_known(values):
    known = np.isfinite(values)
    return np.where(known.any(0), np.where(known, values, 0).sum(0) / np.maximum(known.sum(0), 1), np.nan)
