"""Reads batches of examples with tf.data: files are decoded, resized, cropped and mirrored."""
import atexit
import os
import stat
import traceback
import warnings
import weakref

import numpy as np
import tensorflow as tf

from oasis_jax.data import decode
from oasis_jax.data.image_files import DataError, open_image
from oasis_jax.data.split import size_and_date

tf.config.set_visible_devices([], "GPU")  # the accelerator is JAX's

_PIECE = 16  # maximum number of examples that one Python call reads
_open_streams = weakref.WeakSet()


@atexit.register
def _close_streams():
    """Stops tf.data's threads, which call Python: otherwise they would wait forever for the lock of an interpreter that is exiting."""
    for stream in list(_open_streams):
        stream.close()


_GRAPH_DECODERS = {"image": decode.jpeg_photo, "label_map": decode.png_ids}


class Reader:
    """Reads batches of the examples of `split`, resized to `size` and cropped to `crop`, with `workers` threads (0: one per core).

    tf.data decodes the common kinds of files. One Python call per piece of a batch does the rest: other files, resize, crop and mirror.
    One call per example would cost a tenth of the throughput. Larger pieces cost more memory: all files of a piece are decoded together.

    Attributes:
        cache: {column: all examples at `size` in one array}, from which windows are cut instead of reading files; None initially.
    """

    def __init__(self, split, size, crop, workers):
        self.split, self.size, self.crop = split, tuple(size), tuple(crop)
        self.cache = None
        self._workers, self._told_of_date = workers, False
        self._files = []  # per column: the graph's decoder and the paths; where a path is empty, Pillow decodes
        for column in split.columns:
            decoder, endings = _GRAPH_DECODERS[column.name], decode.ENDINGS[column.name]
            paths = [example.files.get(column.name, "") for example in split.examples]
            self._files.append((decoder, [path if path.lower().endswith(endings) else "" for path in paths]))

    def batches(self, examples_from, batch_size):
        """Iterator over numpy batches.

        Args:
            examples_from: step -> dataset of (example, more) from batch `step` on. An example is int64 (4,): index, top, left, mirrored.
                The dict `more` is added to the batch unchanged.
            batch_size: examples per batch; a last batch with fewer is dropped.

        Raises:
            DataError: an example is unreadable, or its files have different sizes.
        """
        stream = self._stream(examples_from, batch_size)
        _open_streams.add(stream)
        return stream

    def _stream(self, examples_from, batch_size):
        step, failed = 0, None
        while True:
            try:
                for batch in self._dataset(examples_from(step), batch_size).as_numpy_iterator():
                    yield batch
                    step += 1
                return
            except BaseException as error:  # including interrupts
                traceback.clear_frames(error.__traceback__)  # they would keep the iterator and its threads alive
                if not isinstance(error, tf.errors.OpError):
                    raise
                examples, _ = next(examples_from(step).batch(batch_size).as_numpy_iterator())
                if not self._leave_to_pillow(examples) and failed == step:
                    raise
                failed = step

    def _leave_to_pillow(self, examples):
        """After a failure, has Pillow decode those files of these examples that TensorFlow cannot; returns whether there are any.

        Raises:
            DataError: Pillow cannot read one of them either.
        """
        try:
            self._unchanged(examples)
            self._read(examples)
        except DataError as fault:
            raise fault from None
        refused = False
        for decoder, paths in self._files:
            for index in set(examples[:, 0].tolist()):
                try:
                    decoder(os.fsencode(paths[index]))
                except tf.errors.OpError:
                    warnings.warn(f"{paths[index]} is damaged, though Pillow reads it: save it again", stacklevel=2)
                    paths[index], refused = "", True
        return refused

    def _dataset(self, examples, batch_size):
        from_files = self.cache is None and self.split.read_arrays is None
        columns = self.split.columns

        @tf.autograph.experimental.do_not_convert  # as in `pipeline.train_batches`
        def read(examples, more):
            decoded = []
            if from_files:
                paths = tf.numpy_function(self._unchanged, (examples,), [tf.string] * len(self._files))
                for (decoder, _), of_column in zip(self._files, paths, strict=True):
                    decoded += [decoder(path) for path in tf.unstack(of_column, piece_size)]
            arrays = tf.numpy_function(self._read, (examples, *decoded), [tf.as_dtype(column.dtype) for column in columns])
            for column, array in zip(columns, arrays, strict=True):
                array.set_shape((piece_size, *self.crop, *column.channels))
            return {column.name: array for column, array in zip(columns, arrays, strict=True)} | more

        piece_size = max(size for size in range(1, _PIECE + 1) if batch_size % size == 0)
        options = tf.data.Options()
        if self._workers:  # otherwise TensorFlow's shared pool is used, with one thread per core
            options.threading.private_threadpool_size = self._workers
        pieces = examples.batch(piece_size, drop_remainder=True).map(read, self._workers or os.cpu_count(), deterministic=True)
        return pieces.rebatch(batch_size, drop_remainder=True).prefetch(2).with_options(options)

    def _unchanged(self, examples):
        """Checks that files are unchanged, before they are opened. Returns the paths that TensorFlow decodes: a bytes array per column.

        Raises:
            DataError: a file has changed since the check, for example into a pipe, from which reading might never end.
        """
        indices = examples[:, 0].tolist()
        for index in set(indices):
            stamps = self.split.examples[index].stamps
            changed = {path: found for path in stamps if "://" not in path and (found := _look(path)) not in (stamps[path], None)}
            if pipes := [path for path, found in changed.items() if not found]:
                raise DataError(f"{pipes[0]} has changed since the check of the data (it is no longer a regular file): restore it")
            for path, found in changed.items():
                if found[0] == stamps[path][0] and not _is_turned(path):
                    self._tell_of_date(path)
                    stamps[path] = found
                    continue
                self._read(examples[examples[:, 0] == index])  # raises a more specific error if the file itself is faulty
                what = "its size" if found[0] != stamps[path][0] else "its date, and EXIF turns it"
                raise DataError(f"{path} has changed since the check of the data ({what}): restore it, or start again to check it")
        return [np.array([os.fsencode(paths[index]) for index in indices], object) for _, paths in self._files]

    def _tell_of_date(self, path):
        """Warns once about a file of which only the date has changed: it was touched, or is on a network drive with unstable dates."""
        if not self._told_of_date:
            self._told_of_date = True
            warnings.warn(
                f"the date of {path} has changed since the check of the data, but not its size: it and others like it are read as they are",
                stacklevel=2,
            )

    def _read(self, examples, *decoded):
        """Returns one array per column for int64 (B, 4) examples. `decoded`: B outputs of `data.decode` for each column; or nothing."""
        count, columns = len(examples), self.split.columns
        parts = [decoded[first : first + count] for first in range(0, len(decoded), count)]
        batch = [np.empty((count, *self.crop, *column.channels), column.dtype) for column in columns]
        for row, (index, top, left, mirrored) in enumerate(examples.tolist()):
            values = self._window(index, (top, left, *self.crop), [part[row] for part in parts])
            for array, value in zip(batch, values, strict=True):
                if not mirrored:
                    array[row] = value
                elif value.ndim == 2:
                    array[row] = value[:, ::-1]
                else:
                    for channel in range(value.shape[-1]):  # four times as fast as all channels together
                        array[row, ..., channel] = value[:, ::-1, channel]
        return batch

    def _window(self, index, window, decoded):
        """Returns the window of an example for each column."""
        columns = self.split.columns
        if self.cache is not None:
            top, left, height, width = window
            return [self.cache[column.name][index, top : top + height, left : left + width] for column in columns]
        example = self.split.examples[index]
        if self.split.read_arrays is not None:
            stored = self.split.read(index)
            values = [stored[column.name] for column in columns]
        else:
            values = []
            for column, value in zip(columns, decoded or [()] * len(columns), strict=True):
                known = value if column.channels or not len(value) else value[..., 0]
                values.append(column.from_array(known) if len(value) else column.read(example.files[column.name]))
        sizes = {column.size(value): column for column, value in zip(columns, values, strict=True)}
        if len(sizes) > 1:
            found = " and ".join(f"{example.source(column.name)} is {width}x{height}" for (height, width), column in sizes.items())
            raise DataError(f"{found}: one of them has changed since the check of the data; restore files of the same size")
        return [c.fit(value, self.size, window, example.source(c.name)) for c, value in zip(columns, values, strict=True)]


def _look(path):
    """(size, date) of a file as in `Example.stamps`; () if it is not a regular file; None if it is missing: reading it reports that."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return size_and_date(found) if stat.S_ISREG(found.st_mode) else ()


def _is_turned(path):
    """Whether EXIF turns an image file, wherever in the file it is stored. Raises DataError if it cannot be decoded."""
    file = open_image(path)
    file.decode()
    return file.turned
