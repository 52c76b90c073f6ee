"""The residual discriminator of StyleGAN2: one logit per image, with a minibatch standard deviation before the last layers."""
import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from oasis_jax.eqgan.generator import block_channels, block_dtypes
from oasis_jax.eqgan.mapping import EqualizedDense
from oasis_jax.eqgan.synthesis import activate, sides
from oasis_jax.layers.dtype import wide
from oasis_jax.layers.filtered import conv2d_down, downsample, separate_conv2d_down
from oasis_jax.layers.spatial import EqualizedConv


def minibatch_deviation(x, group_size, groups=1, sets=1):
    """The mean standard deviation of the activations over a group of images, for each image of the group.

    The batch is cut into `groups` parts, as if each were on its own device. Image n of a part of P images is in one group with the images
    n + k P/G, where G = min(group_size, P).

    Args:
        x: (B * sets, H, W, C); consecutive images of one set are `sets` apart.
        group_size: images per group; it must divide the size of a part, unless the part is smaller.
        groups: number of parts, a divisor of B.
        sets: number of sets; images of different sets are never in one group.

    Returns:
        (B * sets,).

    Raises:
        ValueError: the batch cannot be divided in this way.
    """
    images = len(x) // sets
    part = images // max(groups, 1)
    size = min(group_size, part)
    if not size or part * groups != images or part % size:
        raise ValueError(
            f"{images} images cannot be divided into {groups} parts (model.mbstd_groups) of groups of {group_size} (model.mbstd_group_size)"
        )
    members = x.reshape(groups, size, part // size, sets, -1).astype(wide(x.dtype))
    deviation = jnp.sqrt(jnp.var(members, axis=1, keepdims=True) + 1e-8).mean(-1)
    return jnp.broadcast_to(deviation, members.shape[:-1]).reshape(-1)


class Block(nn.Module):
    """Residual block that halves the resolution.

    Attributes:
        inner, features: channels between the convolutions, and channels of the output.
        first: the block takes the image, through a 1x1 convolution.
        clamp: bound of every layer's outputs; 0 for no bound.
        fused: allow downsampling to be fused with its filter.
    """

    inner: int
    features: int
    first: bool
    clamp: float
    fused: bool

    @nn.compact
    def __call__(self, x):
        """(B, h, w, C) -> (B, h/2, w/2, features)."""
        if self.first:
            x = activate(EqualizedConv(self.inner, 1, name="fromrgb")(x), clamp=self.clamp)
        shortcut = math.sqrt(0.5) * EqualizedConv(self.features, 1, use_bias=False, name="skip")(downsample(x))
        x = activate(EqualizedConv(self.inner, name="conv0")(x), clamp=self.clamp)
        down = conv2d_down if self.fused else separate_conv2d_down
        x = EqualizedConv(self.features, convolve=down, name="conv1")(x)
        return shortcut + activate(x, gain=1.0, clamp=self.clamp * math.sqrt(0.5))


class Discriminator(nn.Module):
    """Maps images to logits.

    Attributes:
        resolution: side of the images.
        channel_base, channel_max: determine the channels of each block (`generator.block_channels`).
        group_size: images per group of the minibatch standard deviation.
        groups: number of parts of the batch within which these groups are formed (`minibatch_deviation`).
        dtype, num_reduced: as for the Generator.
        clamp: bound of every layer's outputs; 0 for no bound.
        fused: fuse downsampling with its filter where that is cheaper; the result is the same up to rounding.
        remat: recompute each block in the backward pass.
    """

    resolution: int
    channel_base: int = 16384
    channel_max: int = 512
    group_size: int = 8
    groups: int = 1
    dtype: Any = jnp.float32
    num_reduced: int = 4
    clamp: float = 0.0
    fused: bool = True
    remat: bool = False

    def setup(self):
        channels = block_channels(self.resolution, self.channel_base, self.channel_max)
        self._dtypes = block_dtypes(self.resolution, self.dtype, self.num_reduced)
        block = nn.remat(Block) if self.remat else Block
        for i in range(len(channels) - 1, 0, -1):
            run = block(channels[i], channels[i - 1], i == len(channels) - 1, self.clamp, self.fused)
            setattr(self, f"b{sides(self.resolution)[i]}", run)
        self.conv = EqualizedConv(channels[0])
        self.fc = EqualizedDense(channels[0])
        self.out = EqualizedDense(1)

    def __call__(self, image, sets=1):
        """Computes the logits of images.

        Args:
            image: (B * sets, resolution, resolution, 3) in [-1, 1]; consecutive images of one set are `sets` apart.
            sets: number of sets of images, which do not share statistics.

        Returns:
            Logits (B * sets,), float32 or wider; high for real images.
        """
        return self.head(self.trunk(image)[0], sets)

    def trunk(self, image, offsets=None):
        """Runs the residual blocks, whose features attention can use.

        Args:
            image: as in `__call__`.
            offsets: {"bN": array} added to the outputs of the blocks whose inputs have side N, so that gradients with respect to the
                outputs can be computed.

        Returns:
            (the input of `head`, {"bN": (B, N/2, N/2, C)} with the outputs of these blocks).
        """
        x, features, offsets = image, {}, offsets or {}
        for side, dtype in list(zip(sides(self.resolution), self._dtypes, strict=True))[:0:-1]:
            name = f"b{side}"
            x = getattr(self, name)(x.astype(dtype))
            x = features[name] = x + offsets[name] if name in offsets else x
        return x, features

    def head(self, carry, sets=1):
        """Maps the carry returned by `trunk` to logits, as in `__call__`."""
        x = carry.astype(wide(self._dtypes[0]))
        deviation = minibatch_deviation(x, self.group_size, self.groups, sets).astype(x.dtype)
        x = jnp.concatenate([x, jnp.broadcast_to(deviation[:, None, None, None], (*x.shape[:3], 1))], axis=-1)
        x = activate(self.conv(x), clamp=self.clamp)
        x = activate(self.fc(x.reshape(len(x), -1)))
        return self.out(x)[:, 0]
