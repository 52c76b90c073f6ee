"""The generator of EqGAN-SA: mapping network, and synthesis network with heatmaps."""
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from oasis_jax.eqgan.mapping import Mapping
from oasis_jax.eqgan.synthesis import Synthesis, noise_sides, sides
from oasis_jax.layers.dtype import wide
from oasis_jax.layers.spatial import render

SMALLEST, LARGEST = 16, 1024  # resolution


def check_resolution(height, width):
    """Raises ValueError unless an image size is a square whose side is a power of two in 16..1024."""
    if height != width or height & (height - 1) or not SMALLEST <= height <= LARGEST:
        possible = ", ".join(str(1 << i) for i in range(4, 11))
        raise ValueError(f"data.image_size={(height, width)}: images must be square, with a side of {possible}")


def block_channels(resolution, channel_base, channel_max):
    """Channels of the blocks of sides 4, 8, ..., resolution: min(channel_base / side, channel_max)."""
    return tuple(min(channel_base // side, channel_max) for side in sides(resolution))


def block_dtypes(resolution, dtype, num_reduced):
    """Dtypes of the blocks of sides 4, 8, ..., resolution: a dtype below float32 is used in the `num_reduced` finest blocks only."""
    count = len(sides(resolution))
    reduced = count if wide(dtype) == dtype else min(num_reduced, count)
    return (jnp.float32,) * (count - reduced) + (dtype,) * reduced


class Generator(nn.Module):
    """Maps latents z and heatmaps to images.

    Attributes:
        resolution: side of the images.
        channel_base, channel_max: determine the channels of each block (`block_channels`).
        z_dim: length of a latent z.
        w_dim: length of a style w.
        mapping_layers: layers of the mapping network.
        sel_hidden: channels of the hidden layers of the SELs; 0 for a generator without SELs, which takes no heatmaps.
        encoder_features: channels per level of the heatmap encoder.
        dtype: dtype of the activations; dtypes below float32 are used in the `num_reduced` finest blocks only.
        num_reduced: number of finest blocks with a reduced dtype.
        clamp: bound of every layer's outputs; 0 for no bound. Published weights need the published 256.
        fused: fuse upsampling with its filter where that is cheaper; the result is the same up to rounding.
        remat: recompute each block in the backward pass.
    """

    resolution: int
    channel_base: int = 16384
    channel_max: int = 512
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    sel_hidden: int = 64
    encoder_features: int = 32
    dtype: Any = jnp.float32
    num_reduced: int = 4
    clamp: float = 0.0
    fused: bool = True
    remat: bool = False

    @property
    def spatially_aware(self):
        """Whether the generator takes heatmaps."""
        return self.sel_hidden > 0

    @property
    def num_ws(self):
        """Number of styles of an image: one for each styled convolution, and one for the last output layer."""
        return len(noise_sides(self.resolution)) + 1

    @property
    def noise_size(self):
        """Number of noise values of an image."""
        return sum(side * side for side in noise_sides(self.resolution).values())

    def setup(self):
        self.mapping = Mapping(self.w_dim, self.mapping_layers)
        channels = block_channels(self.resolution, self.channel_base, self.channel_max)
        dtypes = block_dtypes(self.resolution, self.dtype, self.num_reduced)
        self.synthesis = Synthesis(
            self.resolution, channels, dtypes, self.sel_hidden, self.encoder_features, self.clamp, self.fused, self.remat
        )

    def __call__(self, z, heatmaps=None, noise="const", *, train=False):
        """Generates images.

        Args:
            z: (B, z_dim).
            heatmaps: (B, 7, 3) for a spatially aware generator: centre y, centre x and width of each map.
            noise: (B, noise_size) standard normal; "const" for the stored maps; None for none.
            train: update the running mean of w (collection "averages").

        Returns:
            (B, resolution, resolution, 3), nominally in [-1, 1].
        """
        return self.synthesise(self.styles(z, train=train), heatmaps, noise)

    def styles(self, z, *, train=False):
        """Latents (B, z_dim) -> styles (B, num_ws, w_dim), the same in each row."""
        w = self.mapping(z, train)
        return jnp.broadcast_to(w[:, None], (len(w), self.num_ws, w.shape[-1]))

    def truncate(self, ws, psi):
        """Truncation trick: w_avg + psi (w - w_avg), for styles ws (B, num_ws, w_dim) and psi (B, num_ws) in 0..1."""
        return self.mapping.truncate(ws, psi)

    def synthesise(self, ws, heatmaps=None, noise="const"):
        """Styles (B, num_ws, w_dim) -> images; the other arguments as in `__call__`."""
        return self.synthesis(ws, render(heatmaps, (self.resolution,) * 2) if self.spatially_aware else None, noise)
