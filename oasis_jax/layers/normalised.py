"""Layers that normalise: spectrally normalised convolution, and batch normalisation.

Parameters are float32 (float64 in tests), statistics have the same precision, and activations have the dtype of the input.
"""
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from oasis_jax.layers.convolution import by_rows, conv2d, stored
from oasis_jax.layers.dtype import wide
from oasis_jax.layers.initial import kernel_init
from oasis_jax.layers.resampling import upsample


class Conv(nn.Module):
    """Stride-1 convolution, optionally spectrally normalised (Miyato et al., 2018).

    With `spectral_norm`, the collection "spectral_norm" holds the singular vectors u (D,) and v (k*k*C,), v in the order of the kernel's
    axes. Each call with train=True does one power iteration first; train=False uses the stored vectors unchanged. The gradient is
    backpropagated through sigma = v^T W u with u and v held constant.
    """

    features: int
    kernel_size: int = 3
    use_bias: bool = True
    spectral_norm: bool = False
    convolve: Callable = conv2d

    def __call__(self, x, *, train=False, after=None):
        """(B, H, W, C) -> (B, H, W, features) in the dtype of x; H and W change if `convolve` resamples.

        With `after`, a matrix (features, D) in float32 or wider, each pixel is multiplied by it. The kernel is composed with the matrix, so
        that this costs no additional operation.
        """
        kernel, bias = self.weights(x.shape[-1], x.dtype if after is None else after.dtype, train=train)
        if after is not None:
            kernel, bias = (None if w is None else jnp.matmul(w, after, precision="highest").astype(x.dtype) for w in (kernel, bias))
        x = by_rows(self.convolve, x, kernel)
        return x if bias is None else x + bias

    @nn.compact
    def weights(self, channels, dtype, *, train=False):
        """Kernel (k, k, channels, features), normalised if `spectral_norm`, and bias (features,) or None, both cast to `dtype`."""
        kernel = self.param("kernel", kernel_init, (self.kernel_size, self.kernel_size, channels, self.features))
        if self.spectral_norm:
            kernel = _normalise(kernel, *self._inverse_sigma(kernel.reshape(-1, self.features), train))
        bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(dtype) if self.use_bias else None
        return kernel.astype(dtype), bias

    def _inverse_sigma(self, matrix, train):
        """(1 / sigma, u, v) of the kernel as a matrix (k*k*C, D)."""
        u = self.variable("spectral_norm", "u", _dominant_direction, lax.stop_gradient(matrix))
        v = self.variable("spectral_norm", "v", lambda: _unit(matrix @ u.value))
        if not train or self.is_initializing():
            return 1 / (v.value @ matrix @ u.value), u.value, v.value
        # XLA calls a library for matrix-matrix products but compiles separate code for each matrix-vector product, and a training step has
        # a hundred power iterations. So u is repeated as two equal columns. Norms are products, too: |W u|^2 = u^T (W^T W u).
        columns = jnp.broadcast_to(u.value[:, None], (self.features, 2))
        with jax.default_matmul_precision("highest"):
            images = matrix @ columns
            back = images.T @ matrix
            square, back_square = (back @ columns)[0, 0], (back @ back.T)[0, 0]
        inverse_v, inverse_u = (lax.rsqrt(jnp.maximum(s, 1e-24)) for s in (square, back_square))
        v.value, u.value = images[:, 0] * inverse_v, back[0] * inverse_u
        return square * inverse_v * inverse_u, u.value, v.value


@jax.custom_vjp
def _normalise(kernel, inverse_sigma, u, v):
    """kernel / sigma, differentiated as if sigma were v^T W u with constant u and v."""
    return kernel * inverse_sigma


def _normalise_forward(kernel, inverse_sigma, u, v):
    return kernel * inverse_sigma, (kernel, inverse_sigma, u, v)


def _normalise_backward(residuals, gradient):
    kernel, inverse_sigma, u, v = residuals
    share = inverse_sigma * jnp.sum(gradient * kernel)
    return inverse_sigma * (gradient - share * (v[:, None] * u).reshape(kernel.shape)), None, None, None


_normalise.defvjp(_normalise_forward, _normalise_backward)


def _dominant_direction(matrix, iterations=20):
    """Dominant right singular vector u (D,) of a new kernel, close to convergence.

    With poor vectors in every layer, the activations of a deep network would explode at the start of training.
    """
    u = jnp.ones(matrix.shape[1], matrix.dtype)
    return lax.fori_loop(0, iterations, lambda _, u: _unit(matrix @ u @ matrix), u)


def _unit(vector):
    return vector / jnp.maximum(jnp.linalg.norm(vector), 1e-12)


class BatchNorm(nn.Module):
    """Batch normalisation without affine parameters, over the global batch whatever its sharding.

    Normalises with the biased variance and updates the running variance with the unbiased one, as the published system does. The collection
    "batch_stats" holds mean and var, both (C,).
    """

    momentum: float = 0.1
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x, *, train=False, repeats=1):
        """(B, H, W, C), where each pixel stands for `repeats` equal pixels -> the same shape and dtype."""
        statistics_dtype = wide(x.dtype)
        mean = self.variable("batch_stats", "mean", jnp.zeros, x.shape[-1:], statistics_dtype)
        var = self.variable("batch_stats", "var", jnp.ones, x.shape[-1:], statistics_dtype)
        used_mean, used_var = mean.value, var.value
        if train:
            x, count = stored(x), repeats * x.size // x.shape[-1]
            values = x.astype(statistics_dtype)
            used_mean = jnp.mean(values, (0, 1, 2))
            # The gradient of the variance with respect to the mean is zero, so it is not computed.
            used_var = jnp.mean(jnp.square(values - lax.stop_gradient(used_mean)), (0, 1, 2))
            if not self.is_initializing():
                mean.value += self.momentum * (used_mean - mean.value)
                var.value += self.momentum * (used_var * (count / max(count - 1, 1)) - var.value)
        scale = lax.rsqrt(used_var + self.epsilon)
        return ((x - used_mean) * scale).astype(x.dtype)


def batch_normalised(x, *, train=False, upsamples=False):
    """Applies a BatchNorm, called "norm" in the module that calls this, to x, and then upsamples x by two if `upsamples`.

    The statistics are those of the upsampled x, but are computed from a quarter as many pixels.
    """
    normalised = BatchNorm(name="norm")(x, train=train, repeats=4 if upsamples else 1)
    return upsample(normalised) if upsamples else normalised
