"""Batches of examples by tf.data: files are decoded, resized, cut to the window of a crop, and mirrored."""
import atexit
import os
import traceback
import weakref

import numpy as np
import tensorflow as tf
from PIL import Image

from oasis_jax.data import decode
from oasis_jax.data.datasets import Pair, read_photo
from oasis_jax.data.labels import DataError, read_stored_ids, resize_label_map
from oasis_jax.data.resize import resize_photo

tf.config.set_visible_devices([], "GPU")  # the accelerator is JAX's

_open_streams = weakref.WeakSet()


@atexit.register
def _close_streams():
    """tf.data's threads call Python: left running, they would wait for ever for the lock of an interpreter that is going down."""
    for stream in list(_open_streams):
        stream.close()


class Reader:
    """Batches of the pairs of `split`, resized to `size` and cut to `crop`, `workers` batches at once (0: one for each core).

    tf.data decodes the common kinds of files by itself. For the rest it calls Python once for each batch, as a call for each pair costs as
    much as a third of the work on the pair: Pillow lets go of the interpreter lock while it decodes and resizes.

    Attributes:
        cache: all images and label maps at `size`, each in one array, to cut windows from instead of reading files; None at first.
    """

    def __init__(self, split, size, crop, workers):
        self.split, self.size, self.crop = split, tuple(size), tuple(crop)
        self.dtype = np.dtype(np.uint8 if split.rule.num_classes < 256 else np.uint16)
        self.cache = None
        self._workers = workers or os.cpu_count()
        self._refused = set()  # indices of pairs that TensorFlow's decoders are not to be asked for

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
        def batches_from(step):
            return examples_from(step).batch(batch_size, drop_remainder=True)

        step = 0
        while True:
            try:
                for batch in batches_from(step).map(self._in_graph(), self._workers, deterministic=True).prefetch(2).as_numpy_iterator():
                    yield batch
                    step += 1
                return
            except BaseException as error:  # an interrupt, too
                traceback.clear_frames(error.__traceback__)  # they would keep the iterator, and its threads, until the interpreter is gone
                if not isinstance(error, tf.errors.OpError):
                    raise
                examples, _ = next(batches_from(step).as_numpy_iterator())
                self._leave_to_pillow(examples, error)

    def _leave_to_pillow(self, examples, error):
        """Keeps TensorFlow's decoders off these examples if Pillow can read them all; if not, its DataError says which it cannot."""
        indices = set(examples[:, 0].tolist())
        if indices <= self._refused:
            raise error
        try:
            self._read(examples)
        except DataError as fault:
            raise fault from None
        self._refused |= indices

    def _in_graph(self):
        """(examples, more) -> batch, for Dataset.map."""
        decoders = []
        if self.cache is None and self.split.source is None:
            pairs = [Pair("", "", "") if index in self._refused else pair for index, pair in enumerate(self.split.pairs)]
            photos = [pair.photo if pair.photo.lower().endswith((".jpg", ".jpeg")) else "" for pair in pairs]
            labels = [pair.label if pair.label.lower().endswith(".png") else "" for pair in pairs]
            decoders = [(decode.jpeg_photo, tf.constant(photos, tf.string)), (decode.png_ids, tf.constant(labels, tf.string))]

        def read(examples, more):
            decoded = [decoder(paths[index]) for index in tf.unstack(examples[:, 0]) for decoder, paths in decoders]
            image, label_map = tf.numpy_function(self._read, (examples, *decoded), (tf.uint8, tf.as_dtype(self.dtype)))
            return {"image": image, "label_map": label_map, **more}

        return read

    def _read(self, examples, *decoded):
        """Images and label maps of int64 (B, 4) examples, given photo and ids of each as far as they are decoded already."""
        images, label_maps = np.empty((len(examples), *self.crop, 3), np.uint8), np.empty((len(examples), *self.crop), self.dtype)
        photos, ids = (decoded[kind::2] or [()] * len(examples) for kind in (0, 1))
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
