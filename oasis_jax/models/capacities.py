"""How much room conditioning on regions gives an image, level by level: from what label maps were counted to have."""
import math
from typing import NamedTuple

import numpy as np

from oasis_jax.boundaries import boundary_counts

LARGEST_SHARE = 0.8  # of pixels with a mixed 5x5 neighbourhood, up to which a level is computed on regions

# Shares of the full image's pixels whose 5x5 neighbourhood is mixed, and what else a map may have for each such pixel: rows are levels,
# columns those of boundary_counts. A tenth over what the label maps of CamVid have on average; one with more takes the next share.
_BUCKETS = (0.1, 0.14, 0.17, 0.21, 0.26, 0.36, 0.5)
_USUAL = np.asarray([[0.62, 1, 0.13, 0.47], [0.26, 0.43, 0.08, 0.225], [0.105, 0.175, 0.045, 0.105], [0.042, 0.068, 0.026, 0.048]])


class Capacity(NamedTuple):
    """Room for an image at one level; the numbers are those of `boundaries.boundary_counts`.

    Attributes:
      near, far: pixels whose 3x3 and whose 5x5 neighbourhood is mixed.
      hidden, modulation: different mixed 3x3 and 5x5 neighbourhoods.
    """

    near: int
    far: int
    hidden: int
    modulation: int


def choose_capacities(counts, size, largest=LARGEST_SHARE, slack=1.05):
    """Capacities for a Generator: room for the counts at the levels where few enough pixels are mixed.

    Args:
      counts: (levels, 4) as of `boundaries.boundary_counts`, which the images shall fit.
      size: (H, W) of the full image.
      largest: share of pixels with a mixed 5x5 neighbourhood above which the dense way is the faster one.
      slack: room over the counts.

    Returns:
      tuple of Capacity, or None for a dense level, fine to coarse, without the dense ones at its end.
    """
    capacities = []
    for level, row in enumerate(np.asarray(counts)):
        pixels = size[0] * size[1] // 4**level
        capacity = Capacity(*(min(math.ceil(slack * count), pixels) for count in row))
        capacities.append(capacity if capacity.far <= largest * pixels else None)
    return _without_dense_end(capacities)


def describe(capacities, size):
    """Which levels of a generator of images of a size (H, W) are computed on regions, and with which room: a line of text."""
    levels = [(f"{size[0] >> level}x{size[1] >> level}", capacity) for level, capacity in enumerate(capacities) if capacity]
    rooms = [f"{name} for {capacity.modulation} different neighbourhoods of {capacity.far} pixels" for name, capacity in levels]
    return f"conditioning on regions at {', '.join(rooms)}; dense elsewhere" if rooms else "conditioning is dense"


def bucket(ids, largest=LARGEST_SHARE):
    """Capacities from a short list, so that images of one size share a few compiled programs.

    Args:
      ids: (H, W) integer, not negative.
      largest: as for `choose_capacities`.

    Returns:
      The smallest of the list that the ids fit on the levels where regions pay, as of `choose_capacities`; () if they fit none.
    """
    counts = boundary_counts(ids, len(_USUAL))
    pixels = ids.size // 4 ** np.arange(len(_USUAL))
    pays = counts[:, 1] <= largest * pixels
    for share in _BUCKETS:
        rooms = np.minimum(np.ceil(_USUAL * share * ids.size), pixels[:, None]).astype(int)
        if np.any(pays) and np.all(counts[pays] <= rooms[pays]):
            return _without_dense_end([Capacity(*row) if pay else None for row, pay in zip(rooms.tolist(), pays, strict=True)])
    return ()


def _without_dense_end(capacities):
    last = max((i for i, capacity in enumerate(capacities) if capacity), default=-1)
    return tuple(capacities[: last + 1])
