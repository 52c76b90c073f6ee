"""The mapping network of StyleGAN2: latents z to styles w, and the running mean of w for the truncation trick."""
import math

import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from oasis_jax.layers.convolution import leaky_relu
from oasis_jax.layers.initial import standard_normal

AVERAGES = "averages"  # collection of running means: state, but not trained
W_AVG_DECAY = 0.995


class EqualizedDense(nn.Module):
    """Linear layer with equalised learning rate.

    Attributes:
        features: D.
        lr_mult: multiplier of the layer's learning rate; stored weights are larger by its inverse.
        bias_init: initial value of the effective bias, which is the stored one times lr_mult.
    """

    features: int
    lr_mult: float = 1.0
    bias_init: float = 0.0

    @nn.compact
    def __call__(self, x):
        """(..., C) -> (..., features) in the dtype of x."""

        def weight_init(key, shape, dtype=float):
            return standard_normal(key, shape, dtype) / self.lr_mult

        weight = self.param("weight", weight_init, (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.constant(self.bias_init / self.lr_mult), (self.features,))
        scale = self.lr_mult / math.sqrt(x.shape[-1])
        return jnp.matmul(x, (weight * scale).astype(x.dtype), precision=lax.Precision.HIGHEST) + (bias * self.lr_mult).astype(x.dtype)


class Mapping(nn.Module):
    """Normalises z to unit mean square, then applies `num_layers` linear layers with leaky ReLU.

    Attributes:
        w_dim: length of w, and width of all layers.
        num_layers: number of layers.
        lr_mult: learning rate of the layers, in multiples of the run's learning rate.
    """

    w_dim: int = 512
    num_layers: int = 8
    lr_mult: float = 0.01

    def setup(self):
        self.layers = [EqualizedDense(self.w_dim, self.lr_mult, name=f"fc{i}") for i in range(self.num_layers)]
        self.w_avg = self.variable(AVERAGES, "w_avg", jnp.zeros, (self.w_dim,))

    def __call__(self, z, train=False):
        """Maps latents.

        Args:
            z: (B, z_dim), standard normal.
            train: update the running mean of w (collection AVERAGES).

        Returns:
            w (B, w_dim).
        """
        x = z * lax.rsqrt(jnp.mean(jnp.square(z), axis=-1, keepdims=True) + 1e-8)
        for layer in self.layers:
            x = math.sqrt(2) * leaky_relu(layer(x))
        if train and not self.is_initializing():
            before = self.w_avg.value
            self.w_avg.value = W_AVG_DECAY * before + (1 - W_AVG_DECAY) * lax.stop_gradient(jnp.mean(x, axis=0)).astype(before.dtype)
        return x

    def truncate(self, ws, psi):
        """Truncation trick: w_avg + psi (w - w_avg), for styles ws (..., w_dim) and psi (...) in 0..1."""
        return self.w_avg.value + psi[..., None] * (ws - self.w_avg.value)
