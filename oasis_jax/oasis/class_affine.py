"""Modulation without convolutions: a pixel's scale and shift are affine functions of its noise and label."""
import jax.numpy as jnp
from flax import linen as nn

from oasis_jax.layers.convolution import by_rows, conv2d
from oasis_jax.layers.normalised import Conv, batch_normalised


class ClassAffine(nn.Module):
    """Batch normalisation with a scale and a shift per class (CLADE, Tan et al., 2021), plus a term that is linear in the noise.

    gamma, beta = W [z, onehot(class)] + b; out = BN(x) * (1 + gamma) + beta. With `upsamples`, x is upsampled by two first.
    """

    upsamples: bool = False

    @nn.compact
    def __call__(self, x, y, *, train=False, after=None):
        """Arguments and result as for `SPADE`; y must be Dense."""
        kernel, bias = Conv(2 * x.shape[-1], 1, name="gamma_beta").weights(y.channels, x.dtype)
        if y.noise is not None:
            z_dim = y.noise.shape[-1]
            bias = bias + (y.noise @ kernel[0, 0, :z_dim])[:, None, None]
            kernel = kernel[:, :, z_dim:]
        gamma, beta = jnp.split(y.vectors @ kernel[0, 0] + bias, 2, axis=-1)
        modulated = batch_normalised(x, train=train, upsamples=self.upsamples) * (1 + gamma) + beta
        return modulated if after is None else by_rows(conv2d, modulated, after.astype(x.dtype)[None, None])
