"""One pass over a set of images, for all metrics at once. Memory does not grow with the number of images; rows per image are on disk.

The same pass measures real photos, generated images and those of any other system. It can be interrupted: each metric's counts are cached
under a key of everything that they depend on, and the pass is resumed from there. Complete measurements are not repeated. With several
processes, each measures and caches its part of the set.
"""
import contextlib
import functools
import pathlib
import tempfile
import time
import tokenize

import numpy as np
import PIL
from tqdm import tqdm

from oasis_jax.evaluation.cache import key_of, locked, replacing, usable
from oasis_jax.metrics.metric import Measured
from oasis_jax.parallel.processes import gather, gather_rows, is_first, num_processes, part_of
from oasis_jax.state_dicts import read_npz

SAVE_EVERY_SECONDS = 60.0


def measure(source, metrics, batch_size, folder, keep=lambda metric: True):
    """Computes the counts of every metric over a set of images, or reads them from the cache. Every process must call this.

    Args:
        source: has `identity`, a JSON value on which the images and targets depend; `description`, for the progress bar; `names`, one per
            image; and `batches(start, stop, batch_size)`, an iterator of `metrics.metric.Batch` over images start..stop-1.
        metrics: list of `metrics.metric.Metric`.
        batch_size: images per batch.
        folder: path of the cache, which processes may share or not; created if anything is cached. If it cannot be written to, nothing is.
        keep: metric -> whether its counts are read from and stored in the cache.

    Returns:
        [Measured], one for each metric.

    Raises:
        ValueError: a value is not finite, or two metrics have the same identity. Errors of the source are passed on.
    """
    part, kept = part_of(len(source.names), batch_size), [keep(metric) for metric in metrics]
    if any(kept) and not usable(folder):
        kept = [False] * len(metrics)
    if any(kept):
        identity = source.identity  # may be slow, such as hashing weights
    with contextlib.ExitStack() as stack:
        scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tallies = []
        for number, (metric, is_kept) in enumerate(zip(metrics, kept, strict=True)):
            file = scratch / f"{number}.npz"
            if is_kept:
                key = key_of([PIL.__version__, identity, metric.identity, batch_size, part.start, part.stop])
                file = folder / f"{key}.npz"
            tallies.append(Tally(metric, file, part, is_kept))
        if len({tally.file for tally in tallies}) < len(tallies):
            raise ValueError(f"two metrics have the same identity among {[metric.identity for metric in metrics]}")
        for tally in sorted(tallies, key=lambda tally: tally.file):  # in a fixed order, so that two programs cannot deadlock
            lock = stack.enter_context(locked(tally.file))
            tally.restore()
            if tally.images == len(part):
                lock.release()  # nothing will be written
        _pass_over(source, [tally for tally in tallies if tally.images < len(part)], part, batch_size)
    return [_merge_processes(tally) for tally in tallies]


def _pass_over(source, tallies, part, batch_size):
    done, saved = min((tally.images for tally in tallies), default=len(part)), time.monotonic()
    if done == len(part):
        return
    with tqdm(total=len(part), initial=done, unit="image", desc=source.description, disable=not is_first(), leave=False) as progress:
        for batch in source.batches(part.start + done, part.stop, batch_size):
            for tally in tallies:
                tally.add(batch)
            done += batch.count
            progress.update(batch.count)
            if time.monotonic() - saved > SAVE_EVERY_SECONDS or done == len(part):
                for tally in tallies:
                    tally.save()
                saved = time.monotonic()


class Tally:
    """The counts of one metric over one process's part of a set, stored in a file.

    Attributes:
        metric: the metric.
        file: file of the counts; the rows are in files next to it.
        part: range of the images to count.
        kept: whether the files outlive the pass.
        images: number of images counted.
        counts, rows: as in `Measured`.
    """

    def __init__(self, metric, file, part, kept):
        self.metric, self.file, self.part, self.kept = metric, file, part, kept
        self.images, self.counts, self.rows = 0, metric.start(), {}

    def restore(self):
        """Reads the counts from the file. If it, or a file of rows, is missing or damaged, everything is measured again."""
        stored = _read(self.file)
        if stored is not None and stored.keys() == self.counts.keys() | {"images"} and self._rows_are_whole():
            self.images, self.counts, mode = int(stored.pop("images")), stored, "r+"
        else:
            self.file.unlink(missing_ok=True)  # before the rows that it declares valid are replaced
            mode = "w+"
        self.rows = {name: np.lib.format.open_memmap(self._row_file(name), mode, *self._row_type(name)) for name in self.metric.rows}

    def _row_file(self, name):
        return self.file.with_suffix(f".{name}.npy")

    def _row_type(self, name):
        shape, dtype = self.metric.rows[name]
        return np.dtype(dtype), (len(self.part), *shape)

    def _rows_are_whole(self):
        """Whether the files of rows exist and have the right type and size."""
        try:
            found = [np.lib.format.open_memmap(self._row_file(name), "r") for name in self.metric.rows]
        except (OSError, SyntaxError, ValueError, tokenize.TokenError):  # NumPy's parser of headers raises all of them
            return False
        return [(rows.dtype, rows.shape) for rows in found] == [self._row_type(name) for name in self.metric.rows]

    def add(self, batch):
        """Adds a batch to the counts, unless it was counted before."""
        begin = batch.first - self.part.start
        if begin < self.images:
            return
        self.counts, rows = self.metric.add(self.counts, batch)
        for name, values in rows.items():
            self.rows[name][begin : begin + batch.count] = values
        self.images = begin + batch.count

    def save(self):
        """Writes the counts to the file if `kept`."""
        if self.kept:
            for rows in self.rows.values():
                rows.flush()  # before the count that says how many are valid
            with replacing(self.file) as stream:
                np.savez(stream, images=self.images, **self.counts)


def _merge_processes(tally):
    """Merges the parts of all processes into the Measured of the whole set."""
    if num_processes() == 1:
        return Measured(tally.images, tally.counts, tally.rows)
    parts = gather({"images": tally.images, "counts": tally.counts})
    counts = functools.reduce(tally.metric.merge, (each["counts"] for each in parts))
    images, rows = [each["images"] for each in parts], {}
    for name, own in tally.rows.items():
        with tempfile.TemporaryFile() as file:
            rows[name] = gather_rows(own, images, file)
    return Measured(sum(images), counts, rows)


def _read(file):
    """The arrays of a file of counts; None if it is missing or damaged."""
    try:
        return read_npz(file)
    except (OSError, ValueError):
        return None
