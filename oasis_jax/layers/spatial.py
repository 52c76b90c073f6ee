"""Spatial awareness of the generator (EqGAN-SA): heatmaps rendered on the device, their encoder, and the spatial encoding layer (SEL).

All convolutions here use an equalised learning rate, as in EqGAN-SA, and none is spectrally normalised.
"""
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from oasis_jax.heatmaps import FLOOR, LEVELS, NUM_MAPS
from oasis_jax.layers.convolution import by_rows, conv2d, leaky_relu
from oasis_jax.layers.dtype import wide
from oasis_jax.layers.initial import standard_normal
from oasis_jax.layers.interpolation import is_known, resize

ALL_LEVELS = "cat"  # features of all levels, concatenated
FEATURES = (*LEVELS, ALL_LEVELS)
STRENGTH = 0.1  # strength of a SEL's branch, as published


def render(heatmaps, size, isotropic=False):
    """Renders heatmaps: exp(-|p - c|^2 / width) + 0.01 at every pixel p of the square [-1, 1]^2.

    Args:
        heatmaps: (B, 7, 3): centre y, centre x and width of each map (`oasis_jax.heatmaps`).
        size: (H, W).
        isotropic: measure distances in units of the image height, so that the maps are round; otherwise they have the image's aspect ratio.

    Returns:
        (B, H, W, 7) in (0.01, 1.01].

    Raises:
        ValueError: heatmaps have another shape.
    """
    if heatmaps.ndim != 3 or heatmaps.shape[1:] != (NUM_MAPS, 3):
        raise ValueError(f"heatmaps are {heatmaps.shape}, but should be (B, {NUM_MAPS}, 3): centre y, centre x and width of each map")
    stretch = (1, size[1] / size[0] if isotropic else 1)
    # exp(-y^2 - x^2) factorises, so the exponential is needed for rows and columns only.
    rows, columns = (
        jnp.exp(-jnp.square((_positions(size[axis]) - heatmaps[..., axis, None]) * stretch[axis]) / heatmaps[..., 2, None])
        for axis in (0, 1)
    )
    return jnp.einsum("bnh,bnw->bhwn", rows, columns, precision=lax.Precision.HIGHEST) + FLOOR


def _positions(side):
    """`side` equally spaced numbers from -1 to 1."""
    return jnp.linspace(-1, 1, side) if is_known(side) else 2 * jnp.arange(side, dtype=float) / jnp.maximum(side - 1, 1) - 1


def at_level(features, level, size):
    """Heatmap features of a level, resized for a SEL: (B, *size, C), or (B, *size, 3 C) for all levels.

    Args:
        features: {level: (B, H, W, C)} from `HeatmapEncoder`.
        level: one of FEATURES.
        size: (h, w).
    """
    return jnp.concatenate([resize(features[name], size) for name in (LEVELS if level == ALL_LEVELS else (level,))], axis=-1)


class EqualizedConv(nn.Module):
    """Convolution with equalised learning rate: stored weights are of order one and are divided by sqrt(k k C) when used.

    Attributes:
        features: D.
        kernel_size: k.
        zero_init: initialise the weights to zero instead of standard normal values.
        use_bias: add a bias.
        convolve: (x, kernel (k, k, C, D)) -> result; it may resample, and so change the size of the image.
    """

    features: int
    kernel_size: int = 3
    zero_init: bool = False
    use_bias: bool = True
    convolve: Callable[[jax.Array, jax.Array], jax.Array] = conv2d

    @nn.compact
    def __call__(self, x):
        """(B, H, W, C) -> (B, H, W, features) in the dtype of x."""
        initializer = nn.initializers.zeros if self.zero_init else standard_normal
        weight = self.param("weight", initializer, (self.kernel_size, self.kernel_size, x.shape[-1], self.features))
        x = by_rows(self.convolve, x, (weight / math.sqrt(math.prod(weight.shape[:3]))).astype(x.dtype))
        return x + self.param("bias", nn.initializers.zeros, (self.features,)).astype(x.dtype) if self.use_bias else x


class HeatmapEncoder(nn.Module):
    """Two convolutions for the heatmaps of each level, at the full image size.

    Attributes:
        features: channels per level; the first convolution has half as many.
    """

    features: int = 32

    @nn.compact
    def __call__(self, maps):
        """Rendered heatmaps (B, H, W, 7) -> {level: (B, H, W, features)}."""
        encoded, first = {}, 0
        for level, count in LEVELS.items():
            x = maps[..., first : first + count]
            x = math.sqrt(2) * leaky_relu(EqualizedConv(self.features // 2, name=f"{level}_0")(x))
            encoded[level] = leaky_relu(EqualizedConv(self.features, name=f"{level}_1")(x))
            first += count
        return encoded


class SpatialEncoding(nn.Module):
    """SEL: x + 0.1 conv(lrelu(IN(x) (1 + sigma) + mu)), with one-channel sigma and mu computed from the heatmap features.

    Attributes:
        strength: strength of the branch, in multiples of the published one.
        zero_init: initialise the last convolution to zero, so that the layer at first returns x bit for bit. Only this convolution has a
            gradient then; the others follow once its weights have changed. EqGAN-SA itself starts with a random branch.
        hidden: channels of the hidden layer.
    """

    strength: float = 1.0
    zero_init: bool = True
    hidden: int = 64

    @nn.compact
    def __call__(self, x, feature):
        """x (B, h, w, C) and heatmap features (B, h, w, m) -> (B, h, w, C)."""
        shared = math.sqrt(2) * leaky_relu(EqualizedConv(self.hidden, name="shared")(feature))
        maps = EqualizedConv(2, name="sigma_mu")(shared)
        y = modulated(instance_norm(x), maps)
        return x + STRENGTH * self.strength * EqualizedConv(x.shape[-1], zero_init=self.zero_init, name="output")(y)


def modulated(x, maps):
    """lrelu(x (1 + sigma) + mu) of normalised activations x (B, h, w, C), and sigma and mu (B, h, w, 2)."""
    sigma, mu = jnp.split(maps, 2, axis=-1)
    return leaky_relu(x * (1 + sigma) + mu)


def instance_norm(x, epsilon=1e-5):
    """Normalises each image and channel to zero mean and unit biased variance: (B, H, W, C) -> the same shape and dtype."""
    return normalised(x, *statistics(x, epsilon))


def statistics(x, epsilon=1e-5):
    """(mean, 1 / standard deviation) with which `instance_norm` normalises x (B, H, W, C): each (B, 1, 1, C), in float32 or wider."""
    values = x.astype(wide(x.dtype))
    mean = jnp.mean(values, (1, 2), keepdims=True)
    return mean, lax.rsqrt(jnp.mean(jnp.square(values - mean), (1, 2), keepdims=True) + epsilon)


def normalised(x, mean, scale):
    """x (B, H, W, C) normalised with given `statistics`, in the dtype of x."""
    return ((x.astype(wide(x.dtype)) - mean) * scale).astype(x.dtype)
