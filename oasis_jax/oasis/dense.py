"""Dense conditioning: the vectors of a level at every pixel, and SPADE's first convolution of them.

With one noise vector per image, as in training, the noise is the same at every pixel. So is its convolution, except at the border, where
the padding is zero. So only the one-hot labels are convolved at every pixel: N instead of z_dim + N channels.
"""
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from oasis_jax.layers.convolution import by_rows, conv2d
from oasis_jax.layers.dtype import wide


@flax.struct.dataclass
class Dense:
    """Conditioning of a level, a pytree.

    Attributes:
        vectors: (B, h, w, N), the one-hot label of each pixel; or (B, h, w, z_dim + N), and then there is no `noise`.
        noise: (B, z_dim), the noise channels of every pixel of an image, which come before the label; or None.
    """

    vectors: jax.Array
    noise: jax.Array | None = None

    @property
    def channels(self):
        """z_dim + N."""
        return self.vectors.shape[-1] + (0 if self.noise is None else self.noise.shape[-1])


def convolve(y, kernel, bias):
    """3x3 convolution of conditioning.

    Args:
        y: Dense.
        kernel: (3, 3, z_dim + N, D).
        bias: (D,).

    Returns:
        (B, h, w, D).
    """
    if y.noise is None:
        return by_rows(conv2d, y.vectors, kernel) + bias
    z_dim = y.noise.shape[-1]
    labels = by_rows(conv2d, y.vectors, kernel[:, :, z_dim:])
    return labels + constant_conv2d(y.noise, kernel[:, :, :z_dim], bias, y.vectors.shape[1:3])


def constant_conv2d(vectors, kernel, bias, size):
    """conv2d of constant images, plus bias: the sum of the taps that lie within the image.

    Args:
        vectors: (B, C), one per image.
        kernel: (3, 3, C, D).
        bias: (D,).
        size: (h, w) of the images.

    Returns:
        (B, h, w, D), a broadcast that can be fused with the operation that uses it.
    """
    dtype = wide(kernel.dtype)
    taps = jnp.einsum("bc,ijcd->bijd", vectors, kernel, preferred_element_type=dtype)
    # Tap i of a row lies within the image unless it reaches above the first or below the last row; likewise for columns.
    rows = jnp.asarray([[0 <= row + i < size[0] for i in (-1, 0, 1)] for row in range(size[0])], dtype)
    left, middle, right = jnp.moveaxis(jnp.einsum("hi,bijd->bjhd", rows, taps), 1, 0)[:, :, :, None]
    column = np.arange(size[1])[:, None]
    within = middle + bias + jnp.where(column > 0, left, 0) + jnp.where(column < size[1] - 1, right, 0)
    return within.astype(kernel.dtype)
