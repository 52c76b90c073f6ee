"""Spatially adaptive normalisation (SPADE) and the residual block of the generator (OASIS section 2)."""
import jax
from flax import linen as nn

from oasis_jax.layers.convolution import leaky_relu
from oasis_jax.layers.normalised import BatchNorm, Conv
from oasis_jax.layers.resampling import upsample
from oasis_jax.oasis.regions import Regions, modulate, modulate_dense


class SPADE(nn.Module):
    """Batch normalisation with scale and shift computed from the conditioning of each pixel.

    h = relu(conv3x3(y)); gamma, beta = conv3x3(h); out = BN(x) * (1 + gamma) + beta. One convolution computes gamma and beta as the two
    halves of its output, gamma first. With `upsamples`, x is upsampled by two first.
    """

    hidden: int = 128
    upsamples: bool = False

    @nn.compact
    def __call__(self, x, y, *, train=False):
        """x (B, h, w, C), or half as high and wide if `upsamples`, and conditioning y, Dense or Regions -> (B, h, w, C)."""
        normalised = BatchNorm(name="norm")(x, train=train, repeats=4 if self.upsamples else 1)
        if self.upsamples:  # after normalisation, whose statistics are those of fewer pixels
            normalised = upsample(normalised)
        by_regions = isinstance(y, Regions)
        shared = Conv(self.hidden, name="shared").weights(y.channels, x.dtype)
        gamma_beta = Conv(2 * x.shape[-1], name="gamma_beta").weights(self.hidden, x.dtype)
        return (modulate if by_regions else modulate_dense)(normalised, y, shared, gamma_beta)


class SPADEResidualBlock(nn.Module):
    """Two stages of SPADE, activation and convolution, with a learned 1x1 shortcut where the number of channels changes.

    With `upsamples`, x is upsampled by two first.
    """

    features: int
    hidden: int = 128
    upsamples: bool = False

    @nn.compact
    def __call__(self, x, y, train=False):
        """x and conditioning y as for SPADE -> (B, h, w, features)."""
        middle = min(x.shape[-1], self.features)
        if x.shape[-1] != self.features:
            shortcut = SPADE(self.hidden, self.upsamples, name="spade_s")(x, y, train=train)
            shortcut = Conv(self.features, 1, use_bias=False, spectral_norm=True, name="conv_s")(shortcut, train=train)
        else:
            shortcut = upsample(x) if self.upsamples else x
        x = leaky_relu(SPADE(self.hidden, self.upsamples, name="spade_0")(x, y, train=train))
        x = Conv(middle, spectral_norm=True, name="conv_0")(x, train=train)
        x = leaky_relu(SPADE(self.hidden, name="spade_1")(x, y, train=train))
        return shortcut + Conv(self.features, spectral_norm=True, name="conv_1")(x, train=train)


def rematerialised(block):
    """The block with its activations recomputed in the backward pass. `train` is its last positional argument."""
    return nn.remat(block, static_argnums=(3,), policy=jax.checkpoint_policies.nothing_saveable)
