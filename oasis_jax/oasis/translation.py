"""Random translation of all that D sees, so that D depends less on where a pixel lies in the image.

Without it, a pixel has the same position in the grids of D's coarse levels, and the same distance from the border, in every step, so that
D's gradients can favour certain rows and columns of G's images. Label maps, weights, masks and heatmaps are moved with the images. It is
the translation of DiffAugment (Zhao et al. 2020), with reflection instead of zeros.
"""
import jax
import jax.numpy as jnp

from oasis_jax.axes import along_batch


def draw_offsets(key, batch, limit):
    """(batch, 2) int32 of rows and columns, each uniform in -limit..limit, or None if `limit` is 0."""
    return along_batch(jax.random.randint(key, (batch, 2), -limit, limit + 1)) if limit else None


def translated(offsets, *arrays):
    """Moves each example down and to the right by its offsets; pixels from beyond the border are reflected.

    If rows are split over devices, the arrays are gathered first.

    Args:
        offsets: (B, 2) integer, rows and columns, smaller than H and W in magnitude; None moves nothing.
        arrays: (B, H, W) or (B, H, W, C) of any dtype, or numbers that hold for every pixel.

    Returns:
        A list of the moved arrays, of the same shapes and dtypes, and the same numbers.
    """
    if offsets is None:
        return list(arrays)
    return [_along(_along(array, offsets, 0), offsets, 1) if jnp.ndim(array) else array for array in arrays]


def _along(array, offsets, axis):
    """Moves an array along the rows (axis 0) or columns (axis 1) of its images."""
    last = array.shape[1 + axis] - 1
    source = last - jnp.abs(last - jnp.abs(jnp.arange(last + 1) - offsets[:, axis, None]))
    others = [k for k in range(1, array.ndim) if k != 1 + axis]
    return jnp.take_along_axis(array, jnp.expand_dims(source, others), 1 + axis, mode="clip")
