"""Batches of examples by tf.data: files are decoded, resized, cut to the window of a crop, and mirrored."""
import atexit
import os
import traceback
import warnings
import weakref

import numpy as np
import tensorflow as tf
from PIL import Image

from oasis_jax.data import decode
from oasis_jax.data.datasets import read_photo
from oasis_jax.data.labels import DataError, read_stored_ids, resize_label_map
from oasis_jax.data.resize import resize_photo

tf.config.set_visible_devices([], "GPU")  # the accelerator is JAX's

_PIECE = 16  # examples that one call of Python reads, at most
_open_streams = weakref.WeakSet()


@atexit.register
def _close_streams():
    """tf.data's threads call Python: left running, they would wait for ever for the lock of an interpreter that is going down."""
    for stream in list(_open_streams):
        stream.close()


class Reader:
    """Batches of the pairs of `split`, resized to `size` and cut to `crop`, read by `workers` threads (0: one for each core).

    tf.data decodes the common kinds of files. One call of Python for a piece of a batch does the rest: other files, resize, crop and
    mirror. A call for each pair would cost a tenth of the rate, and larger pieces more memory: all files of a piece are decoded at once.

    Attributes:
        cache: all images and label maps at `size`, each in one array, to cut windows from instead of reading files; None at first.
    """

    def __init__(self, split, size, crop, workers):
        self.split, self.size, self.crop = split, tuple(size), tuple(crop)
        self.dtype = np.dtype(np.uint8 if split.rule.num_classes < 256 else np.uint16)
        self.cache = None
        self._workers = workers
        # What TensorFlow is asked to decode; where the path is empty, Pillow does it.
        photos = [pair.photo if pair.photo.lower().endswith((".jpg", ".jpeg")) else "" for pair in split.pairs]
        labels = [pair.label if pair.label.lower().endswith(".png") else "" for pair in split.pairs]
        self._files = [(decode.jpeg_photo, photos), (decode.png_ids, labels)]

    def batches(self, examples_from, batch_size):
        """Iterator over numpy batches of examples, an example being int64 (4,): index, top, left, mirrored.

        Args:
            examples_from: step -> dataset of (example, more) from batch `step` on; what the dict `more` holds joins the batch as it is.
            batch_size: examples of a batch; a last one with fewer is dropped.

        Raises:
            DataError: a pair is unreadable.
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
            except BaseException as error:  # an interrupt, too
                traceback.clear_frames(error.__traceback__)  # they would keep the iterator, and its threads, until the interpreter is gone
                if not isinstance(error, tf.errors.OpError):
                    raise
                examples, _ = next(examples_from(step).batch(batch_size).as_numpy_iterator())
                if not self._leave_to_pillow(examples) and failed == step:
                    raise
                failed = step

    def _leave_to_pillow(self, examples):
        """After a failure: has Pillow decode those files of these examples that TensorFlow cannot, and says whether there are any.

        Raises:
            DataError: Pillow cannot read one either.
        """
        try:
            self._read(examples)
        except DataError as fault:
            raise fault from None
        refused = False
        for decoder, paths in self._files:
            for index in set(examples[:, 0].tolist()):
                try:
                    decoder(paths[index])
                except tf.errors.OpError:
                    warnings.warn(f"{paths[index]} is damaged, though Pillow reads it: write it anew", stacklevel=2)
                    paths[index], refused = "", True
        return refused

    def _dataset(self, examples, batch_size):
        files = []
        if self.cache is None and self.split.source is None:
            files = [(decoder, tf.constant(paths, tf.string)) for decoder, paths in self._files]

        def read(examples, more):
            decoded = [decoder(path) for decoder, paths in files for path in tf.unstack(tf.gather(paths, examples[:, 0]))]
            image, label_map = tf.numpy_function(self._read, (examples, *decoded), (tf.uint8, tf.as_dtype(self.dtype)))
            image.set_shape((piece_size, *self.crop, 3))
            label_map.set_shape((piece_size, *self.crop))
            return {"image": image, "label_map": label_map, **more}

        piece_size = max(size for size in range(1, _PIECE + 1) if batch_size % size == 0)
        options = tf.data.Options()
        if self._workers:  # if not, the pool that all of TensorFlow shares, with a thread for each core
            options.threading.private_threadpool_size = self._workers
        pieces = examples.batch(piece_size, drop_remainder=True).map(read, self._workers or os.cpu_count(), deterministic=True)
        return pieces.rebatch(batch_size, drop_remainder=True).prefetch(2).with_options(options)

    def _read(self, examples, *decoded):
        """Images and label maps of int64 (B, 4) examples. `decoded`: B photos and B label maps as `decode` gives them, or nothing."""
        images, label_maps = np.empty((len(examples), *self.crop, 3), np.uint8), np.empty((len(examples), *self.crop), self.dtype)
        photos, ids = (decoded[: len(examples)], decoded[len(examples) :]) if decoded else 2 * ([()] * len(examples),)
        for row, (index, top, left, mirrored) in enumerate(examples.tolist()):
            image, label_map = self._window(index, (top, left, *self.crop), photos[row], ids[row])
            if not mirrored:
                images[row], label_maps[row] = image, label_map
            else:
                label_maps[row] = label_map[:, ::-1]
                for channel in range(3):  # four times as fast as the three at once
                    images[row, ..., channel] = image[:, ::-1, channel]
        return images, label_maps

    def _window(self, index, window, photo, ids):
        if self.cache is not None:
            top, left, height, width = window
            return tuple(arrays[index, top : top + height, left : left + width] for arrays in self.cache)
        pair = self.split.pairs[index]
        if self.split.source is not None:
            photo, ids = self.split.read(index)
        else:
            photo = Image.fromarray(photo) if len(photo) else read_photo(pair.photo)
            ids = ids[..., 0] if len(ids) else read_stored_ids(pair.label, self.split.rule)
        # Sampled before the ids are judged: the check before training has judged them all.
        label_map = self.split.rule(resize_label_map(ids, self.size, window), f"label map {pair.label or pair.name}")
        return resize_photo(photo, self.size, window), label_map
