"""Colour distance of generated from real images: chi-square distances of CIE Lab histograms, by class or over all pixels.

Needs no network and no weights. Papers on semantic image synthesis report distances of colour distributions too, but do not
publish how they are computed.
"""
import dataclasses
from typing import ClassVar

import numpy as np

from oasis_jax.metrics.metric import PHOTOS, SAMPLES, Finding, sum_counts

BINS = 64
_RANGES = ((0.0, 100.0), (-110.0, 110.0), (-110.0, 110.0))
_TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
_WHITE = np.array([0.95047, 1.0, 1.08883])


def lab(image):
    """Converts sRGB uint8 (..., 3) to CIE Lab float64 (..., 3) under D65: L in 0..100, a and b within about -110..110."""
    levels = np.arange(256) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    xyz = linear[image] @ _TO_XYZ.T / _WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def class_histograms(image, label_map, num_classes):
    """Histograms of the Lab channels over the pixels of each class.

    Args:
        image: (..., 3) uint8.
        label_map: (...) integer in 0..num_classes-1.
        num_classes: N.

    Returns:
        (N, 3, BINS) int64 counts, which can be added over several images.
    """
    low, high = np.array(_RANGES).T
    bins = np.clip((lab(image) - low) / (high - low) * BINS, 0, BINS - 1).astype(np.int64).reshape(-1, 3)
    cells = (label_map.reshape(-1, 1).astype(np.int64) * 3 + np.arange(3)) * BINS + bins
    return np.bincount(cells.ravel(), minlength=num_classes * 3 * BINS).reshape(num_classes, 3, BINS)


def colour_histograms(images):
    """Histograms of the Lab channels over all pixels.

    Args:
        images: (..., 3) uint8.

    Returns:
        (3, BINS) int64 counts, which can be added over several images. `chi_square` of two of them gives one distance each for L, a and b.
    """
    return class_histograms(images, np.zeros(images.shape[:-1], np.int64), 1)[0]


def chi_square(p, q):
    """0.5 sum (p - q)^2 / (p + q) over the last axis, for histograms normalised to 1: 0 if they are equal, 1 if disjoint."""
    p, q = (h / np.maximum(h.sum(-1, keepdims=True), 1) for h in (p, q))
    return 0.5 * np.sum((p - q) ** 2 / np.where(p + q > 0, p + q, 1), axis=-1)


def colour_distance(real, generated, dontcare_id=-1):
    """Mean chi-square distance over the channels and the classes present, excluding the don't-care class.

    Args:
        real, generated: (N, 3, BINS) counts from `class_histograms` over the same label maps.
        dontcare_id: class to exclude, or -1.

    Returns:
        float in 0..1, lower is better; NaN if no class is present.
    """
    present = real.sum((1, 2)) > 0
    present[dontcare_id] &= dontcare_id < 0
    return float(chi_square(real, generated)[present].mean()) if present.any() else float("nan")


@dataclasses.dataclass(frozen=True)
class ColourDistance:
    """Chi-square distances of Lab histograms, over all pixels and by class; a `metric.Metric`.

    Attributes:
        num_classes: N; 0 without label maps.
        dontcare_id: class to exclude from the mean, or -1.
    """

    num_classes: int = 0
    dontcare_id: int = -1

    sets: ClassVar = (PHOTOS, SAMPLES)
    of_run: ClassVar = False
    rows: ClassVar = {}
    merge: ClassVar = staticmethod(sum_counts)

    @property
    def higher_is_better(self):
        names = ["colour_distance"] * (self.num_classes > 0) + [f"colour_distance_{channel}" for channel in "lab"]
        return dict.fromkeys(names, False)

    @property
    def identity(self):
        return ["colour", BINS, self.num_classes]

    def start(self):
        return {"all": np.zeros((3, BINS), np.int64), "by_class": np.zeros((self.num_classes, 3, BINS), np.int64)}

    def add(self, counts, batch):
        images = batch.bytes[: batch.count]
        added = {"all": colour_histograms(images), "by_class": np.zeros((0, 3, BINS), np.int64)}
        if self.num_classes:
            added["by_class"] = class_histograms(images, batch.label_map[: batch.count], self.num_classes)
        return sum_counts(counts, added), {}

    def finish(self, reference, scored):
        distances = chi_square(reference.counts["all"], scored.counts["all"])
        scores = {f"colour_distance_{name}": float(distance) for name, distance in zip("lab", distances, strict=True)}
        note = "colour_distance: chi-square distance 0..1 of histograms of CIE Lab; _l, _a, _b over all pixels"
        if not self.num_classes:
            return Finding(scores, notes=(note,))
        real, generated = reference.counts["by_class"], scored.counts["by_class"]
        scores["colour_distance"] = colour_distance(real, generated, self.dontcare_id)
        of_classes = np.array([colour_distance(real[i : i + 1], generated[i : i + 1]) for i in range(self.num_classes)])
        of_classes[np.arange(self.num_classes) == self.dontcare_id] = np.nan
        return Finding(scores, tables={"per_class": {"colour": of_classes}}, notes=(f"{note}, else the mean over the classes",))
