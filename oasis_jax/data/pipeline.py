"""Batches by index (tf.data): example p of the infinite stream is a pure function of (seed, p), so the state of the input is one integer.

Position p lies in epoch e = p // n; a permutation keyed by (seed, e) sends p % n to a pair, and crop and flip are keyed by (seed, p).
Step s holds positions s*B to (s+1)*B - 1; each process takes its contiguous slice of them. Resume is therefore exact and instant at any
step and for any number of hosts, and every pair is seen once in every epoch, which runs on across the border of a batch.
"""
import atexit
import functools
import weakref

import numpy as np
import tensorflow as tf
import tqdm

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


def train_batches(split, spec, batch_size, seed, start_step=0, process_index=0, process_count=1):
    """Infinite training batches from step `start_step` on: resized, randomly cropped and mirrored, as spec says.

    Args:
        split: Split of datasets.open_split; its pairs should have passed check.check_split.
        spec: DataSpec.
        batch_size: B, examples per step over all processes.
        seed: int; the stream depends on it and on nothing else.
        start_step: first step to deliver.
        process_index, process_count: this host among all.

    Returns:
        Iterator of {"image": uint8 (b, H, W, 3), "label_map": uint8 (b, H, W), or uint16 for 256 classes and more}, b = B / process_count.

    Raises:
        DataError: the split has faults, or a file cannot be read (when its batch comes).
        ValueError: B is not divisible by process_count.
    """
    local = _local_batch(batch_size, process_count)
    _refuse_faults(split)
    reader = _Reader(split, spec.decoded_size(split.name), spec.image_size)
    window = _cached_window(reader, spec) if spec.cache else reader.window
    count = len(split)

    def example(k):  # this process's k-th since step 0
        position = k // local * batch_size + process_index * local + k % local
        index = tf.random.experimental.index_shuffle(position % count, seed=[seed, position // count], max_index=count - 1)
        return _augment(functools.partial(window, index), reader, spec.flip, seed=[seed, position])

    dataset = tf.data.Dataset.range(start_step * local, _STREAM_END)
    return reader.batches(dataset.map(example, _parallel(spec), deterministic=True).batch(local, drop_remainder=True))


def eval_batches(split, spec, batch_size, max_examples=0, process_index=0, process_count=1):
    """The first `max_examples` pairs (0: all) in order, resized to spec.image_size, never cropped or mirrored.

    Every process gets the same number of batches. The last batch is filled up by repeating the last pair, with mask False.

    Returns:
        Iterator of {"image", "label_map"} as in train_batches, with "mask" bool (b,) and "name" str (b,).

    Raises:
        DataError, ValueError: as train_batches.
    """
    local = _local_batch(batch_size, process_count)
    _refuse_faults(split)
    count = min(len(split), max_examples or len(split))
    steps = -(-count // batch_size)
    reader = _Reader(split, spec.image_size, spec.image_size)

    positions = np.arange(steps * batch_size).reshape(steps, process_count, local)[:, process_index]
    indices = np.minimum(positions, count - 1)
    dataset = tf.data.Dataset.from_tensor_slices(indices.ravel()).map(reader.whole, _parallel(spec), deterministic=True)
    names = np.asarray([pair.name for pair in split.pairs[:count]])
    for step, batch in enumerate(reader.batches(dataset.batch(local, drop_remainder=True))):
        yield {**batch, "mask": positions[step] < count, "name": names[indices[step]]}


class _Reader:
    """Pairs of `split`, resized to `size` and cut to `crop`, as nodes of a tf.data graph.

    Pillow does the work: it lets go of the interpreter lock while it decodes and resizes, so tf.data reads several pairs at once.
    """

    def __init__(self, split, size, crop):
        self.split, self.size, self.crop = split, tuple(size), tuple(crop)
        self.dtype = np.dtype(np.uint8 if split.rule.num_classes < 256 else np.uint16)
        self._faults = []

    def window(self, index, top, left):
        """The window at (top, left) of pair `index`: {"image": uint8 (*crop, 3), "label_map": classes (*crop)}."""
        image, label_map = tf.numpy_function(self._read, (index, top, left), (tf.uint8, tf.as_dtype(self.dtype)))
        return {"image": tf.ensure_shape(image, (*self.crop, 3)), "label_map": tf.ensure_shape(label_map, self.crop)}

    def whole(self, index):
        """As `window`, for a crop as large as the size."""
        return self.window(index, 0, 0)

    def batches(self, dataset):
        """Iterator over the elements of `dataset` as numpy; it raises DataError when a pair cannot be read."""
        stream = self._stream(dataset)
        _open_streams.add(stream)
        return stream

    def _stream(self, dataset):
        options = tf.data.Options()
        options.threading.max_intra_op_parallelism = 1  # examples are read in parallel; each by one thread
        try:
            yield from dataset.prefetch(2).with_options(options).as_numpy_iterator()
        except tf.errors.OpError as error:
            raise (self._faults or [error])[0] from None

    def _read(self, index, top, left):
        window = (int(top), int(left), *self.crop)
        pair = self.split.pairs[index]
        try:
            photo, stored = self.split.read(index)
            label_map = self.split.rule(resize_label_map(stored, self.size, window), f"label map {pair.label or pair.name}")
            return resize_photo(photo, self.size, window), label_map.astype(self.dtype)
        except DataError as error:  # TensorFlow would pass on its text alone, with a trace
            self._faults.append(error)
            raise


def _cached_window(reader, spec):
    """As `reader.window`, from memory: everything is decoded once, now."""
    count, (height, width) = len(reader.split), reader.crop
    whole = _Reader(reader.split, reader.size, reader.size)
    images, label_maps = np.empty((count, *reader.size, 3), np.uint8), np.empty((count, *reader.size), reader.dtype)
    decoded = whole.batches(tf.data.Dataset.range(count).map(whole.whole, _parallel(spec), deterministic=True))
    for index, pair in enumerate(tqdm.tqdm(decoded, "decoding into memory", count, unit="pair")):
        images[index], label_maps[index] = pair["image"], pair["label_map"]
    images, label_maps = tf.convert_to_tensor(images), tf.convert_to_tensor(label_maps)

    def window(index, top, left):
        corner = [tf.cast(i, tf.int32) for i in (index, top, left)]
        image, label_map = tf.slice(images, [*corner, 0], (1, height, width, 3)), tf.slice(label_maps, corner, (1, height, width))
        return {"image": image[0], "label_map": label_map[0]}

    return window


def _augment(window, reader, flip, seed):
    """The random crop and the mirroring, which image and label map share."""
    draws = tf.random.stateless_uniform((3,), seed)
    room = [old - new + 1 for old, new in zip(reader.size, reader.crop, strict=True)]
    example = window(*(tf.cast(draws[axis] * room[axis], tf.int32) for axis in (0, 1)))
    if not flip:
        return example
    return tf.cond(draws[2] < 0.5, lambda: {name: tf.reverse(array, [1]) for name, array in example.items()}, lambda: example)


def _parallel(spec):
    return spec.workers or tf.data.AUTOTUNE


def _local_batch(batch_size, process_count):
    if batch_size % process_count:
        raise ValueError(f"train.batch_size is {batch_size}, not divisible by {process_count} processes: choose a multiple")
    return batch_size // process_count


def _refuse_faults(split):
    if split.faults:
        raise DataError(f"the {split.name} split has {len(split.faults)} faults, the first: {split.faults[0]}. Mend them all")
