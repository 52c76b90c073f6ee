"""One pass over a set of images. What is left of it has a fixed size, but for one row of features and one number per image, on disk.

The same pass measures real photos, generated images and those of any other system. It can be interrupted: what was measured lies in a cache
under a key of everything that it depends on, and the pass goes on from there; a set that was measured whole is not looked at again.
"""
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import pathlib
import tempfile
import time
import zipfile
from typing import Any

import numpy as np
import PIL
from tqdm import tqdm

from oasis_jax.metrics.colour import BINS, class_histograms, colour_histograms
from oasis_jax.metrics.frechet import Moments
from oasis_jax.metrics.segmentation import confusion_matrix
from oasis_jax.metrics.texture import PATTERNS, texture_histogram

SAVE_EVERY_SECONDS = 60.0
VERSION = 1  # of what is measured: raise it whenever a number changes, or the cache would give the old one


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


@dataclasses.dataclass(eq=False)
class Statistics:
    """What is known of a set of images.

    Attributes:
        count: images measured.
        moments: of their features.
        features: (N, d) float32 in a file; None without a feature network.
        colours: (3, BINS) int64.
        class_colours: (num_classes, 3, BINS) int64.
        textures: (PATTERNS,) int64.
        confusion: (outputs, outputs) int64 of the segmenter.
        agreement: (N,) float64, share of each image's pixels that the segmenter labels as its label map does; NaN without pixels.
    """

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
            self.moments = self.moments.update(features)
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


def as_bytes(images):
    """Images in [0, 1] rounded to uint8; uint8 as it is."""
    return images if images.dtype == np.uint8 else np.round(images * 255).astype(np.uint8)


def cache_folder():
    """$OASIS_JAX_CACHE/statistics, or ~/.cache/oasis_jax/statistics."""
    return pathlib.Path(os.environ.get("OASIS_JAX_CACHE", "~/.cache/oasis_jax")).expanduser() / "statistics"


def key_of(identity):
    """Hex key of a JSON value that says what a measurement depends on."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]


def measure(source, judges, num_classes, batch_size, description, folder=None, keep=True) -> Statistics:
    """Statistics of a set of images, from the cache as far as they are there.

    Args:
        source: has `identity`, a JSON value on which the images and targets depend; `names`, one for each of the N images; and
            `batches(start, batch_size)`, an iterator of Batch from image `start` on.
        judges: Judges.
        num_classes: of the label maps.
        batch_size: images at once.
        description: for the progress bar.
        folder: of the cache; `cache_folder()` by default.
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
    key = key_of([VERSION, PIL.__version__, source.identity, judged_by, num_classes, batch_size])
    file, total = folder / f"{key}.npz", len(source.names)
    with _locked(file.with_suffix(".lock")):  # of two evaluations at once, the second waits and finds it measured
        statistics = _restore(file, total, num_classes, judges)
        if statistics.count < total:
            saved = time.monotonic()
            with tqdm(total=total, initial=statistics.count, unit="image", desc=description) as progress:
                for batch in source.batches(statistics.count, batch_size):
                    statistics.update(batch, judges)
                    progress.update(batch.count)
                    if time.monotonic() - saved > SAVE_EVERY_SECONDS or statistics.count == total:
                        _save(file, statistics)
                        saved = time.monotonic()
    return statistics


@contextlib.contextmanager
def _locked(path):
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the file is closed, however the program ends
        yield


def _empty(total, num_classes, judges, features):
    outputs = judges.segmenter.labels.num_outputs if judges.segmenter else 0
    return Statistics(
        count=0,
        moments=Moments.empty(judges.dimensions),
        features=features,
        colours=np.zeros((3, BINS), np.int64),
        class_colours=np.zeros((num_classes, 3, BINS), np.int64),
        textures=np.zeros(PATTERNS, np.int64),
        confusion=np.zeros((outputs, outputs), np.int64),
        agreement=np.full(total, np.nan),
    )


_ARRAYS = ("colours", "class_colours", "textures", "confusion", "agreement")


def _restore(file, total, num_classes, judges):
    rows = file.with_suffix(".features.npy")
    shape = (total, judges.dimensions)
    stored = _read(file) if not judges.extract or rows.is_file() else None
    known, features = stored is not None, None
    if judges.extract:
        features = np.lib.format.open_memmap(rows, "r+" if known else "w+", np.float32, shape)
    statistics = _empty(total, num_classes, judges, features)
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
    unfinished = file.with_suffix(f".{os.getpid()}.tmp")
    with unfinished.open("wb") as stream:
        arrays = {name: getattr(statistics, name) for name in _ARRAYS}
        np.savez(stream, count=statistics.count, mean=statistics.moments.mean, scatter=statistics.moments.scatter, **arrays)
    unfinished.replace(file)


