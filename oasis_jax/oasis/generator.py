"""The OASIS generator (section 2): maps conditioning to an image in [-1, 1]."""
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from oasis_jax.axes import rows_are_split
from oasis_jax.layers.convolution import leaky_relu
from oasis_jax.layers.dtype import wide
from oasis_jax.layers.normalised import Conv
from oasis_jax.layers.spatial import HeatmapEncoder, SpatialEncoding, at_level, render
from oasis_jax.oasis import conditioning as cond
from oasis_jax.oasis.capacities import Capacity
from oasis_jax.oasis.grain import of_block
from oasis_jax.oasis.spade import SPADEResidualBlock, rematerialised

MUTABLE_G = ["batch_stats", "spectral_norm"]  # collections that a forward pass in training mode updates
WIDTHS = (16, 16, 8, 4, 2, 1)  # channels of the blocks, in multiples of `channels`


class Generator(nn.Module):
    """R SPADE residual blocks from the coarsest level to the full image.

    Attributes:
        num_classes: N, including the don't-care class.
        num_blocks: R, at most 6; with fewer, widths are dropped at the coarse end.
        channels: ch; 64 in the paper.
        spade_hidden: channels of SPADE's hidden layer.
        z_dim: length of a noise vector; 0 for the ablation without 3D noise.
        dtype: dtype of the activations; parameters, statistics and the returned image are float32 or wider.
        remat: recompute the blocks in the backward pass.
        capacities: for each level, fine to coarse, its Capacity if it is computed on regions (`oasis/regions.py`), or None if it is dense.
            Levels that are not listed are dense. All levels are dense if noise vectors vary by pixel or image rows are split over devices.
            Capacities change the cost, never the result.
        known_to_fit: every image is known to fit the capacities; otherwise a batch that does not fit is computed densely.
        sel_blocks: heatmap feature of the SEL after each block, coarse to fine: "l1", "l2", "l3", "cat", or "none" for no SEL. () is the
            OASIS generator; otherwise the generator is spatially aware (EqGAN-SA) and takes heatmaps.
        sel_strength: strength of the SELs, in multiples of the published one.
        isotropic: heatmaps are round whatever the aspect ratio of the image.
        grain_blocks: number of the finest blocks that add per-pixel noise after their convolutions (`oasis/grain.py`).
        affine_blocks: number of the finest blocks with `ClassAffine` modulation instead of SPADE.
    """

    num_classes: int
    num_blocks: int = 6
    channels: int = 64
    spade_hidden: int = 128
    z_dim: int = 64
    dtype: Any = jnp.float32
    remat: bool = False
    capacities: tuple[Capacity | None, ...] = ()
    known_to_fit: bool = False
    sel_blocks: tuple[str, ...] = ()
    sel_strength: float = 1.0
    isotropic: bool = False
    grain_blocks: int = 0
    affine_blocks: int = 0

    @nn.compact
    def __call__(self, label_map, noise=None, heatmaps=None, *, train=False):
        """Generates one image per label map.

        Args:
            label_map: (B, H, W) integer ids in 0..num_classes-1, H and W divisible by 2**(num_blocks-1); or a Conditioning, without noise.
            noise: (B, z_dim) for one vector per image, (B, num_classes, z_dim) per class, or (B, H, W, z_dim) per pixel; None only if z_dim
                is 0.
            heatmaps: (B, 7, 3), centre y, centre x and width of each heatmap (`oasis_jax.heatmaps`), if the generator is spatially aware.
            train: normalise by batch statistics, and update them and the singular vectors (collections "batch_stats", "spectral_norm").

        Returns:
            (B, H, W, 3) in [-1, 1].

        Raises:
            ValueError: the image size, noise or heatmaps do not fit; the message says what would fit.
        """
        y = label_map if isinstance(label_map, cond.Conditioning) else self.condition(label_map, noise)
        height, width = y.size
        check_sides(height, width, self.num_blocks - 1)
        widths = [self.channels * w for w in WIDTHS[len(WIDTHS) - self.num_blocks :]]
        block = rematerialised(SPADEResidualBlock) if self.remat else SPADEResidualBlock

        if self.spatially_aware != (heatmaps is not None):
            given, made = ("no heatmaps", "with") if heatmaps is None else ("heatmaps", "without")
            raise ValueError(f"{given} were given to a generator made {made} model.spatial_awareness")
        if self.spatially_aware:
            encoder, sel = (nn.remat(module) if self.remat else module for module in (HeatmapEncoder, SpatialEncoding))
            encoded = encoder(name="heatmap_encoder")(render(heatmaps, y.size, self.isotropic).astype(self.dtype))

        coarsest = 2 ** (self.num_blocks - 1)
        x = Conv(widths[0], name="conv_in")(y.dense(height // coarsest, width // coarsest))
        for i, features in enumerate(widths):
            size = height * 2**i // coarsest, width * 2**i // coarsest
            capacity = None if rows_are_split() or y.pixel_noise is not None else self.capacity(len(widths) - 1 - i)
            level = y.regions(*size, capacity, self.known_to_fit) if capacity else y.separately(*size)
            x = block(features, self.hidden(i), upsamples=i > 0, name=f"block_{i}")(x, level, train, self.grain(y, i, size))
            if self.sel_blocks and self.sel_blocks[i] != "none":
                feature = at_level(encoded, self.sel_blocks[i], size)
                x = sel(self.sel_strength, name=f"sel_{i}")(x, feature)
        x = Conv(3, name="conv_out")(leaky_relu(x))
        return nn.tanh(x.astype(wide(x.dtype)))

    @property
    def spatially_aware(self):
        """Whether the generator takes heatmaps."""
        return bool(self.sel_blocks)

    def fits(self, label_map):
        """Whether label maps, or a Conditioning, fit the capacities, so that no level falls back to the dense computation: () bool."""
        y = label_map if isinstance(label_map, cond.Conditioning) else cond.from_noise(label_map, None, self.num_classes)
        sides = [(y.size[0] >> level, y.size[1] >> level) for level in range(len(self.capacities))]
        plans = [y.regions(*side, capacity).plan for level, side in enumerate(sides) if (capacity := self.capacity(level))]
        return jnp.all(jnp.asarray([plan.fits for plan in plans]))

    def grain(self, y, block, size, place=(0, 0)):
        """Per-pixel noise of a block for Conditioning y: (2, B, h, w) at size (h, w), from the corner `place` on; None if it has none."""
        return of_block(y.directions(self.z_dim, *size), block, *size, *place) if self.has_grain(block) else None

    def has_grain(self, block):
        """Whether a block adds per-pixel noise."""
        return block >= self.num_blocks - self.grain_blocks

    def hidden(self, block):
        """Channels of SPADE's hidden layer in a block; 0 for one with `ClassAffine`."""
        return 0 if block >= self.num_blocks - self.affine_blocks else self.spade_hidden

    def capacity(self, halvings):
        """Capacity of the level `halvings` below the full image, or None; a block without SPADE's convolutions needs none."""
        listed = halvings < len(self.capacities) and self.hidden(self.num_blocks - 1 - halvings)
        return self.capacities[halvings] if listed else None

    def condition(self, label_map, noise):
        """Conditioning of a label map and noise in the dtype of this generator; shapes and errors as in `__call__`."""
        given = None if noise is None else noise.shape[-1]
        if given != (self.z_dim or None):
            raise ValueError(f"the generator has z_dim={self.z_dim}, but noise vectors of length {given} were given")
        return cond.from_noise(label_map, noise, self.num_classes, self.dtype)


def check_sides(height, width, halvings):
    """Raises ValueError, naming the nearest valid sizes, unless both sides are divisible by 2**halvings."""
    unit = 2**halvings
    if height % unit or width % unit or not height or not width:
        nearest = [" or ".join(str(unit * n) for n in sorted({max(side // unit, 1), max(-(-side // unit), 1)})) for side in (height, width)]
        raise ValueError(
            f"image size {height}x{width} does not fit: both sides must be divisible by {unit}; "
            f"nearest heights {nearest[0]}, widths {nearest[1]}"
        )
