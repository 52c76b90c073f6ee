"""The interface of metrics: a metric accumulates counts over sets of images, and computes scores from the counts of two sets."""
import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import numpy as np

# Sets of images that metrics compare.
PHOTOS = "photos"
SAMPLES = "samples"  # of the averaged generator, or of a folder of any system's images
RAW_SAMPLES = "raw samples"  # of the generator in training, not its average


@dataclasses.dataclass(eq=False)
class Batch:
    """Some images of a set.

    Attributes:
        images: (B, H, W, 3), uint8, or float32 in [0, 1]; may be on devices.
        label_map: (B, H, W) integer classes of the data; None without label maps.
        targets: (B, h, w) integer classes of the segmenter, IGNORED at pixels that are not scored; None without a segmenter.
        first: index of the first image in the whole set.
        count: number of images without padding; only the last batch may be padded.
    """

    images: Any
    label_map: np.ndarray | None
    targets: np.ndarray | None
    first: int
    count: int
    _computed: dict[Any, Any] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def bytes(self):
        """The images as uint8 on the host, with padding."""
        return self.once("bytes", lambda batch: as_bytes(np.asarray(batch.images)))

    def once(self, key, function: Callable[["Batch"], Any]):
        """`function(self)`, computed once for all metrics that use this key."""
        if key not in self._computed:
            self._computed[key] = function(self)
        return self._computed[key]


@dataclasses.dataclass(eq=False)
class Measured:
    """The counts of a metric over a whole set.

    Attributes:
        images: number of images.
        counts: {name: array}.
        rows: {name: (images, ...)}, one row per image; may be memory-mapped files.
    """

    images: int
    counts: Mapping[str, np.ndarray]
    rows: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Finding:
    """The result of a metric for two sets.

    Attributes:
        scores: {name: number}; NaN if undefined.
        ceiling: {name: number}, scores of the photos themselves.
        tables: {table: {column: one value per row}}, for the tables of a report.
        per_image: {name: (images,)}, scores of the images of the second set; NaN if undefined.
        notes: what a reader must know about the scores.
    """

    scores: Mapping[str, float]
    ceiling: Mapping[str, float] = dataclasses.field(default_factory=dict)
    tables: Mapping[str, Mapping[str, np.ndarray]] = dataclasses.field(default_factory=dict)
    per_image: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Metric(Protocol):
    """Scores that are computed from one pass over each of two sets.

    Attributes:
        sets: the two sets: the reference, and the one that is scored.
        higher_is_better: {score: bool}, for the scores that can choose the best checkpoint.
        identity: JSON value: everything that the counts depend on, besides the images and their labels.
        of_run: whether the counts depend on the run's own networks.
        rows: {name: (shape, dtype)} of what `add` returns for each image.
        window: optional; a metric of raw samples counts only the first `window` images of each set, and no more are generated.
        group_size: optional; its batches are whole groups of so many images.
    """

    sets: tuple[str, str]
    higher_is_better: Mapping[str, bool]
    identity: Any
    of_run: bool
    rows: Mapping[str, tuple[tuple[int, ...], Any]]

    def start(self) -> dict[str, np.ndarray]:
        """The counts of no images."""

    def add(self, counts, batch: Batch) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The counts with one more batch, and the rows of the batch's `count` images. Raises ValueError for values that are not finite."""

    def merge(self, counts, following) -> dict[str, np.ndarray]:
        """The counts of two consecutive parts of a set together."""

    def finish(self, reference: Measured, scored: Measured) -> Finding:
        """The scores, from the counts of both sets."""


def hash_weights(variables):
    """sha256, in hex, of the arrays of a pytree, for `identity`."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(jax.device_get(variables)):
        digest.update(np.ascontiguousarray(leaf))
    return digest.hexdigest()


def sum_counts(counts, following):
    """Adds counts: the `merge` of metrics whose counts are sums."""
    return {name: counts[name] + following[name] for name in counts}


def as_bytes(images):
    """Rounds images in [0, 1] to uint8; returns uint8 images as they are. Raises ValueError for numbers that are not finite."""
    if images.dtype == np.uint8:
        return images
    if not np.isfinite(images).all():
        raise ValueError("the generated images hold NaN or infinite numbers, so they have no scores: choose another checkpoint")
    return np.round(images * 255).astype(np.uint8)
