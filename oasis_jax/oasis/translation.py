"""Random translation of all that D sees, so that it judges no pixel by its place in the image.

A pixel's place in the grids of D's coarse levels is the same in every step, and so are its distances from the border of the image.
Translated at random, photos and fakes have no such places, and D's gradients favour no rows and columns of G's images. Label maps, weights
and masks are translated with the images. The translation of DiffAugment (Zhao et al. 2020), with reflection instead of zeros.
"""
import jax
import jax.numpy as jnp

from oasis_jax.axes import along_batch


def draw_offsets(key, batch, limit):
    """(batch, 2) int32 of rows and columns, each uniform in -limit..limit, or None if `limit` is 0."""
    return along_batch(jax.random.randint(key, (batch, 2), -limit, limit + 1)) if limit else None


def translated(offsets, *arrays):
    """Moves each example of the arrays down and to the right; what is beyond the border is the reflection of what is inside.

    If rows are split over devices, they are gathered first, since an example can move by any number of rows.

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
