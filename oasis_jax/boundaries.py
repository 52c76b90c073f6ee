"""Which pixels of a label map lie near a boundary: what region-wise conditioning costs depends on how many do."""
import functools

import numpy as np


def mixed(ids, radius, xp=np):
    """Whether the neighbourhood of each pixel, 2 radius + 1 pixels high and wide, holds several ids or passes the border of the image.

    Args:
      ids: (B, H, W) signed integer, not negative.
      radius: 1 or 2.
      xp: numpy, or jax.numpy for arrays on a device.

    Returns:
      (B, H, W) bool.
    """
    low = high = ids
    for axis in (1, 2):
        low = functools.reduce(xp.minimum, _shifted(low, radius, axis, -1, xp))
        high = functools.reduce(xp.maximum, _shifted(high, radius, axis, np.iinfo(ids.dtype).max, xp))
    return low != high


def _shifted(array, radius, axis, outside, xp):
    size = array.shape[axis]
    padded = xp.pad(array, [(radius, radius) if a == axis else (0, 0) for a in range(array.ndim)], constant_values=outside)
    return [padded[(slice(None),) * axis + (slice(i, i + size),)] for i in range(2 * radius + 1)]


def mixed_shares(ids, levels):
    """The share of mixed pixels at the full size and each of the levels below it, sampled as the generator samples them.

    Args:
      ids: (H, W) integer, not negative.
      levels: how many, each half as high and wide as the one before.

    Returns:
      (levels, 2) of 0..1: of the 3x3 and the 5x5 neighbourhood.
    """
    ids = ids[None].astype(np.int16 if ids.max(initial=0) < np.iinfo(np.int16).max else np.int32)
    sampled = [ids[:, :: 2**level, :: 2**level] for level in range(levels)]
    return np.asarray([[mixed(level, radius).mean() for radius in (1, 2)] for level in sampled])
