"""Grain: per-pixel noise, which lets the inside of a region of one class vary from place to place.

A noise vector is the same at every pixel of an image, a class or a region. Without grain, texture could only develop from the edges of the
label map and the border of the image. The grain n of a pixel p is a function of the pixel's noise vector z and of its position only:

    n(p) = sum_k a_k F_k(p),  a = z[:8] / |z[:8]|

The eight fields F_k are fixed white noise, so n is white noise with variance 1, and a different vector gives a different n. Resampling the
vector of an image, a class or a region resamples the grain there and nowhere else. Between two vectors, the grain changes continuously.

F_k(y, x) = T[(y + dy_k) mod 256, (x + dx_k) mod 256] is cut from one tile T, so that images may have any size.
"""
import functools

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from oasis_jax.layers.dtype import wide

FIELDS = 8
SIDE, SCALE = 256, 32  # side of the tile, and standard deviation of its values
LAYERS = 2  # layers of each residual block that have grain
STEPS = 101, 57  # rows and columns of the tile between the origins of successive fields


class Grain(nn.Module):
    """Adds per-pixel noise with a learned strength per channel, initially zero (as in StyleGAN and SEAN).

    x + strength * n, with the same n for all channels.
    """

    @nn.compact
    def __call__(self, x, noise):
        """(B, h, w, C) and noise (B, h, w) -> (B, h, w, C) in the dtype of x."""
        strength = self.param("strength", nn.initializers.zeros, x.shape[-1:])
        return x + (noise[..., None] * strength).astype(x.dtype)


@functools.cache
def tile():
    """T, (256, 256) int8: white noise with a standard deviation of SCALE, the same on every machine.

    Each value is an eighth of the centred sum of twelve random bytes, which is nearly normally distributed.
    """
    words = np.random.Philox(key=0).random_raw(SIDE * SIDE * 12 // 8)
    parts = words.astype("<u8").view(np.uint8).reshape(SIDE, SIDE, 12).astype(np.int32)
    return np.clip((parts.sum(-1) - 1526) >> 3, -127, 127).astype(np.int8)


def places(layer):
    """Rows and columns of the tile where the fields of a layer begin: (8,) and (8,)."""
    number = np.arange(FIELDS) + FIELDS * layer
    return tuple(step * number % SIDE for step in STEPS)


def fields(layer, height, width, top=0, left=0):
    """F_k of the height x width pixels that start at (top, left): (height, width, 8) float32."""
    rows, columns = places(layer)
    rows = (jnp.arange(height)[:, None] + top + rows) % SIDE
    columns = (jnp.arange(width)[:, None] + left + columns) % SIDE
    return jnp.asarray(tile())[rows[:, None], columns[None]].astype(jnp.float32) / SCALE


def grain(directions, layer, height, width, top=0, left=0):
    """n of a layer: directions (B, height or 1, width or 1, 8), the coefficients a of each pixel -> (B, height, width)."""
    of_layer = fields(layer, height, width, top, left)[..., : directions.shape[-1]].astype(wide(directions.dtype))
    return jnp.sum(directions.astype(of_layer.dtype) * of_layer, axis=-1)


def of_block(directions, block, *place):
    """n of the layers of the residual block number `block`: (2, B, height, width); the other arguments are as for `grain`."""
    return jnp.stack([grain(directions, LAYERS * block + layer, *place) for layer in range(LAYERS)])


def direction(noise):
    """The coefficients a of noise vectors: (..., z_dim) -> (..., min(z_dim, 8)); zero for a zero vector."""
    used = noise[..., :FIELDS].astype(wide(noise.dtype))
    length = jnp.linalg.norm(used, axis=-1, keepdims=True)
    return used / jnp.maximum(length, 1e-12)
