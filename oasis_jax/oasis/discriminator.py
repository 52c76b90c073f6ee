"""The OASIS segmentation discriminator (section 3): a U-Net that classifies every pixel as one of N classes or as fake."""
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from oasis_jax.layers.convolution import conv2d, leaky_relu, stored
from oasis_jax.layers.dtype import wide
from oasis_jax.layers.normalised import Conv
from oasis_jax.layers.resampling import conv1x1_of_downsampled, conv2d_of_upsampled, downsample, downsampled_conv2d, upsample
from oasis_jax.oasis.generator import check_sides

ATTENDED = 3  # number of coarsest decoder blocks that belong to the trunk


def conv2d_then_downsample(x, kernel):
    """`downsampled_conv2d` as two operations."""
    return downsample(conv2d(x, kernel))


def upsample_then_conv2d(x, kernel):
    """`conv2d_of_upsampled` as two operations."""
    return conv2d(upsample(x), kernel)


class EncoderBlock(nn.Module):
    """Residual block that halves the resolution. The first block takes the image, without an activation before its first convolution."""

    features: int
    first: bool = False
    fused: bool = True

    @nn.compact
    def __call__(self, x, train=False):
        """(B, h, w, C) -> (B, h/2, w/2, features)."""
        if x.shape[-1] != self.features:
            # The published system pools before this convolution in the first block and after it in the others. The two commute.
            shortcut = Conv(self.features, 1, spectral_norm=True, convolve=conv1x1_of_downsampled, name="conv_s")(x, train=train)
        else:
            shortcut = downsample(x)
        x = Conv(self.features, spectral_norm=True, name="conv_0")(x if self.first else leaky_relu(x), train=train)
        convolve = downsampled_conv2d if self.fused else conv2d_then_downsample
        x = Conv(self.features, spectral_norm=True, convolve=convolve, name="conv_1")(leaky_relu(x), train=train)
        return shortcut + x


class DecoderBlock(nn.Module):
    """Residual block that doubles the resolution."""

    features: int
    fused: bool = True

    @nn.compact
    def __call__(self, x, train=False, after=None):
        """(B, h, w, C) -> (B, 2h, 2w, features), or (B, 2h, 2w, D) with a matrix `after` (features, D) that multiplies each pixel."""
        shortcut = x
        if x.shape[-1] != self.features:
            # A 1x1 convolution commutes with nearest-neighbour upsampling and costs a quarter if it comes first.
            shortcut = Conv(self.features, 1, spectral_norm=True, name="conv_s")(x, train=train, after=after)
        elif after is not None:
            shortcut = x @ after.astype(x.dtype)
        convolve = conv2d_of_upsampled if self.fused else upsample_then_conv2d
        x = Conv(self.features, spectral_norm=True, convolve=convolve, name="conv_0")(leaky_relu(x), train=train)
        x = Conv(self.features, spectral_norm=True, name="conv_1")(leaky_relu(x), train=train, after=after)
        return upsample(shortcut) + x


class Discriminator(nn.Module):
    """U-Net without normalisation layers; every convolution but the last is spectrally normalised.

    Attributes:
        num_classes: N, including the don't-care class; there are N + 1 logits, fake first.
        channels: channels of the encoder blocks, fine to coarse, without the image's 3; the first `num_blocks` are used.
        last: channels before the logits.
        num_blocks: R.
        dtype: dtype of the activations; parameters and logits are float32 or wider.
        remat: recompute the blocks in the backward pass.
        fused: fuse resampling, and the logits, with the adjacent convolution; the result is the same up to rounding.
    """

    num_classes: int
    channels: tuple[int, ...] = (128, 128, 256, 256, 512, 512)
    last: int = 64
    num_blocks: int = 6
    dtype: Any = jnp.float32
    remat: bool = False
    fused: bool = True

    def setup(self):
        encoder, decoder = EncoderBlock, DecoderBlock
        if self.remat:
            encoder, decoder = (nn.remat(block, static_argnums=(2,)) for block in (encoder, decoder))
        channels = self.channels[: self.num_blocks]
        self.encoder = [encoder(features, i == 0, self.fused) for i, features in enumerate(channels)]
        self.decoder = [decoder(features, self.fused) for features in (*channels[-2::-1], self.last)]
        self.logits = Conv(self.num_classes + 1, 1)

    def __call__(self, image, *, train=False):
        """Classifies every pixel.

        Args:
            image: (B, H, W, 3) in [-1, 1], H and W divisible by 2**num_blocks.
            train: do one power iteration first (collection "spectral_norm").

        Returns:
            Logits (B, H, W, N + 1): channel 0 is fake, channel c + 1 is class c.
        """
        return self.head(self.trunk(image, train=train)[0], train=train)

    def trunk(self, image, offsets=None, *, train=False):
        """Runs the encoder and the `ATTENDED` coarsest decoder blocks, whose features attention can use.

        Args:
            image, train: as in `__call__`.
            offsets: {"encoder_i" or "decoder_i": array} added to the outputs of these blocks, so that gradients with respect to the outputs
                can be computed.

        Returns:
            (carry, features): the input of `head`, and {name: (B, h, w, C)} of the outputs of these blocks.
        """
        check_sides(*image.shape[1:3], self.num_blocks)
        features, offsets = {}, offsets or {}

        def run(name, block, x):
            features[name] = block(x, train) + offsets[name] if name in offsets else block(x, train)
            return features[name]

        x, skips = image.astype(self.dtype), []
        for i, block in enumerate(self.encoder):
            x = run(f"encoder_{i}", block, x)
            skips.append(x)
        skips.pop()
        for i, block in enumerate(self.decoder[:ATTENDED]):
            x = run(f"decoder_{i}", block, jnp.concatenate([skips.pop(), x], axis=-1) if i else x)
        return (x, skips), features

    def head(self, carry, *, train=False):
        """Maps the carry returned by `trunk` to logits, as in `__call__`."""
        x, skips = carry
        blocks, dtype = self.decoder[ATTENDED:], wide(x.dtype)
        for block, skip in zip(blocks[:-1], skips[:0:-1], strict=True):
            x = block(jnp.concatenate([skip, x], axis=-1), train)
        if not blocks or not self.fused:
            x = blocks[-1](jnp.concatenate([skips[0], x], axis=-1), train) if blocks else x
            return self.logits(x).astype(dtype)
        # No activation lies between the last block and the logits, so the block returns them, and its own output need not be stored.
        kernel, bias = self.logits.weights(self.last, dtype)
        logits = blocks[-1](jnp.concatenate([skips[0], x], axis=-1), train, kernel[0, 0])
        return stored(logits + bias.astype(logits.dtype)).astype(dtype)
