"""The mesh axes as compiled functions see them: the batch lies over "data", image rows over "space".

The compiler splits every operation over the devices by itself: it exchanges the rows that a convolution needs of its neighbours, and sums
statistics over all devices. What it is told here is where rows stay together. Constraints apply where a mesh is set (`jax.set_mesh`).
"""
import jax
from jax.sharding import PartitionSpec as P

DATA, SPACE = "data", "space"
LEAST_ROWS = 8  # with fewer rows, XLA computes wrong gradients of a convolution over several devices, without an error


def splits_rows(rows, devices):
    """Whether images with so many rows are split over so many devices of the axis "space"."""
    return rows >= LEAST_ROWS and rows % devices == 0


def row_parts(rows):
    """Over how many devices of the mesh that is set images with so many rows are split; 1 if they are not."""
    return _size(SPACE) if rows_are_split() and splits_rows(rows, _size(SPACE)) else 1


def over_space(x, axis):
    """Shards one axis of an array over "space" alone."""
    return jax.lax.with_sharding_constraint(x, P(*[None] * axis, SPACE))


def rows_spec(shape, devices):
    """The PartitionSpec of an array (B, H, ...) on a mesh with so many devices along "space"; of one (B,) or (B, few, ...), over "data"."""
    return P(DATA, SPACE) if devices > 1 and len(shape) > 2 and splits_rows(shape[1], devices) else P(DATA)


def along_batch(values):
    """Shards values (B, ...) that are drawn inside a compiled function as the batch is.

    Without it nothing tells the compiler that they belong to the examples: every device would compute what follows for the whole batch.
    """
    return jax.lax.with_sharding_constraint(values, P(DATA)) if _size(DATA) else values


def along_rows(x):
    """Shards activations (B, H, W, C) and their gradients over batch and rows, or over the batch alone if there are few rows.

    It changes nothing on a mesh that does not split rows.
    """
    return jax.lax.with_sharding_constraint(x, rows_spec(x.shape, _size(SPACE))) if rows_are_split() else x


def on_every_device(tree):
    """Gathers arrays that were computed from divided ones.

    Parameters need it: XLA computes wrong convolutions of rows that are split with a kernel that is divided over "data", without an error.
    """
    return jax.lax.with_sharding_constraint(tree, P()) if _size(DATA) else tree


def rows_are_split():
    """Whether the mesh that is set splits image rows."""
    return _size(SPACE) > 1


def _size(axis):
    return dict(jax.sharding.get_abstract_mesh().shape).get(axis, 0)
