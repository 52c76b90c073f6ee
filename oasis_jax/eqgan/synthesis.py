"""The synthesis network of StyleGAN2 with skip outputs, with a spatial encoding layer (SEL) before every convolution (EqGAN-SA)."""
import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from oasis_jax.eqgan.mapping import EqualizedDense
from oasis_jax.heatmaps import LEVELS
from oasis_jax.layers.convolution import by_rows, conv2d, leaky_relu
from oasis_jax.layers.dtype import wide
from oasis_jax.layers.filtered import conv2d_up, separate_conv2d_up, upsample
from oasis_jax.layers.initial import standard_normal
from oasis_jax.layers.spatial import ALL_LEVELS, HeatmapEncoder, SpatialEncoding, at_level

NOISE = "noise"  # collection of the constant noise maps: state, but not trained
COARSEST = 4  # side of the learned constant


def sides(resolution):
    """Sides of the synthesis blocks, coarse to fine: 4, 8, ..., resolution."""
    return [COARSEST << i for i in range(int(math.log2(resolution)) - 1)]


def level_of(side):
    """The heatmap level of the SELs in the block of a side: coarse, middle and fine in the three coarsest blocks, then all levels."""
    return dict(zip(sides(16), LEVELS, strict=True)).get(side, ALL_LEVELS)


def noise_sides(resolution):
    """{name of a styled convolution: side of its noise map}, coarse to fine."""
    return {f"b{side}_conv{i}": side for side in sides(resolution) for i in (0, 1) if side > COARSEST or i}


def activate(x, gain=2**0.5, clamp=0.0):
    """clip(gain * leaky_relu(x), -clamp, clamp), not clipped if clamp is 0. Callers scale clamp by any additional gain, as published."""
    x = gain * leaky_relu(x)
    return jnp.clip(x, -clamp, clamp) if clamp else x


def modulated_conv2d(x, weight, style, convolve=conv2d, demodulate=True):
    """Convolution whose kernel is scaled by a style per input channel, and normalised per output channel (StyleGAN2, equations 1 and 3).

    Instead of the kernel, the style scales the input and the normalisation scales the output, so that all images share one kernel.

    Args:
        x: (B, H, W, C).
        weight: (k, k, C, D), float32 or wider.
        style: (B, C), float32 or wider.
        convolve: (x, kernel) -> result.
        demodulate: normalise per output channel.

    Returns:
        (B, H', W', D) in the dtype of x.
    """
    y = by_rows(convolve, x * style[:, None, None].astype(x.dtype), weight.astype(x.dtype))
    if demodulate:
        squares = jnp.matmul(jnp.square(style), jnp.sum(jnp.square(weight), (0, 1)), precision=lax.Precision.HIGHEST)
        y = y * lax.rsqrt(squares + 1e-8)[:, None, None].astype(x.dtype)
    return y


class StyledConv(nn.Module):
    """SEL, modulated 3x3 convolution, noise, bias, leaky ReLU.

    Attributes:
        features: D.
        up: double the resolution.
        sel_hidden: channels of the SEL's hidden layer; 0 for no SEL.
        clamp: bound of the outputs; 0 for no bound.
        fused: allow the upsampling to be fused with its filter.
    """

    features: int
    up: bool = False
    sel_hidden: int = 64
    clamp: float = 0.0
    fused: bool = True

    @nn.compact
    def __call__(self, x, w, feature, noise):
        """Runs the layer.

        Args:
            x: (B, h, w, C).
            w: (B, w_dim).
            feature: heatmap features (B, h, w, m); None without a SEL.
            noise: (B or 1, h', w', 1), at the size of the output; None for none.

        Returns:
            (B, h', w', features).
        """
        style = EqualizedDense(x.shape[-1], bias_init=1.0, name="affine")(w)
        if self.sel_hidden:
            x = SpatialEncoding(zero_init=False, hidden=self.sel_hidden, name="sel")(x, feature)
        weight = self.param("weight", standard_normal, (3, 3, x.shape[-1], self.features))
        convolve = (conv2d_up if self.fused else separate_conv2d_up) if self.up else conv2d
        x = modulated_conv2d(x, weight, style, convolve)
        strength = self.param("noise_strength", nn.initializers.zeros, ())
        if noise is not None:
            x = x + (strength * noise).astype(x.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return activate(x + bias.astype(x.dtype), clamp=self.clamp)


class ToRGB(nn.Module):
    """SEL and a modulated 1x1 convolution to three channels, without normalisation.

    Attributes:
        sel_hidden: channels of the SEL's hidden layer; 0 for no SEL.
        clamp: bound of the outputs; 0 for no bound.
    """

    sel_hidden: int = 64
    clamp: float = 0.0

    @nn.compact
    def __call__(self, x, w, feature):
        """x (B, h, w, C), w (B, w_dim), heatmap features (B, h, w, m) or None -> (B, h, w, 3)."""
        style = EqualizedDense(x.shape[-1], bias_init=1.0, name="affine")(w) / math.sqrt(x.shape[-1])
        if self.sel_hidden:
            x = SpatialEncoding(zero_init=False, hidden=self.sel_hidden, name="sel")(x, feature)
        weight = self.param("weight", standard_normal, (1, 1, x.shape[-1], 3))
        x = modulated_conv2d(x, weight, style, demodulate=False)
        x = x + self.param("bias", nn.initializers.zeros, (3,)).astype(x.dtype)
        return jnp.clip(x, -self.clamp, self.clamp) if self.clamp else x


class Block(nn.Module):
    """The layers of one resolution: upsampling convolution (not in the coarsest block), convolution, output to the skip image.

    Attributes as for StyledConv; `first` marks the coarsest block.
    """

    features: int
    first: bool
    sel_hidden: int
    clamp: float
    fused: bool

    @nn.compact
    def __call__(self, x, image, ws, features, noise):
        """Runs the block.

        Args:
            x: (B, h, w, C); for the first block the constant.
            image: (B, h, w, 3), the sum of the outputs so far; None for the first block.
            ws: (B, 3, w_dim) for the three layers; (B, 2, w_dim) for the first block.
            features: heatmap features of the upsampling convolution, and of the other two layers.
            noise: list with the noise of each convolution.

        Returns:
            (x (B, 2h, 2w, features), image (B, 2h, 2w, 3)); for the first block, both have the size of x.
        """
        shared = {"sel_hidden": self.sel_hidden, "clamp": self.clamp, "fused": self.fused}
        if not self.first:
            x = StyledConv(self.features, up=True, name="conv0", **shared)(x, ws[:, 0], features[0], noise[0])
        x = StyledConv(self.features, name="conv1", **shared)(x, ws[:, -2], features[1], noise[-1])
        rgb = ToRGB(self.sel_hidden, self.clamp, name="torgb")(x, ws[:, -1], features[1])
        rgb = rgb.astype(wide(rgb.dtype))
        return x, rgb if image is None else upsample(image) + rgb


class Synthesis(nn.Module):
    """The synthesis network.

    Attributes:
        resolution: side of the images, a power of two.
        channels: channels of each block, coarse to fine.
        dtypes: dtype of each block's activations.
        sel_hidden: channels of the SELs' hidden layers; 0 for no SELs.
        encoder_features: channels per level of the heatmap encoder.
        clamp: bound of every layer's outputs; 0 for no bound.
        fused: allow upsampling to be fused with its filter.
        remat: recompute each block in the backward pass.
    """

    resolution: int
    channels: tuple[int, ...]
    dtypes: tuple[Any, ...]
    sel_hidden: int = 64
    encoder_features: int = 32
    clamp: float = 0.0
    fused: bool = True
    remat: bool = False

    @nn.compact
    def __call__(self, ws, maps, noise):
        """Generates images.

        Args:
            ws: (B, num_ws, w_dim). The output layer of a block uses the same style as the next block's first convolution.
            maps: rendered heatmaps (B, resolution, resolution, 7); None without SELs.
            noise: (B, sum of r * r) standard normal, for the sides r of `noise_sides`; "const" for the stored maps; None for none.

        Returns:
            (B, resolution, resolution, 3), nominally in [-1, 1], float32 or wider.
        """
        encoded = HeatmapEncoder(self.encoder_features, name="encoder")(maps.astype(self.dtypes[-1])) if self.sel_hidden else None
        resized = {}

        def feature(level, side, dtype):
            if encoded is None:
                return None
            if (level, side) not in resized:
                resized[level, side] = at_level(encoded, level, (side, side))
            return resized[level, side].astype(dtype)

        noise = self._noise_maps(noise)
        block = nn.remat(Block) if self.remat and not self.is_initializing() else Block
        const = self.param("const", standard_normal, (COARSEST, COARSEST, self.channels[0]))
        x, image, row = jnp.broadcast_to(const, (len(ws), *const.shape)), None, 0
        for side, channels, dtype in zip(sides(self.resolution), self.channels, self.dtypes, strict=True):
            first = side == COARSEST
            count, level = 1 if first else 2, level_of(side)
            features = [None if first else feature(level, side // 2, dtype), feature(level, side, dtype)]
            of_layers, noise_of_layers = ws[:, row : row + count + 1], noise[row : row + count]
            run = block(channels, first, self.sel_hidden, self.clamp, self.fused, name=f"b{side}")
            x, image = run(x.astype(dtype), image, of_layers, features, noise_of_layers)
            row += count
        return image

    def _noise_maps(self, noise):
        """The noise of each styled convolution: a list of arrays (B or 1, r, r, 1), or of None."""
        maps, first = [], 0
        for name, side in noise_sides(self.resolution).items():
            stored = self.variable(NOISE, name, lambda side=side: standard_normal(self.make_rng("params"), (side, side)))
            values = stored.value if isinstance(noise, str) else noise
            if values is not None:
                values = values.reshape(-1, side, side, 1) if isinstance(noise, str) else _cut(noise, first, side)
            maps.append(values)
            first += side * side
        return maps


def _cut(noise, first, side):
    return lax.slice_in_dim(noise, first, first + side * side, axis=1).reshape(-1, side, side, 1)
