"""How far the colours of generated images are from those of real ones, by class or over all: chi-square distances of CIE Lab histograms.

Needs no network and no weights. OASIS reports distances of colour distributions too, but with another, unpublished recipe.
"""
import numpy as np

BINS = 64
_RANGES = ((0.0, 100.0), (-110.0, 110.0), (-110.0, 110.0))
_TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
_WHITE = np.array([0.95047, 1.0, 1.08883])


def lab(image):
    """sRGB uint8 (..., 3) as CIE Lab float64 (..., 3) under D65: L in 0..100, a and b within -110..110 or so."""
    levels = np.arange(256) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    xyz = linear[image] @ _TO_XYZ.T / _WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def class_histograms(image, label_map, num_classes):
    """Counts of the Lab channels over the pixels of each class.

    Args:
      image: (..., 3) uint8.
      label_map: (...) integer in 0..num_classes-1.
      num_classes: N.

    Returns:
      (N, 3, BINS) int64; histograms of several images are added up.
    """
    low, high = np.array(_RANGES).T
    bins = np.clip((lab(image) - low) / (high - low) * BINS, 0, BINS - 1).astype(np.int64).reshape(-1, 3)
    cells = (label_map.reshape(-1, 1).astype(np.int64) * 3 + np.arange(3)) * BINS + bins
    return np.bincount(cells.ravel(), minlength=num_classes * 3 * BINS).reshape(num_classes, 3, BINS)


def colour_histograms(images):
    """Counts of the Lab channels over all pixels.

    Args:
      images: (..., 3) uint8.

    Returns:
      (3, BINS) int64; histograms of several images are added up, and `chi_square` of two such sums has one distance for L, a and b each.
    """
    return class_histograms(images, np.zeros(images.shape[:-1], np.int64), 1)[0]


def chi_square(p, q):
    """0.5 sum (p - q)^2 / (p + q) over the last axis, of histograms normalised to 1: 0 for equal ones, 1 for disjoint ones."""
    p, q = (h / np.maximum(h.sum(-1, keepdims=True), 1) for h in (p, q))
    return 0.5 * np.sum((p - q) ** 2 / np.where(p + q > 0, p + q, 1), axis=-1)


def colour_distance(real, generated, dontcare_id=-1):
    """Mean chi-square distance over the channels and the classes present, the don't-care class left out.

    Args:
      real, generated: (N, 3, BINS) counts of `class_histograms` over the same label maps.
      dontcare_id: class to leave out, or -1.

    Returns:
      float in 0..1, lower is better; NaN if no class is present.
    """
    present = real.sum((1, 2)) > 0
    present[dontcare_id] &= dontcare_id < 0
    return float(chi_square(real, generated)[present].mean()) if present.any() else float("nan")
