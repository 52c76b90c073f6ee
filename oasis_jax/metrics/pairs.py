"""Diversity of samples of one label map: the mean of a distance over all pairs, over the image or by region.

The published system has no code for this; the protocol is this project's own. Draw K samples per label map. The diversity of the label map
is the mean over its K (K - 1) / 2 pairs, and the score is the mean over the label maps. Report K with the score. Higher LPIPS is more
diverse; lower MS-SSIM is more diverse.

The diversity of one class is measured on samples whose noise differs only inside the region of that class. The distance of a pair is then a
map over the pixels. Its mean inside the region says how much the class varies, its mean outside how much the rest changes with it. Deep
features look beyond the border of the region, so their distance outside is not zero even where no pixel changes. `absolute_difference` has
no such halo.
"""
import operator

import jax
import jax.numpy as jnp
import numpy as np


def mean_over_pairs(distance, samples):
    """Mean of a distance over all pairs of samples.

    The pairs are formed by K // 2 rotations of the samples against themselves, so that a compiled distance sees only one shape.

    Args:
        distance: symmetric function of two batches like `samples`; returns (K, ...), one distance or one map of distances per pair.
        samples: (K, H, W, 3) samples of one label map, or a pytree of arrays (K, ...) such as their embeddings.

    Returns:
        float64 array (...), the shape of one distance.

    Raises:
        ValueError: there are fewer than two samples.
    """
    count = len(jax.tree.leaves(samples)[0])
    if count < 2:
        raise ValueError(f"diversity needs at least 2 samples of a label map, got {count}")
    total = 0.0
    for shift in range(1, count // 2 + 1):
        turn = (np.arange(count) + shift) % count
        rotated = jax.tree.map(operator.itemgetter(turn), samples)
        distances = np.asarray(distance(samples, rotated), np.float64)
        total = total + distances.sum(axis=0) / (2 if 2 * shift == count else 1)  # a rotation by K / 2 visits each pair twice
    return total / (count * (count - 1) / 2)


def inside_and_outside(distance_map, region):
    """Means of a map over a region and over the rest of the image.

    Args:
        distance_map: (H, W) real, from `mean_over_pairs` with a distance that returns maps.
        region: (H, W) bool, the pixels of the class whose noise differs.

    Returns:
        Two floats; NaN for a part without pixels. Average them over label maps with `np.nanmean`, so that every label map has equal weight.

    Raises:
        ValueError: the shapes differ.
    """
    distance_map = np.asarray(distance_map, np.float64)
    if distance_map.shape != region.shape:
        raise ValueError(f"distance map of shape {distance_map.shape}, region of shape {region.shape}: resize both to the image")
    return tuple(float(distance_map[part].mean()) if part.any() else float("nan") for part in (region, ~region))


def absolute_difference(a, b):
    """Distance map (B, H, W) of images (B, H, W, 3) in the same range: the mean of |a - b| over the channels."""
    return jnp.abs(a.astype(jnp.float32) - b.astype(jnp.float32)).mean(-1)
