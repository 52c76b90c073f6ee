"""One pass over a set of images. What is left of it has a fixed size, but for one row of features and one number per image, on disk.

The same pass measures real photos, generated images and those of any other system. It can be interrupted: what was measured lies in a cache
under a key of everything that it depends on, and the pass goes on from there; a set that was measured whole is not looked at again. Of
several processes, each measures and keeps its part of the set.
"""
import dataclasses
import functools
import pathlib
import tempfile
import time
import zipfile
from typing import Any

import jax
import numpy as np
import PIL
from tqdm import tqdm

from oasis_jax.metrics.cache import cache_folder, key_of, locked, replacing
from oasis_jax.metrics.colour import BINS, class_histograms, colour_histograms
from oasis_jax.metrics.frechet import Moments
from oasis_jax.metrics.parts import gather, gather_rows, part_of
from oasis_jax.metrics.segmentation import confusion_matrix
from oasis_jax.metrics.texture import PATTERNS, texture_histogram

SAVE_EVERY_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """Images to measure.

    Attributes:
        images: (B, H, W, 3), uint8 or float32 in [0, 1]; may lie on devices.
        label_map: (B, H, W) integer classes of the run.
        targets: (B, h, w) integer classes of the segmenter, IGNORED where none counts; None without a segmenter.
        count: how many of the B count: a last batch may be filled up.
    """

    images: Any
    label_map: np.ndarray
    targets: np.ndarray | None
    count: int


@jax.tree_util.register_dataclass
@dataclasses.dataclass(eq=False)
class Statistics:
    """What is known of a set of images, or of a part of it.

    Attributes:
        start: number of its first image.
        count: images measured.
        moments: of their features.
        features: (N, d) float32 in a file; None without a feature network.
        colours: (3, BINS) int64.
        class_colours: (num_classes, 3, BINS) int64.
        textures: (PATTERNS,) int64.
        confusion: (outputs, outputs) int64 of the segmenter.
        agreement: (N,) float64, share of each image's pixels that the segmenter labels as its label map does; NaN without pixels.
    """

    start: int
    count: int
    moments: Moments
    features: np.ndarray | None
    colours: np.ndarray
    class_colours: np.ndarray
    textures: np.ndarray
    confusion: np.ndarray
    agreement: np.ndarray

    def update(self, batch, judges):
        """Adds a Batch."""
        kept = slice(0, batch.count)
        rows = slice(self.count, self.count + batch.count)
        if judges.extract:
            features = np.asarray(judges.extract(batch.images))[kept]
            self.moments = self.moments.update(features, self.start + self.count)
            self.features[rows] = features
        images = as_bytes(np.asarray(batch.images))
        self.colours += colour_histograms(images[kept])
        self.class_colours += class_histograms(images[kept], batch.label_map[kept], len(self.class_colours))
        self.textures += texture_histogram(images[kept])
        if judges.segment:
            predicted = judges.segment(images)
            for row, target, seen in zip(range(rows.start, rows.stop), batch.targets, predicted, strict=False):
                confusion = confusion_matrix(target, seen, len(self.confusion))
                self.confusion += confusion
                self.agreement[row] = np.trace(confusion) / confusion.sum() if confusion.any() else np.nan
        self.count += batch.count

    def merge(self, following):
        """Those of this part and of the one that follows, but for `features`, which lie in files."""
        return Statistics(
            start=self.start,
            count=self.count + following.count,
            moments=self.moments.merge(following.moments),
            features=None,
            agreement=np.concatenate([self.agreement, following.agreement]),
            **{name: getattr(self, name) + getattr(following, name) for name in _COUNTS},
        )


def as_bytes(images):
    """Images in [0, 1] rounded to uint8; uint8 as it is."""
    return images if images.dtype == np.uint8 else np.round(images * 255).astype(np.uint8)


def measure(source, judges, num_classes, batch_size, description, folder=None, keep=True) -> Statistics:
    """Statistics of a set of images, from the cache as far as they are there. Every process must call this.

    Args:
        source: has `identity`, a JSON value on which the images and targets depend; `names`, one for each of the N images; and
            `batches(start, stop, batch_size)`, an iterator of Batch over images start..stop-1.
        judges: Judges.
        num_classes: of the label maps.
        batch_size: images at once.
        description: for the progress bar.
        folder: of the cache; `cache_folder()` by default. Processes may share it or not.
        keep: use the cache; else nothing is read from it or left in it.

    Raises:
        ValueError: features that are not finite, and what the source raises.
    """
    if not keep:
        with tempfile.TemporaryDirectory() as scratch:
            return measure(source, judges, num_classes, batch_size, description, scratch)
    folder = pathlib.Path(folder or cache_folder())
    folder.mkdir(parents=True, exist_ok=True)
    judged_by = [dict(judges.sha256), repr(judges.segmenter), judges.dimensions]
    part = part_of(len(source.names), batch_size)
    key = key_of([PIL.__version__, source.identity, judged_by, num_classes, batch_size, part.start, part.stop])
    file = folder / f"{key}.npz"
    with locked(file):
        statistics = _restore(file, part, num_classes, judges)
        if statistics.count < len(part):
            saved = time.monotonic()
            hidden = jax.process_index() > 0
            with tqdm(total=len(part), initial=statistics.count, unit="image", desc=description, disable=hidden) as progress:
                for batch in source.batches(part.start + statistics.count, part.stop, batch_size):
                    statistics.update(batch, judges)
                    progress.update(batch.count)
                    if time.monotonic() - saved > SAVE_EVERY_SECONDS or statistics.count == len(part):
                        _save(file, statistics)
                        saved = time.monotonic()
    return _joined(statistics)


def _joined(part):
    """The Statistics of the whole set, of which every process has a part."""
    if jax.process_count() == 1:
        return part
    parts = gather(dataclasses.replace(part, features=None))
    whole = functools.reduce(Statistics.merge, parts)
    if part.features is not None:
        with tempfile.TemporaryFile() as file:
            whole.features = gather_rows(part.features, [each.count for each in parts], file)
    return whole


def _empty(part, num_classes, judges, features):
    outputs = judges.segmenter.labels.num_outputs if judges.segmenter else 0
    return Statistics(
        start=part.start,
        count=0,
        moments=Moments.empty(judges.dimensions),
        features=features,
        colours=np.zeros((3, BINS), np.int64),
        class_colours=np.zeros((num_classes, 3, BINS), np.int64),
        textures=np.zeros(PATTERNS, np.int64),
        confusion=np.zeros((outputs, outputs), np.int64),
        agreement=np.full(len(part), np.nan),
    )


_COUNTS = ("colours", "class_colours", "textures", "confusion")
_ARRAYS = (*_COUNTS, "agreement")


def _restore(file, part, num_classes, judges):
    rows = file.with_suffix(".features.npy")
    shape = (len(part), judges.dimensions)
    stored = _read(file) if not judges.extract or rows.is_file() else None
    known, features = stored is not None, None
    if judges.extract:
        features = np.lib.format.open_memmap(rows, "r+" if known else "w+", np.float32, shape)
    statistics = _empty(part, num_classes, judges, features)
    if known:
        statistics.count = int(stored["count"])
        statistics.moments = Moments(statistics.count if judges.extract else 0, stored["mean"], stored["scatter"])
        for name in _ARRAYS:
            setattr(statistics, name, stored[name])
    return statistics


def _read(file):
    """The arrays of a file of statistics; None where there is none, or a damaged one, which is measured anew."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in (*_ARRAYS, "count", "mean", "scatter")}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def _save(file, statistics):
    if statistics.features is not None:
        statistics.features.flush()  # before the count that vouches for them
    with replacing(file) as stream:
        arrays = {name: getattr(statistics, name) for name in _ARRAYS}
        np.savez(stream, count=statistics.count, mean=statistics.moments.mean, scatter=statistics.moments.scatter, **arrays)
