"""The mesh axes as compiled functions see them: the batch lies over "data", image rows over "space".

The compiler partitions every operation over the devices by itself: it exchanges the rows that a convolution needs from neighbouring
devices, and sums statistics over all devices. The constraints here only tell it how arrays are sharded, and in particular where rows must
not be split. They apply where a mesh is set (`jax.set_mesh`).
"""
import jax
from jax.sharding import PartitionSpec as P

DATA, SPACE = "data", "space"
LEAST_ROWS = 8  # with fewer rows, XLA silently computes wrong gradients of a convolution over several devices


def splits_rows(rows, devices):
    """Whether images of `rows` rows are split over `devices` devices of the axis "space"."""
    return rows >= LEAST_ROWS and rows % devices == 0


def row_parts(rows):
    """The number of devices of the current mesh over which images of `rows` rows are split; 1 if they are not split."""
    return _size(SPACE) if rows_are_split() and splits_rows(rows, _size(SPACE)) else 1


def over_space(x, axis):
    """Shards one axis of an array over "space", and no other axis."""
    return jax.lax.with_sharding_constraint(x, P(*[None] * axis, SPACE))


def rows_spec(shape, devices):
    """The PartitionSpec of an array on a mesh with `devices` devices along "space".

    Arrays (B, H, ...) are sharded over "data" and "space"; arrays without rows, or with rows that are not split, over "data" alone.
    """
    return P(DATA, SPACE) if devices > 1 and len(shape) > 2 and splits_rows(shape[1], devices) else P(DATA)


def along_batch(values):
    """Shards values (B, ...) that are drawn inside a compiled function in the same way as the batch.

    Otherwise the compiler would not know that they belong to the examples, and every device would compute for the whole batch.
    """
    return jax.lax.with_sharding_constraint(values, P(DATA)) if _size(DATA) else values


def along_rows(x):
    """Shards activations (B, H, W, C) and their gradients over batch and rows, or over the batch alone if there are few rows.

    Does nothing on a mesh that does not split rows.
    """
    return jax.lax.with_sharding_constraint(x, rows_spec(x.shape, _size(SPACE))) if rows_are_split() else x


def on_every_device(tree):
    """Replicates arrays that were computed from sharded ones.

    Parameters need this: where rows are split, XLA silently computes wrong convolutions with a kernel that is sharded over "data".
    """
    return jax.lax.with_sharding_constraint(tree, P()) if _size(DATA) else tree


def rows_are_split():
    """Whether the current mesh splits image rows."""
    return _size(SPACE) > 1


def _size(axis):
    return dict(jax.sharding.get_abstract_mesh().shape).get(axis, 0)
