"""Texture distance of generated from real images: chi-square distance of histograms of local binary patterns.

Needs no network and no weights. Papers on semantic image synthesis report distances of texture distributions too, but do not
publish how they are computed.
"""
import dataclasses
from typing import ClassVar

import numpy as np

from oasis_jax.metrics.colour import chi_square
from oasis_jax.metrics.metric import PHOTOS, SAMPLES, Finding, sum_counts

PATTERNS = 256
BRIGHTNESS = np.array([0.299, 0.587, 0.114])  # weights of red, green and blue
# Offsets (dy, dx) of a pixel's neighbours, lowest bit first.
_NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


def texture_histogram(images):
    """Histogram of local binary patterns of grey values: a bit is set where the neighbour is at least as bright as the pixel.

    Args:
        images: (..., H, W, 3) uint8 with H, W >= 3; border pixels have no pattern.

    Returns:
        (PATTERNS,) int64 counts, which can be added over several images.

    Raises:
        ValueError: a side is shorter than 3.
    """
    height, width = images.shape[-3:-1]
    if min(height, width) < 3:
        raise ValueError(f"images of {height}x{width} pixels have no local binary patterns: both sides must be at least 3")
    grey = np.floor(images @ BRIGHTNESS + 0.5).astype(np.uint8)
    centre = grey[..., 1:-1, 1:-1]
    pattern = np.zeros(centre.shape, np.uint8)
    for bit, (dy, dx) in enumerate(_NEIGHBOURS):
        neighbour = grey[..., 1 + dy : height - 1 + dy, 1 + dx : width - 1 + dx]
        pattern |= (neighbour >= centre).astype(np.uint8) << bit
    return np.bincount(pattern.ravel(), minlength=PATTERNS)


def texture_distance(real, generated):
    """Chi-square distance 0..1 of two histograms from `texture_histogram`; 0 for equal distributions."""
    return float(chi_square(real, generated))


@dataclasses.dataclass(frozen=True)
class TextureDistance:
    """Chi-square distance of histograms of local binary patterns; a `metric.Metric`."""

    sets: ClassVar = (PHOTOS, SAMPLES)
    higher_is_better: ClassVar = {"texture_distance": False}
    identity: ClassVar = ["texture"]
    of_run: ClassVar = False
    rows: ClassVar = {}
    merge: ClassVar = staticmethod(sum_counts)

    def start(self):
        return {"patterns": np.zeros(PATTERNS, np.int64)}

    def add(self, counts, batch):
        return sum_counts(counts, {"patterns": texture_histogram(batch.bytes[: batch.count])}), {}

    def finish(self, reference, scored):
        distance = texture_distance(reference.counts["patterns"], scored.counts["patterns"])
        note = "texture_distance: chi-square distance 0..1 of histograms of local binary patterns"
        return Finding({"texture_distance": distance}, notes=(note,))
