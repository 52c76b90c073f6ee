"""Resampling by two with the smoothing filter [1, 3, 3, 1] of StyleGAN2, alone and together with a 3x3 convolution.

On accelerators the filter is a depthwise convolution. On CPU it is a sum of four shifted copies along each axis, which XLA fuses: there a
depthwise convolution is ten times slower. On a TPU, the sum would move up to 1.8 times as many bytes.

A strided and a transposed 3x3 convolution are the gradients of each other, to any order. With few channels, filter and convolution are
fused into one 3x3 convolution between coarse pixels and blocks of 2x2 fine pixels: four times the arithmetic, but no large intermediates.
"""
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from oasis_jax.layers.convolution import by_platform, conv2d, differentiate_by_each_other

FILTER = (1 / 8, 3 / 8, 3 / 8, 1 / 8)  # along one axis
_AXES = ("NHWC", "HWIO", "NHWC")
FEW = 96  # sum of input and output channels up to which the fused kernel is cheaper on fine levels, on CPU and TPU
FINE = 32  # shorter side, in coarse pixels, from which the fused kernel is cheaper


def smooth(x, padding, gain=1.0):
    """Filters rows and columns, with the same (before, after) zero padding along both: (B, H, W, C) -> (B, H', W', C)."""
    by_shifts, by_convolution = (functools.partial(function, padding=padding, gain=gain) for function in (_smooth_by_shifts, _depthwise))
    return by_platform(by_shifts, by_convolution)(x)


def upsample(x):
    """(B, H, W, C) -> (B, 2H, 2W, C): zeros are inserted after each pixel, and the result is filtered."""
    return by_platform(_upsample_by_shifts, functools.partial(_depthwise, padding=(2, 2), gain=4.0, dilation=2))(x)


def downsample(x):
    """(B, H, W, C) -> (B, H/2, W/2, C): filters, then keeps every second row and column."""
    return by_platform(_downsample_by_shifts, functools.partial(_depthwise, padding=(1, 1), stride=2))(x)


def _depthwise(x, padding, gain=1.0, stride=1, dilation=1):
    kernel = jnp.asarray(gain * np.outer(FILTER, FILTER), x.dtype)
    kernel = jnp.broadcast_to(kernel[..., None, None], (*kernel.shape, 1, x.shape[-1]))
    return lax.conv_general_dilated(
        x, kernel, (stride,) * 2, [padding] * 2, (dilation,) * 2, dimension_numbers=_AXES, feature_group_count=x.shape[-1]
    )


def _smooth_by_shifts(x, padding, gain):
    outer, inner = (gain**0.5 * weight for weight in FILTER[:2])
    for axis in (1, 2):
        padded = jnp.pad(x, [padding if a == axis else (0, 0) for a in range(4)])
        size = padded.shape[axis] - len(FILTER) + 1
        taps = [lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(len(FILTER))]
        x = outer * (taps[0] + taps[3]) + inner * (taps[1] + taps[2])
    return x


def _upsample_by_shifts(x):
    near, far = 2 * FILTER[1], 2 * FILTER[0]
    for axis in (1, 2):
        size = x.shape[axis]
        padded = jnp.pad(x, [(1, 1) if a == axis else (0, 0) for a in range(4)])
        before, after = (lax.slice_in_dim(padded, i, i + size, axis=axis) for i in (0, 2))
        x = _interleave(near * x + far * before, near * x + far * after, axis)
    return x


def _downsample_by_shifts(x):
    for axis in (1, 2):
        padded = jnp.pad(x, [(1, 1) if a == axis else (0, 0) for a in range(4)])
        size = x.shape[axis]
        taps = [lax.slice_in_dim(padded, i, i + size - 1, 2, axis) for i in range(len(FILTER))]
        x = FILTER[0] * (taps[0] + taps[3]) + FILTER[1] * (taps[1] + taps[2])
    return x


def conv2d_up(x, kernel):
    """Transposed 3x3 convolution with stride 2, then the filter: (B, H, W, C) and (3, 3, C, D) -> (B, 2H, 2W, D).

    The kernel is applied as a true convolution, as in StyleGAN2: out[2i + k] += x[i] kernel[k].
    """
    return _fused_up(x, kernel) if _is_fused(kernel, x.shape[1:3]) else separate_conv2d_up(x, kernel)


def conv2d_down(x, kernel):
    """The filter, then a 3x3 convolution with stride 2: (B, H, W, C) and (3, 3, C, D) -> (B, H/2, W/2, D)."""
    coarse = x.shape[1] // 2, x.shape[2] // 2
    return _fused_down(x, kernel) if _is_fused(kernel, coarse, 2) else separate_conv2d_down(x, kernel)


def separate_conv2d_up(x, kernel):
    """`conv2d_up` as two operations."""
    return smooth(transposed_conv2d(x, kernel.swapaxes(2, 3)), (1, 1), gain=4)


def separate_conv2d_down(x, kernel):
    """`conv2d_down` as two operations."""
    return strided_conv2d(smooth(x, (2, 2)), kernel)


def _is_fused(kernel, coarse_size, factor=1):
    return sum(kernel.shape[2:]) <= FEW and min(coarse_size) >= factor * FINE


def _fused_up(x, kernel):
    b, h, w, _ = x.shape
    # Fine pixel 2m + r uses the taps 4 + r, 2 + r and r for the coarse pixels m - 1, m and m + 1.
    taps = _filtered(kernel, gain=4).reshape(3, 2, 3, 2, *kernel.shape[2:])[::-1, :, ::-1].transpose(0, 2, 4, 1, 3, 5)
    phases = conv2d(x, taps.reshape(3, 3, kernel.shape[2], -1)).reshape(b, h, w, 2, 2, -1)
    return phases.transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, -1)


def _fused_down(x, kernel):
    b, h, w, c = x.shape
    taps = _filtered(kernel).reshape(3, 2, 3, 2, *kernel.shape[2:]).transpose(0, 2, 1, 3, 4, 5).reshape(3, 3, 4 * c, -1)
    blocks = x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(b, h // 2, w // 2, 4 * c)
    return conv2d(blocks, taps)


def _filtered(kernel, gain=1.0):
    """The convolution of a kernel (3, 3, C, D) with the filter: (6, 6, C, D)."""
    for axis in (0, 1):
        shifted = (jnp.pad(kernel, [(i, 3 - i) if a == axis else (0, 0) for a in range(4)]) for i in range(4))
        kernel = sum(gain**0.5 * weight * part for weight, part in zip(FILTER, shifted, strict=True))
    return kernel


@jax.custom_vjp
def strided_conv2d(x, kernel):
    """3x3 convolution with stride 2 and without padding: (B, 2H + 1, 2W + 1, C) and (3, 3, C, D) -> (B, H, W, D)."""
    return lax.conv_general_dilated(x, kernel, (2, 2), "VALID", dimension_numbers=_AXES)


@jax.custom_vjp
def transposed_conv2d(x, kernel):
    """Transpose of `strided_conv2d` with the same kernel (3, 3, C, D): (B, H, W, D) -> (B, 2H + 1, 2W + 1, C)."""
    return _transposed(x, kernel)


def transposed_by_products(x, kernel):
    """`transposed_conv2d` as one matrix product for all taps, which are then shifted and summed: the fastest on CPU."""
    taps = lax.dot_general(x, kernel, (((3,), (3,)), ((), ())))  # (B, H, W, 3, 3, C)
    return _overlap(_overlap(taps, 1, 3), 2, 3)


def _overlap(taps, axis, of_kernel):
    """Sums the contributions of taps 0 and 2 to the same pixel along an axis, and removes the kernel's axis."""
    first, middle, last = (lax.index_in_dim(taps, k, of_kernel, keepdims=False) for k in range(3))
    even, odd = _pad(first, axis, 0, 1) + _pad(last, axis, 1, 0), _pad(middle, axis, 0, 1)
    both = _interleave(even, odd, axis)
    return lax.slice_in_dim(both, 0, both.shape[axis] - 1, axis=axis)


def transposed_by_dilation(x, kernel):
    """`transposed_conv2d` as one convolution of the input with zeros between its pixels."""
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    return lax.conv_general_dilated(x, flipped, (1, 1), [(2, 2)] * 2, lhs_dilation=(2, 2), dimension_numbers=_AXES)


_transposed = by_platform(transposed_by_products, transposed_by_dilation)


def _kernel_gradient(fine, coarse):
    """Gradient (3, 3, C, D) of sum(strided_conv2d(fine, kernel) * coarse)."""
    kernel = jnp.zeros((3, 3, fine.shape[-1], coarse.shape[-1]), fine.dtype)
    return jax.vjp(lambda kernel: strided_conv2d.fun(fine, kernel), kernel)[1](coarse)[0]


differentiate_by_each_other(strided_conv2d, transposed_conv2d, _kernel_gradient)


def _interleave(even, odd, axis):
    shape = list(even.shape)
    shape[axis] *= 2
    return jnp.stack([even, odd], axis + 1).reshape(shape)


def _pad(x, axis, before, after):
    return jnp.pad(x, [(before, after) if a == axis else (0, 0) for a in range(x.ndim)])
