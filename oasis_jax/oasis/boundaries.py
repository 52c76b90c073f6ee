"""Boundary statistics of label maps: how many pixels lie near a boundary, and how many distinct neighbourhoods they have.

The cost of region-wise conditioning (`oasis/regions.py`) depends on these numbers.
"""
import functools

import numpy as np

_FACTORS = np.random.default_rng(0).integers(0, 2**32, (2, 25), np.uint32) | np.uint32(1)


def mixed(ids, radius, xp=np):
    """Marks pixels whose neighbourhood, 2 radius + 1 pixels high and wide, holds several ids or crosses the image border.

    Args:
        ids: (B, H, W) of a signed integer dtype, without negative values.
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


def fingerprints(patterns, xp=np):
    """Two hashes (..., 2) uint32 of integer patterns (..., n), n at most 25; equal patterns have equal hashes."""
    patterns = patterns.astype(np.uint32)
    mixed_up = patterns ^ (patterns << 13) ^ (patterns >> 7)
    return xp.stack([(mixed_up * factors[: patterns.shape[-1]]).sum(-1, dtype=np.uint32) for factors in _FACTORS], axis=-1)


def boundary_counts(ids, levels):
    """Counts boundary pixels and distinct neighbourhoods of a map, at full size and at coarser levels sampled as in the generator.

    Args:
        ids: (H, W) integer, not negative.
        levels: number of levels, each half as high and wide as the previous one.

    Returns:
        int64 (levels, 4): pixels with a mixed 3x3 and a mixed 5x5 neighbourhood, then the number of distinct 3x3 and 5x5 neighbourhoods
        among them.
    """
    ids = ids[None].astype(np.int32)
    return np.asarray([_count(ids[:, :: 2**level, :: 2**level]) for level in range(levels)], np.int64)


def _count(ids):
    pixels, patterns = [], []
    for radius in (1, 2):
        mask = mixed(ids, radius)[0]
        padded = np.pad(ids[0], radius, constant_values=-1)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * radius + 1,) * 2)[mask]
        hashes = fingerprints(windows.reshape(len(windows), -1)).astype(np.uint64)
        pixels.append(len(windows))
        patterns.append(len(np.unique(hashes[:, 0] << np.uint64(32) | hashes[:, 1])))
    return *pixels, *patterns
