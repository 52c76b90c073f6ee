"""How far the textures of generated images are from those of real ones: chi-square distance of histograms of local binary patterns.

Needs no network and no weights. OASIS reports a distance of texture distributions too, but with another, unpublished recipe.
"""
import numpy as np

from oasis_jax.metrics.colour import chi_square

PATTERNS = 256
# Neighbours (dy, dx) of a pixel, lowest bit first.
_NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


def texture_histogram(images):
    """Counts of the local binary patterns of grey images: a bit is set where the neighbour is at least as bright as the pixel.

    Args:
      images: (..., H, W, 3) uint8 with H, W >= 3; the pixels of the border have no pattern.

    Returns:
      (PATTERNS,) int64; histograms of several images are added up.
    """
    height, width = images.shape[-3:-1]
    if min(height, width) < 3:
        raise ValueError(f"images of {height}x{width} pixels have no local binary patterns: both sides must be at least 3")
    grey = np.floor(images @ np.array([0.299, 0.587, 0.114]) + 0.5).astype(np.uint8)
    centre = grey[..., 1:-1, 1:-1]
    pattern = np.zeros(centre.shape, np.uint8)
    for bit, (dy, dx) in enumerate(_NEIGHBOURS):
        neighbour = grey[..., 1 + dy : height - 1 + dy, 1 + dx : width - 1 + dx]
        pattern |= (neighbour >= centre).astype(np.uint8) << bit
    return np.bincount(pattern.ravel(), minlength=PATTERNS)


def texture_distance(real, generated):
    """Chi-square distance 0..1 of two counts of `texture_histogram`; 0 for equal distributions."""
    return float(chi_square(real, generated))
