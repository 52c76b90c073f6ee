"""Convolution, spectral normalisation, batch statistics and resampling: what generator and discriminator are made of.

Arrays are NHWC. Parameters are float32 (or float64 in checks); statistics are kept at the precision of the parameters, activations have the
dtype of the input, which the networks set to their compute dtype.
"""
import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

# Xavier normal with gain 0.02 (OASIS section 6).
kernel_init = nn.initializers.variance_scaling(0.02**2, "fan_avg", "normal")


def _convolve(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


@jax.custom_vjp
def conv2d(x, kernel):
    """Zero-padded "same" convolution with stride 1 and a weight gradient that is fast on every platform.

    Args:
      x: (B, H, W, C), floating point.
      kernel: (k, k, C, D) of the same dtype, k odd.

    Returns:
      (B, H, W, D).
    """
    return _convolve(x, kernel)


def _conv2d_forward(x, kernel):
    return _convolve(x, kernel), (x, kernel)


def _conv2d_backward(residuals, gradient):
    x, kernel = residuals
    input_gradient = jax.vjp(lambda x: _convolve(x, kernel), x)[1](gradient)[0]
    kernel_gradient = lax.platform_dependent(
        x,
        gradient,
        cpu=lambda x, gradient: _kernel_gradient_by_shifts(x, gradient, kernel.shape[0]),
        default=lambda x, gradient: jax.vjp(lambda kernel: _convolve(x, kernel), kernel)[1](gradient)[0],
    )
    return input_gradient, kernel_gradient


conv2d.defvjp(_conv2d_forward, _conv2d_backward)


def _kernel_gradient_by_shifts(x, gradient, k):
    """The weight gradient as one matrix product per tap: XLA's own, a convolution with an image-sized window, is two to four times slower on CPU."""
    _, height, width, channels = x.shape
    gradient = gradient.reshape(-1, gradient.shape[-1])
    x = jnp.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2), (0, 0)))
    taps = [x[:, i : i + height, j : j + width].reshape(-1, channels).T @ gradient for i in range(k) for j in range(k)]
    return jnp.stack(taps).reshape(k, k, channels, -1)


class Conv(nn.Module):
    """Stride-1 convolution, optionally spectrally normalised (OASIS section 4).

    With `spectral_norm`, the collection "spectral_norm" holds the singular vectors u (D,) and v (k*k*C,), v in the order of the kernel's axes.
    Each application with train=True does one power iteration first; with train=False the stored vectors are used as they are. The
    gradient flows through sigma = v^T W u with u and v held constant.
    """

    features: int
    kernel_size: int = 3
    use_bias: bool = True
    spectral_norm: bool = False

    @nn.compact
    def __call__(self, x, *, train=False):
        """(B, H, W, C) -> (B, H, W, features) in the dtype of x."""
        kernel = self.param("kernel", kernel_init, (self.kernel_size, self.kernel_size, x.shape[-1], self.features))
        if self.spectral_norm:
            kernel = kernel / self._sigma(kernel.reshape(-1, self.features), train)
        x = conv2d(x, kernel.astype(x.dtype))
        if self.use_bias:
            x = x + self.param("bias", nn.initializers.zeros, (self.features,)).astype(x.dtype)
        return x

    def _sigma(self, matrix, train):
        fixed = lax.stop_gradient(matrix)
        u = self.variable("spectral_norm", "u", lambda: _unit(jax.random.normal(self.make_rng("params"), fixed.shape[1:], fixed.dtype)))
        v = self.variable("spectral_norm", "v", lambda: _unit(fixed @ u.value))
        if train and not self.is_initializing():
            v.value = _unit(fixed @ u.value)
            u.value = _unit(v.value @ fixed)
        return v.value @ matrix @ u.value


def _unit(vector):
    return vector / jnp.maximum(jnp.linalg.norm(vector), 1e-12)


class BatchNorm(nn.Module):
    """Batch normalisation without affine parameters (OASIS section 2): batch statistics over the global batch, whatever its sharding.

    Normalises with the biased variance; the running estimate takes the unbiased one, as the published system does. The collection
    "batch_stats" holds mean and var, both (C,).
    """

    momentum: float = 0.1
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x, *, train=False):
        """(B, H, W, C) -> the same shape and dtype."""
        statistics_dtype = jnp.promote_types(x.dtype, jnp.float32)
        mean = self.variable("batch_stats", "mean", jnp.zeros, x.shape[-1:], statistics_dtype)
        var = self.variable("batch_stats", "var", jnp.ones, x.shape[-1:], statistics_dtype)
        used_mean, used_var = mean.value, var.value
        if train:
            count = x.size // x.shape[-1]
            wide = x.astype(statistics_dtype)
            used_mean, used_var = jnp.mean(wide, (0, 1, 2)), jnp.var(wide, (0, 1, 2))
            if not self.is_initializing():
                mean.value += self.momentum * (used_mean - mean.value)
                var.value += self.momentum * (used_var * (count / max(count - 1, 1)) - var.value)
        scale = lax.rsqrt(used_var + self.epsilon)
        return ((x - used_mean) * scale).astype(x.dtype)


def leaky_relu(x):
    """Leaky ReLU with the slope 0.2 that both networks use."""
    return nn.leaky_relu(x, 0.2)


def upsample(x):
    """Nearest-neighbour upsampling by two: (B, H, W, C) -> (B, 2H, 2W, C)."""
    return x.repeat(2, axis=1).repeat(2, axis=2)


def downsample(x):
    """2x2 average pooling: (B, H, W, C) -> (B, H/2, W/2, C)."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))
