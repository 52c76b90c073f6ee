"""Spatially adaptive normalisation (SPADE) and the residual block of the generator (OASIS section 2)."""
import jax
import jax.numpy as jnp
from flax import linen as nn

from oasis_jax.layers.convolution import by_rows, conv2d, leaky_relu
from oasis_jax.layers.dtype import wide
from oasis_jax.layers.normalised import Conv, batch_normalised
from oasis_jax.layers.resampling import upsample
from oasis_jax.oasis.class_affine import ClassAffine
from oasis_jax.oasis.grain import Grain
from oasis_jax.oasis.regions import Regions, modulate, modulate_dense


class SPADE(nn.Module):
    """Batch normalisation with scale and shift computed from the conditioning of each pixel.

    h = relu(conv3x3(y)); gamma, beta = conv3x3(h); out = BN(x) * (1 + gamma) + beta. One convolution computes gamma and beta as the two
    halves of its output, gamma first. With `upsamples`, x is upsampled by two first.
    """

    hidden: int = 128
    upsamples: bool = False

    @nn.compact
    def __call__(self, x, y, *, train=False, after=None):
        """Modulates x by the conditioning.

        Args:
            x: (B, h, w, C), or half as high and wide if `upsamples`.
            y: conditioning, Dense or Regions.
            train: normalise by batch statistics.
            after: matrix (C, F) in float32 or wider by which each pixel is multiplied at the end; None for no product. The convolution for
                beta is composed with this matrix, so that it has F output channels instead of C.

        Returns:
            (B, h, w, C), or (B, h, w, F) with `after`.
        """
        normalised = batch_normalised(x, train=train, upsamples=self.upsamples)
        shared = Conv(self.hidden, name="shared").weights(y.channels, x.dtype)
        gamma_beta = Conv(2 * x.shape[-1], name="gamma_beta").weights(self.hidden, x.dtype if after is None else after.dtype)
        scale, shift = zip(*(jnp.split(weights, 2, axis=-1) for weights in gamma_beta), strict=True)
        if after is not None:
            shift = tuple(jnp.matmul(weights, after, precision="highest") for weights in shift)
            scale, shift, after = jax.tree.map(lambda weights: weights.astype(x.dtype), (scale, shift, after))
        scaled, shifts = (modulate if isinstance(y, Regions) else modulate_dense)(normalised, y, shared, scale, shift)
        return (scaled if after is None else by_rows(conv2d, scaled, after[None, None])) + shifts


class SPADEResidualBlock(nn.Module):
    """Two stages of SPADE, activation and convolution, with a learned 1x1 shortcut where the number of channels changes.

    With `upsamples`, x is upsampled by two first. With `hidden` = 0, the stages use `ClassAffine` instead of SPADE.
    """

    features: int
    hidden: int = 128
    upsamples: bool = False

    @nn.compact
    def __call__(self, x, y, train=False, grain=None):
        """x and conditioning y as for SPADE -> (B, h, w, features). `grain`, (2, B, h, w), is added after the two convolutions."""
        middle = min(x.shape[-1], self.features)
        if x.shape[-1] != self.features:
            shortcut = Conv(self.features, 1, use_bias=False, spectral_norm=True, name="conv_s")
            matrix = shortcut.weights(x.shape[-1], wide(x.dtype), train=train)[0][0, 0]
            shortcut = self._modulation("spade_s", self.upsamples)(x, y, train=train, after=matrix)
        else:
            shortcut = upsample(x) if self.upsamples else x
        x = leaky_relu(self._modulation("spade_0", self.upsamples)(x, y, train=train))
        x = Conv(middle, spectral_norm=True, name="conv_0")(x, train=train)
        if grain is not None:
            x = Grain(name="grain_0")(x, grain[0])
        x = leaky_relu(self._modulation("spade_1")(x, y, train=train))
        x = shortcut + Conv(self.features, spectral_norm=True, name="conv_1")(x, train=train)
        return x if grain is None else Grain(name="grain_1")(x, grain[1])

    def _modulation(self, name, upsamples=False):
        return SPADE(self.hidden, upsamples, name=name) if self.hidden else ClassAffine(upsamples, name=name)


def rematerialised(block):
    """The block with its activations recomputed in the backward pass. `train` is its third argument."""
    return nn.remat(block, static_argnums=(3,), policy=jax.checkpoint_policies.nothing_saveable)
