"""Layers as defined by PyTorch, for inference.

Submodule names are the parts of PyTorch's state_dict names, so that `weights.to_variables` finds every leaf. All variables are in the
collection "params". Matrix products run at the highest precision, so that scores do not depend on the kind of device.
"""
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

HIGHEST = lax.Precision.HIGHEST
_NHWC = ("NHWC", "HWIO", "NHWC")


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


class Conv(nn.Module):
    """`torch.nn.Conv2d`; kernel_size, stride, padding (on either side) and dilation are an int or (height, width)."""

    features: int
    kernel_size: int | tuple
    stride: int | tuple = 1
    padding: int | tuple = 0
    dilation: int | tuple = 1
    groups: int = 1
    use_bias: bool = True

    @nn.compact
    def __call__(self, x):
        """(B, H, W, C) -> (B, H', W', features)."""
        shape = (*_pair(self.kernel_size), x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        stride, padding, dilation = _pair(self.stride), _pair(self.padding), _pair(self.dilation)
        # On CPU, XLA takes two to three times as long without padding, so pad by one pixel and crop the result.
        sides = [(0, 1) if k > 1 and p == 0 else (p, p) for k, p in zip(shape, padding, strict=False)]
        height, width = ((x.shape[i + 1] + 2 * padding[i] - dilation[i] * (shape[i] - 1) - 1) // stride[i] + 1 for i in (0, 1))
        x = lax.conv_general_dilated(
            x,
            kernel,
            stride,
            sides,
            rhs_dilation=dilation,
            dimension_numbers=_NHWC,
            feature_group_count=self.groups,
            precision=HIGHEST,
        )[:, :height, :width]
        return x + self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else x


class ConvTranspose(nn.Module):
    """`torch.nn.ConvTranspose2d` without groups; `transposed_kernel` is (kh, kw, in, out), not flipped."""

    features: int
    kernel_size: int | tuple
    stride: int | tuple
    padding: int | tuple = 0
    use_bias: bool = True

    @nn.compact
    def __call__(self, x):
        """(B, H, W, C) -> (B, (H - 1) stride - 2 padding + kernel_size, ..., features)."""
        size = _pair(self.kernel_size)
        kernel = self.param("transposed_kernel", nn.initializers.lecun_normal(), (*size, x.shape[-1], self.features))
        x = lax.conv_general_dilated(
            x,
            kernel[::-1, ::-1],
            (1, 1),
            [(k - 1 - p, k - 1 - p) for k, p in zip(size, _pair(self.padding), strict=True)],
            lhs_dilation=_pair(self.stride),
            dimension_numbers=_NHWC,
            precision=HIGHEST,
        )
        return x + self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else x


class BatchNorm(nn.Module):
    """`torch.nn.BatchNorm2d` with its running statistics."""

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x):
        """(..., C) -> (..., C)."""
        shape, ones, zeros = x.shape[-1:], nn.initializers.ones, nn.initializers.zeros
        mean, var = self.param("mean", zeros, shape), self.param("var", ones, shape)
        scale = self.param("scale", ones, shape) * lax.rsqrt(var + self.epsilon)
        return x * scale + (self.param("bias", zeros, shape) - mean * scale)


class Linear(nn.Module):
    """`torch.nn.Linear`."""

    features: int
    use_bias: bool = True

    @nn.compact
    def __call__(self, x):
        """(..., C) -> (..., features)."""
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], self.features))
        x = jnp.matmul(x, kernel, precision=HIGHEST)
        return x + self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else x


class PReLU(nn.Module):
    """`torch.nn.PReLU` with one slope per channel."""

    @nn.compact
    def __call__(self, x):
        """(..., C) -> (..., C)."""
        return jnp.where(x > 0, x, x * self.param("slope", nn.initializers.constant(0.25), (x.shape[-1],)))


def max_pool(x, window, stride, padding=0, ceil_mode=False):
    """`torch.nn.functional.max_pool2d` of (B, H, W, C); with `ceil_mode` the last window may extend beyond the edge."""
    window, stride, padding = _pair(window), _pair(stride), _pair(padding)
    sides = [(0, 0), *((p, p) for p in padding), (0, 0)]
    if ceil_mode:
        for axis in (0, 1):
            length, k, s, p = x.shape[axis + 1], window[axis], stride[axis], padding[axis]
            starts = -(-(length + 2 * p - k) // s) + 1
            starts -= (starts - 1) * s >= length + p  # PyTorch drops a window that would start beyond the input
            sides[axis + 1] = (p, max(p, (starts - 1) * s + k - length - p))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, *window, 1), (1, *stride, 1), sides)


def avg_pool(x, window, stride, padding=0, count_include_pad=True):
    """`torch.nn.functional.avg_pool2d` of (B, H, W, C)."""
    window, stride, padding = _pair(window), _pair(stride), _pair(padding)
    for axis in (0, 1):
        length, k, s, p = x.shape[axis + 1], window[axis], stride[axis], padding[axis]
        shape, strides, sides = [1] * 4, [1] * 4, [(0, 0)] * 4
        shape[axis + 1], strides[axis + 1], sides[axis + 1] = k, s, (p, p)
        x = lax.reduce_window(x, 0.0, lax.add, shape, strides, sides)
        start = np.arange(x.shape[axis + 1]) * s - p
        inside = np.minimum(start + k, length) - np.maximum(start, 0)
        count = np.float32(k) if count_include_pad else np.expand_dims(inside.astype(np.float32), (0, 2, 3) if axis == 0 else (0, 1, 3))
        x = x / count
    return x


def adaptive_avg_pool(x, bins):
    """`torch.nn.functional.adaptive_avg_pool2d` of (B, H, W, C) to (B, bins, bins, C).

    Bin i of n averages the pixels from floor(i L / n) to ceil((i + 1) L / n) of a side L.
    """
    rows, columns = (_bin_means(length, bins) for length in x.shape[1:3])
    return jnp.einsum("ih,bhwc,jw->bijc", rows, x, columns, precision=HIGHEST)


def _bin_means(length, bins):
    matrix = np.zeros((bins, length), np.float32)
    for i in range(bins):
        start, end = i * length // bins, -(-(i + 1) * length // bins)
        matrix[i, start:end] = 1 / (end - start)
    return matrix


def resize_bilinear(x, size, scale=None):
    """`torch.nn.functional.interpolate(mode="bilinear", align_corners=False)` of (B, H, W, C): no antialiasing, even when shrinking.

    Args:
        x: float (B, H, W, C).
        size: (height, width) of the result.
        scale: (vertical, horizontal) factors given to PyTorch as `scale_factor`, which then steps by exactly 1 / scale instead of input
            size / result size.
    """
    for axis in (1, 2):
        step = x.shape[axis] / size[axis - 1] if scale is None else 1 / scale[axis - 1]
        x = _sample(x, axis, np.maximum((np.arange(size[axis - 1]) + 0.5) * step - 0.5, 0))
    return x


def resize_bilinear_tf1(x, size):
    """TensorFlow 1's bilinear resize of (B, H, W, C), from pixel corners: result pixel i samples position i * input size / result size."""
    for axis in (1, 2):
        x = _sample(x, axis, np.arange(size[axis - 1]) * (x.shape[axis] / size[axis - 1]))
    return x


def _sample(x, axis, position):
    """Linear interpolation along an axis at fractional positions >= 0, clamped to the last pixel."""
    low = np.minimum(np.floor(position).astype(np.int32), x.shape[axis] - 1)
    high = np.minimum(low + 1, x.shape[axis] - 1)
    share = np.expand_dims((position - low).astype(np.float32), tuple(a for a in range(x.ndim) if a != axis))
    return jnp.take(x, low, axis) * (1 - share) + jnp.take(x, high, axis) * share
