"""Batches by index (tf.data): example p of the infinite stream is a pure function of (seed, p), so the state of the input is one integer.

Position p lies in epoch e = p // n; a permutation keyed by (seed, e) sends p % n to a pair; crop, flip and heatmaps are keyed by (seed, p).
Step s holds positions s*B to (s+1)*B - 1; each process takes its contiguous slice of them. Resume is therefore exact and instant at any
step and for any number of hosts, and every pair is seen once in every epoch, which runs on across the border of a batch.
"""
import atexit
import concurrent.futures
import functools
import multiprocessing.pool
import os
import traceback
import weakref

import numpy as np
import tensorflow as tf
import tqdm

from oasis_jax.data import heatmaps
from oasis_jax.data.labels import DataError, resize_label_map
from oasis_jax.data.resize import resize_photo

tf.config.set_visible_devices([], "GPU")  # the accelerator is JAX's

_STREAM_END = np.iinfo(np.int64).max
_open_streams = weakref.WeakSet()


@atexit.register
def _close_streams():
    """tf.data's threads call Python: left running, they would wait for ever for the lock of an interpreter that is going down."""
    for stream in list(_open_streams):
        stream.close()


def train_batches(split, spec, batch_size, seed, start_step=0, process_index=0, process_count=1, with_heatmaps=False):
    """Infinite training batches from step `start_step` on: resized, randomly cropped and mirrored, as spec says.

    Args:
        split: Split of datasets.open_split; its pairs should have passed check.check_split.
        spec: DataSpec.
        batch_size: B, examples per step over all processes.
        seed: int; the stream depends on it and on nothing else.
        start_step: first step to deliver.
        process_index, process_count: this host among all.
        with_heatmaps: draw heatmaps too, for a spatially aware generator.

    Returns:
        Iterator of {"image": uint8 (b, H, W, 3), "label_map": uint8 (b, H, W), or uint16 for 256 classes and more}, b = B / process_count;
        with heatmaps also "heatmaps": float32 (b, 2, 7, 3), centres and widths for the G and for the D update (`heatmaps.draw`).

    Raises:
        DataError: the split has faults, or a file cannot be read (when its batch comes).
        ValueError: B is not divisible by process_count.
    """
    if batch_size % process_count:
        raise ValueError(f"train.batch_size is {batch_size}, not divisible by {process_count} processes: choose a multiple")
    local = batch_size // process_count
    _refuse_faults(split)
    reader = _Reader(split, spec.decoded_size(split.name), spec.image_size, spec.workers)
    if spec.cache:
        reader.decode_all()
    count = len(split)
    room = [old - new + 1 for old, new in zip(reader.size, reader.crop, strict=True)]

    def draw(k):  # what this process's k-th example since step 0 is: the pair, the corner of its crop, and whether it is mirrored
        position = k // local * batch_size + process_index * local + k % local
        index = tf.random.experimental.index_shuffle(position % count, seed=[seed, position // count], max_index=count - 1)
        draws = tf.random.stateless_uniform((3,), [seed, position])
        top, left = (tf.cast(draws[axis] * room[axis], tf.int64) for axis in (0, 1))
        example = tf.stack([index, top, left, tf.cast(spec.flip and draws[2] < 0.5, tf.int64)])
        return example, {"heatmaps": heatmaps.draw(seed, position, batch_size)} if with_heatmaps else {}

    return reader.batches(tf.data.Dataset.range(start_step * local, _STREAM_END).map(draw), local)


def eval_batches(split, spec, batch_size):
    """The pairs in order, resized to spec.image_size, never cropped or mirrored. Of several processes, each gives its part of a split.

    The last batch is filled up by repeating the last pair, with mask False.

    Returns:
        Iterator of {"image", "label_map"} as in train_batches, with "mask" bool (B,) and "name" str (B,).

    Raises:
        DataError: as train_batches.
    """
    _refuse_faults(split)
    reader = _Reader(split, spec.image_size, spec.image_size, spec.workers)
    positions = np.arange(-(-len(split) // batch_size) * batch_size).reshape(-1, batch_size)
    indices = np.minimum(positions, len(split) - 1)
    examples = tf.data.Dataset.from_tensor_slices((np.pad(indices.reshape(-1, 1), [(0, 0), (0, 3)]), {}))  # neither cropped nor mirrored
    names = np.asarray([pair.name for pair in split.pairs])
    for step, batch in enumerate(reader.batches(examples, batch_size)):
        yield {**batch, "mask": positions[step] < len(split), "name": names[indices[step]]}


class _Reader:
    """Batches of the pairs of `split`, resized to `size` and cut to `crop`, read by `workers` threads (0: one for each core).

    Pillow does the work: it lets go of the interpreter lock while it decodes and resizes. tf.data asks for whole batches, because a call
    of Python for each pair costs it as much as a third of the work on the pair.
    """

    def __init__(self, split, size, crop, workers):
        self.split, self.size, self.crop = split, tuple(size), tuple(crop)
        self.dtype = np.dtype(np.uint8 if split.rule.num_classes < 256 else np.uint16)
        self._workers = workers or os.cpu_count()
        self._cache = None
        self._faults = []

    def decode_all(self):
        """Decodes and resizes every pair now; from then on windows are cut from memory."""
        count, whole = len(self.split), (0, 0, *self.size)
        images, label_maps = np.empty((count, *self.size, 3), np.uint8), np.empty((count, *self.size), self.dtype)
        with concurrent.futures.ThreadPoolExecutor(self._workers) as pool:
            pairs = pool.map(lambda index: self._decode(index, whole), range(count))
            for index, pair in enumerate(tqdm.tqdm(pairs, "decoding into memory", count, unit="pair")):
                images[index], label_maps[index] = pair
        self._cache = images, label_maps

    def batches(self, examples, batch_size):
        """Iterator over numpy batches of a dataset of (example, more), an example being int64 (4,): index, top, left, mirrored.

        What the dict `more` holds joins the batch as it is. Raises DataError if a pair is unreadable.
        """
        stream = self._stream(examples.batch(batch_size, drop_remainder=True))
        _open_streams.add(stream)
        return stream

    def _stream(self, examples):
        with multiprocessing.pool.ThreadPool(self._workers) as pool:  # the threads of concurrent.futures take no work while Python exits
            yield from self._batches(examples, pool)

    def _batches(self, examples, pool):
        kinds = (tf.uint8, tf.as_dtype(self.dtype))

        def read(batch, more):
            image, label_map = tf.numpy_function(functools.partial(self._read, pool), (batch,), kinds)
            return {"image": image, "label_map": label_map, **more}

        try:
            # Two batches at once: the next has begun while the last pairs of one are read.
            yield from examples.map(read, 2, deterministic=True).prefetch(2).as_numpy_iterator()
        except BaseException as error:  # an interrupt, too
            traceback.clear_frames(error.__traceback__)  # they would keep the iterator, and its threads, until the interpreter is gone
            if isinstance(error, tf.errors.OpError):
                raise (self._faults or [error])[0] from None
            raise

    def _read(self, pool, examples):
        images, label_maps = np.empty((len(examples), *self.crop, 3), np.uint8), np.empty((len(examples), *self.crop), self.dtype)

        def read(row, example):
            index, top, left, mirrored = example
            image, label_map = self._window(index, (top, left, *self.crop))
            if not mirrored:
                images[row], label_maps[row] = image, label_map
            else:
                label_maps[row] = label_map[:, ::-1]
                for channel in range(3):  # four times as fast as the three at once
                    images[row, ..., channel] = image[:, ::-1, channel]

        try:
            # From memory, handing work to threads would cost more than the work.
            pool.starmap(read, enumerate(examples.tolist()), 1 if self._cache is None else len(examples))
        except DataError as error:  # TensorFlow would pass on its text alone, with a trace
            self._faults.append(error)
            raise
        return images, label_maps

    def _window(self, index, window):
        if self._cache is None:
            return self._decode(index, window)
        top, left, height, width = window
        return tuple(arrays[index, top : top + height, left : left + width] for arrays in self._cache)

    def _decode(self, index, window):
        pair = self.split.pairs[index]
        photo, stored = self.split.read(index)
        # Sampled before the ids are judged: the check before training has judged them all.
        label_map = self.split.rule(resize_label_map(stored, self.size, window), f"label map {pair.label or pair.name}")
        return resize_photo(photo, self.size, window), label_map


def _refuse_faults(split):
    if split.faults:
        raise DataError(f"the {split.name} split has {len(split.faults)} faults, the first: {split.faults[0]}. Mend them all")
