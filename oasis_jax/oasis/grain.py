"""Noise by pixel: what makes the inside of a region of one class differ from place to place.

A noise vector is the same at every pixel of an image, a class or a region, and so texture could only grow from the edges of the label map
and the border of the image. The grain n of a pixel p is a function of the pixel's noise vector z and of its position alone:

    n(p) = sum_k a_k F_k(p),  a = z[:8] / |z[:8]|

The eight fields F_k are fixed white noise, so n is white noise with variance 1, and another vector gives another one. What resamples the
vectors of an image, a class or a region resamples the grain there and nowhere else, and it changes continuously between two vectors.

F_k(y, x) = T[(y + dy_k) mod 256, (x + dx_k) mod 256] is cut from one tile T, so that images may have any size.
"""
import functools

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from oasis_jax.layers.dtype import wide

FIELDS = 8
SIDE, SCALE = 256, 32  # of the tile, and its standard deviation
LAYERS = 2  # of each residual block
STEPS = 101, 57  # rows and columns between the places of the tile where two successive fields begin


class Grain(nn.Module):
    """Adds noise by pixel with a learnt strength per channel, zero at the start (as StyleGAN and SEAN do).

    x + strength * n, with one n for all channels.
    """

    @nn.compact
    def __call__(self, x, noise):
        """(B, h, w, C) and noise (B, h, w) -> (B, h, w, C) in the dtype of x."""
        strength = self.param("strength", nn.initializers.zeros, x.shape[-1:])
        return x + (noise[..., None] * strength).astype(x.dtype)


@functools.cache
def tile():
    """T, (256, 256) int8: white noise with a standard deviation of SCALE, the same on every machine.

    A value is an eighth of the sum of twelve random bytes minus its mean, which is nearly normal.
    """
    words = np.random.Philox(key=0).random_raw(SIDE * SIDE * 12 // 8)
    parts = words.astype("<u8").view(np.uint8).reshape(SIDE, SIDE, 12).astype(np.int32)
    return np.clip((parts.sum(-1) - 1526) >> 3, -127, 127).astype(np.int8)


def places(layer):
    """Rows and columns of the tile at which the fields of a layer begin: (8,) and (8,)."""
    number = np.arange(FIELDS) + FIELDS * layer
    return tuple(step * number % SIDE for step in STEPS)


def fields(layer, height, width, top=0, left=0):
    """F_k of the pixels (height, width) from (top, left) on: (height, width, 8) float32."""
    rows, columns = places(layer)
    rows = (jnp.arange(height)[:, None] + top + rows) % SIDE
    columns = (jnp.arange(width)[:, None] + left + columns) % SIDE
    return jnp.asarray(tile())[rows[:, None], columns[None]].astype(jnp.float32) / SCALE


def grain(directions, layer, height, width, top=0, left=0):
    """n of a layer: directions (B, height or 1, width or 1, 8), which are the a of each pixel -> (B, height, width)."""
    of_layer = fields(layer, height, width, top, left)[..., : directions.shape[-1]].astype(wide(directions.dtype))
    return jnp.sum(directions.astype(of_layer.dtype) * of_layer, axis=-1)


def of_block(directions, block, *place):
    """n of the layers of a residual block, which has this number: (2, B, height, width); other arguments as of `grain`."""
    return jnp.stack([grain(directions, LAYERS * block + layer, *place) for layer in range(LAYERS)])


def direction(noise):
    """a of noise vectors: (..., z_dim) -> (..., 8), or as many as there are; zero where the vector is."""
    used = noise[..., :FIELDS].astype(wide(noise.dtype))
    length = jnp.linalg.norm(used, axis=-1, keepdims=True)
    return used / jnp.maximum(length, 1e-12)
