"""Batches by index (tf.data): example p of the infinite stream is a pure function of (seed, p), so the state of the input is one integer.

Position p lies in epoch e = p // n; a permutation keyed by (seed, e) maps p % n to an example; crop, flip and heatmaps are keyed by
(seed, p). Step s holds positions s*B to (s+1)*B - 1; each process reads those of its own devices. Resume is therefore exact and instant
at any step and for any number of hosts, and every example is seen once per epoch; epochs continue across batch boundaries.
"""
import dataclasses

import numpy as np
import tensorflow as tf
import tqdm

from oasis_jax.data import heatmap_draws
from oasis_jax.data.labels import DataError
from oasis_jax.data.reader import Reader

_STREAM_END = np.iinfo(np.int64).max
_CACHE_BATCH = 8


def train_batches(split, spec, batch_size, seed, start_step=0, positions=None, with_heatmaps=False):
    """Returns infinite training batches from step `start_step` on: resized, randomly cropped and mirrored, as spec says.

    Args:
        split: Split of datasets.open_split; its examples should have passed check.check_split.
        spec: DataSpec.
        batch_size: B, examples per step over all processes.
        seed: int; the only source of randomness of the stream.
        start_step: first step to deliver.
        positions: (b,) positions within the batch that this process reads; None reads all.
        with_heatmaps: draw heatmaps too, for a spatially aware generator.

    Returns:
        Iterator of {column: (b, H, W, ...)} for the split's columns: "image" uint8 (b, H, W, 3), "label_map"
        uint8 (b, H, W), or uint16 for 256 or more classes. With heatmaps also "heatmaps": float32 (b, 2, 7, 3), centres and widths for the
        G and for the D update (`heatmap_draws.draw`).

    Raises:
        DataError: the split has faults, or a file cannot be read (when its batch is due).
    """
    own = tf.constant(np.arange(batch_size) if positions is None else positions, tf.int64)
    local = len(own)
    _refuse_faults(split)
    reader = Reader(split, spec.decoded_size(split.name), spec.image_size, spec.workers)
    if spec.cache:
        reader.cache = _decode_all(split, dataclasses.replace(spec, image_size=reader.size, resize_size=()))
    count = len(split)
    slack = [old - new + 1 for old, new in zip(reader.size, reader.crop, strict=True)]

    @tf.autograph.experimental.do_not_convert  # it has no control flow, and the conversion breaks with new versions of Python
    def draw(k):  # this process's k-th example since step 0: its index, the corner of its crop, and whether it is mirrored
        position = k // local * batch_size + own[k % local]
        index = tf.random.experimental.index_shuffle(position % count, seed=[seed, position // count], max_index=count - 1)
        draws = tf.random.stateless_uniform((3,), [seed, position])
        top, left = (tf.cast(draws[axis] * slack[axis], tf.int64) for axis in (0, 1))
        example = tf.stack([index, top, left, tf.cast(spec.flip and draws[2] < 0.5, tf.int64)])
        return example, {"heatmaps": heatmap_draws.draw(seed, position, batch_size)} if with_heatmaps else {}

    return reader.batches(lambda step: tf.data.Dataset.range((start_step + step) * local, _STREAM_END).map(draw), local)


def eval_batches(split, spec, batch_size, columns=None):
    """Yields all examples in order, resized to spec.image_size, never cropped or mirrored. Each process passes its own part of a split.

    The last batch is padded with copies of the last example, whose mask is False.

    Args:
        split, spec: as for `train_batches`.
        batch_size: examples per batch.
        columns: names of the columns to read; None reads all of the split's.

    Returns:
        Iterator of {column: array} as for `train_batches`, with "mask" bool (B,) and "name" str (B,).

    Raises:
        DataError: as for `train_batches`.
    """
    _refuse_faults(split)
    if columns is not None:
        split = dataclasses.replace(split, columns=tuple(column for column in split.columns if column.name in columns))
    reader = Reader(split, spec.image_size, spec.image_size, spec.workers)
    positions = np.arange(-(-len(split) // batch_size) * batch_size).reshape(-1, batch_size)
    indices = np.minimum(positions, len(split) - 1)
    examples = np.pad(indices.reshape(-1, 1), [(0, 0), (0, 3)])  # neither cropped nor mirrored
    batches = reader.batches(lambda step: tf.data.Dataset.from_tensor_slices((examples[step * batch_size :], {})), batch_size)
    names = np.asarray([example.name for example in split.examples])
    for step, batch in enumerate(batches):
        yield {**batch, "mask": positions[step] < len(split), "name": names[indices[step]]}


def _decode_all(split, spec):
    """Decodes the whole split with `eval_batches`, and returns each column as one array."""
    arrays, first = {}, 0
    with tqdm.tqdm(desc="decoding into memory", total=len(split), unit=" examples") as progress:
        for batch in eval_batches(split, spec, _CACHE_BATCH):
            count = int(batch["mask"].sum())
            for column in split.columns:
                if column.name not in arrays:
                    arrays[column.name] = np.empty((len(split), *batch[column.name].shape[1:]), column.dtype)
                arrays[column.name][first : first + count] = batch[column.name][:count]
            first += count
            progress.update(count)
    return arrays


def _refuse_faults(split):
    if split.faults:
        raise DataError(f"the {split.name} split has {len(split.faults)} faults, the first: {split.faults[0]}. Fix them all")
