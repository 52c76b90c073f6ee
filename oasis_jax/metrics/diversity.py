"""How much samples of one label map differ from each other: the mean of a distance over all pairs, over the image or by region.

The published system has no code for this; the protocol is this project's own. For each label map draw K samples; the label map's diversity
is the mean over its K (K - 1) / 2 pairs; the score is the mean over the label maps. K belongs to the number: print it. With LPIPS higher is
more diverse, with MS-SSIM lower.

The diversity of one class is measured with samples whose noise differs inside that class's region alone. The distance of a pair is then a
map over the pixels: its mean inside the region says how much the class varies, its mean outside how much that changes the rest. Deep
features look beyond the region's border, so their distance outside is not zero even where no pixel changes there: `absolute_difference` is
the map that has no such halo.
"""
import operator

import jax
import jax.numpy as jnp
import numpy as np


def mean_over_pairs(distance, samples):
    """Mean of a distance over all pairs of samples.

    The pairs are taken as K // 2 rotations of the samples against themselves, so that a compiled distance sees one shape only.

    Args:
      distance: symmetric function of two batches like `samples`, one distance or one map of distances for each pair: (K, ...).
      samples: (K, H, W, 3) samples of one label map, or a pytree of arrays (K, ...) such as their embeddings.

    Returns:
      float64 array (...), the shape of one distance.

    Raises:
      ValueError: fewer than two samples.
    """
    count = len(jax.tree.leaves(samples)[0])
    if count < 2:
        raise ValueError(f"diversity needs at least 2 samples of a label map, got {count}")
    total = 0.0
    for shift in range(1, count // 2 + 1):
        turn = (np.arange(count) + shift) % count
        rotated = jax.tree.map(operator.itemgetter(turn), samples)
        distances = np.asarray(distance(samples, rotated), np.float64)
        total = total + distances.sum(axis=0) / (2 if 2 * shift == count else 1)  # half a turn meets each pair twice
    return total / (count * (count - 1) / 2)


def inside_and_outside(distance_map, region):
    """Means of a map over a region and over the rest of the image.

    Args:
      distance_map: (H, W) real, as `mean_over_pairs` gives it for a distance of maps.
      region: (H, W) bool, the pixels of the class whose noise differs.

    Returns:
      two floats; NaN for a part without pixels. Average them over label maps with `np.nanmean`, every label map counting alike.

    Raises:
      ValueError: the shapes differ.
    """
    distance_map = np.asarray(distance_map, np.float64)
    if distance_map.shape != region.shape:
        raise ValueError(f"distance map of shape {distance_map.shape}, region of shape {region.shape}: bring both to the size of the image")
    return tuple(float(distance_map[part].mean()) if part.any() else float("nan") for part in (region, ~region))


def absolute_difference(a, b):
    """Distance map (B, H, W) of images (B, H, W, 3) in one range: the mean over the channels of |a - b|."""
    return jnp.abs(a.astype(jnp.float32) - b.astype(jnp.float32)).mean(-1)
