"""Bilinear resizing by matrix products, including images whose rows are split over devices."""
import jax.numpy as jnp
import numpy as np
from jax import lax

from oasis_jax.axes import along_rows, over_space, row_parts


def resize(x, size):
    """Bilinear resize with aligned corners and without antialiasing: (B, H, W, C) -> (B, *size, C).

    Two small matrix products, whose gradients are matrix products too. Gathers would need scatters in the backward pass.
    """
    if row_parts(x.shape[1]) > 1:
        return _resize_split_rows(_resize(x, 2, size[1]), size[0])
    return _resize(_resize(x, 1, size[0]), 2, size[1])


def is_known(side):
    """Whether a side is a number. In an exported function it may be a symbol, whose value is only known when the function is called."""
    return isinstance(side, int | np.integer)


def interpolation_matrix(old, new):
    """(new, old) float64: row i holds the weights of the two pixels around position i (old - 1) / (new - 1)."""
    positions = np.arange(new) * ((old - 1) / max(new - 1, 1))
    return np.maximum(1 - np.abs(positions[:, None] - np.arange(old)), 0)


def _resize(x, axis, side):
    if side == x.shape[axis]:
        return x
    sides = x.shape[axis], side
    matrix = jnp.asarray((interpolation_matrix if all(map(is_known, sides)) else _matrix_of_free_sides)(*sides), x.dtype)
    return jnp.moveaxis(jnp.tensordot(matrix, x, (1, axis), precision=lax.Precision.HIGHEST), 0, axis)


def _matrix_of_free_sides(old, new):
    """`interpolation_matrix` in float32, for sides of which at least one is a symbol."""
    positions = jnp.arange(new) * (jnp.float32(old - 1) / jnp.maximum(new - 1, 1))
    return jnp.maximum(1 - jnp.abs(positions[:, None] - jnp.arange(old)), 0)


def _resize_split_rows(x, side):
    """Resizes the rows of x (B, H, W, C), which are split over devices, without gathering them.

    Each device computes its rows of the result from its own rows and a few rows of its neighbours. If the result has too few rows to
    split, the contributions of all devices are summed.
    """
    batch, old, width, channels = x.shape
    if side == old:
        return x
    matrix, parts = interpolation_matrix(old, side), row_parts(old)
    if row_parts(side) == 1:
        shares = over_space(jnp.asarray(matrix, x.dtype), 1)
        return along_rows(jnp.moveaxis(jnp.tensordot(shares, along_rows(x), (1, 1), precision=lax.Precision.HIGHEST), 0, 1))
    weights, above, below = weights_of_parts(matrix, parts)
    rows = along_rows(x).reshape(batch, parts, old // parts, width, channels)
    before = jnp.pad(rows[:, :-1, old // parts - above :], [(0, 0), (1, 0), (0, 0), (0, 0), (0, 0)])
    after = jnp.pad(rows[:, 1:, :below], [(0, 0), (0, 1), (0, 0), (0, 0), (0, 0)])
    seen = jnp.concatenate([before, rows, after], axis=2)
    weights = over_space(jnp.asarray(weights, x.dtype), 0)
    result = jnp.einsum("pnh,bphwc->bpnwc", weights, seen, precision=lax.Precision.HIGHEST)
    return along_rows(result.reshape(batch, side, width, channels))


def weights_of_parts(matrix, parts):
    """Cuts a matrix (new, old) into one block for each of `parts` equal parts of the new rows.

    Returns:
        (weights (parts, new / parts, above + old / parts + below), above, below): the largest number of old rows that any part
        needs from the part before it, and from the part after it.
    """
    new, old = (size // parts for size in matrix.shape)
    used = [np.flatnonzero(rows.any(0)) for rows in matrix.reshape(parts, new, -1)]
    above = max(max(part * old - columns[0], 0) for part, columns in enumerate(used))
    below = max(max(columns[-1] + 1 - (part + 1) * old, 0) for part, columns in enumerate(used))
    padded = np.pad(matrix, [(0, 0), (above, below)])
    blocks = [padded[part * new : (part + 1) * new, part * old : (part + 1) * old + above + below] for part in range(parts)]
    return np.stack(blocks), int(above), int(below)
