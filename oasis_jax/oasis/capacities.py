"""Capacities of region-wise conditioning, level by level, chosen from the boundary counts of label maps."""
import math
from typing import NamedTuple

import numpy as np

from oasis_jax import target
from oasis_jax.oasis.boundaries import boundary_counts

SMALL = 100 * 100  # with "auto", images of up to this many pixels are dense, because that compiles faster
LARGEST_SHARE = 0.8  # largest share of pixels with a mixed 5x5 neighbourhood for a level on regions

# _USUAL: capacities per pixel of the full image whose 5x5 neighbourhood is mixed; rows are levels, columns are those of boundary_counts.
# The values are a tenth above the average of CamVid's label maps.
_USUAL = np.asarray([[0.62, 1, 0.13, 0.47], [0.26, 0.43, 0.08, 0.225], [0.105, 0.175, 0.045, 0.105], [0.042, 0.068, 0.026, 0.048]])
_SHARE = 0.5  # largest share of mixed pixels at full size for which sampling conditions on regions


class Capacity(NamedTuple):
    """Limits for an image at one level, in the units of `boundaries.boundary_counts`.

    Attributes:
        near, far: pixels with a mixed 3x3 and a mixed 5x5 neighbourhood.
        hidden, modulation: distinct mixed 3x3 and 5x5 neighbourhoods.
    """

    near: int
    far: int
    hidden: int
    modulation: int


def on_regions(conditioning, size):
    """Whether images of a size (H, W) are conditioned on regions.

    Args:
        conditioning: "dense", "regions", or "auto", which means regions on CPU for images of more than `SMALL` pixels.
        size: (H, W).

    Raises:
        ValueError: `conditioning` has another value.
    """
    if conditioning not in ("auto", "dense", "regions"):
        raise ValueError(f"model.conditioning={conditioning} is not one of auto, dense, regions")
    return conditioning == "regions" or (conditioning == "auto" and target.platform() == "cpu" and size[0] * size[1] > SMALL)


def choose_capacities(counts, size, largest=LARGEST_SHARE, slack=1.05):
    """Chooses a Generator's capacities so that they hold given counts. Levels with too many mixed pixels stay dense.

    Args:
        counts: (levels, 4) from `boundaries.boundary_counts`, which must fit.
        size: (H, W) of the full image.
        largest: share of pixels with a mixed 5x5 neighbourhood above which dense computation is faster.
        slack: factor by which capacities exceed the counts.

    Returns:
        Tuple of Capacity, or None for a dense level, fine to coarse, without trailing dense levels.
    """
    capacities = []
    for level, row in enumerate(np.asarray(counts)):
        pixels = size[0] * size[1] // 4**level
        capacity = Capacity(*(min(math.ceil(slack * count), pixels) for count in row))
        capacities.append(capacity if capacity.far <= largest * pixels else None)
    return _without_dense_end(capacities)


def of_spade(capacities, affine_blocks):
    """Capacities, fine to coarse, without those of the finest `affine_blocks` levels, whose blocks convolve no label maps."""
    return _without_dense_end((None,) * min(affine_blocks, len(capacities)) + tuple(capacities[affine_blocks:]))


def describe(capacities, size):
    """One line of text: the levels that are computed on regions, and their capacities, for images of size (H, W)."""
    levels = [(f"{size[0] >> level}x{size[1] >> level}", capacity) for level, capacity in enumerate(capacities) if capacity]
    held = [f"{name} (capacity: {capacity.modulation} distinct neighbourhoods of {capacity.far} pixels)" for name, capacity in levels]
    return f"conditioning on regions at {', '.join(held)}; dense elsewhere" if held else "conditioning is dense"


def of_size(size):
    """Capacities of all levels, fine to coarse, for sampling images of a size (H, W): one compiled program serves nearly all label maps.

    Rows that an image does not use cost little (`regions.convolve_used_rows`), while each additional program takes long to compile.
    """
    pixels = size[0] * size[1] // 4 ** np.arange(len(_USUAL))
    rooms = np.minimum(np.ceil(_USUAL * _SHARE * size[0] * size[1]), pixels[:, None]).astype(int)
    return tuple(Capacity(*row) for row in rooms.tolist())


def hold(capacities, counts):
    """Whether capacities hold boundary counts (levels, 4), so that no map with at most these counts needs the dense form."""
    levels = zip(capacities, counts[: len(capacities)], strict=True)
    return all(np.all(row <= np.asarray(capacity)) for capacity, row in levels if capacity)


def fit(ids, capacities):
    """Whether integer ids (H, W), not negative, fit capacities."""
    return hold(capacities, boundary_counts(ids, len(capacities)))


def _without_dense_end(capacities):
    last = max((i for i, capacity in enumerate(capacities) if capacity), default=-1)
    return tuple(capacities[: last + 1])
