"""Resampling by two, alone and fused with a 3x3 convolution at 4/9 of the cost of two separate operations.

A 3x3 convolution followed by 2x2 average pooling equals one 4x4 convolution with stride 2, whose kernel is the mean of the four shifted 3x3
kernels. A convolution of an upsampled image is the transpose of such a strided convolution. Each is the gradient of the other.
"""
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from oasis_jax.layers.convolution import Rows, by_platform, conv2d, differentiate_by_each_other, sum_over_pixels, sum_over_strips
from oasis_jax.layers.dtype import wide

AXES = ("NHWC", "HWIO", "NHWC")
FEW = 256  # image size in pixels up to which the larger kernel costs more than it saves


@jax.custom_vjp
def upsample(x):
    """Nearest-neighbour upsampling by two: (B, H, W, C) -> (B, 2H, 2W, C)."""
    b, h, w, c = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c)).reshape(b, 2 * h, 2 * w, c)


@jax.custom_vjp
def downsample(x):
    """2x2 average pooling: (B, H, W, C) -> (B, H/2, W/2, C)."""
    return _pool(x)


def pool_by_reshaping(x):
    """`downsample` in the form that is fastest on CPU."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def pool_by_windows(x):
    """`downsample` without axes of length two, which a TPU would pad."""
    dtype, window = wide(x.dtype), (1, 2, 2, 1)
    sums = lax.reduce_window(x.astype(dtype), np.zeros((), dtype), lax.add, window, window, "VALID")
    return (sums / 4).astype(x.dtype)


_pool = by_platform(pool_by_reshaping, pool_by_windows)

# Each is the transpose of the other, up to a factor of four.
upsample.defvjp(lambda x: (upsample(x), None), lambda _, gradient: (4 * downsample(gradient),))
downsample.defvjp(lambda x: (downsample(x), None), lambda _, gradient: (upsample(gradient / 4),))


def conv1x1_of_downsampled(x, kernel):
    """conv2d(downsample(x), kernel): (B, H, W, C) and (1, 1, C, D) -> (B, H/2, W/2, D)."""
    return by_platform(lambda x, kernel: conv2d(downsample(x), kernel), strided_conv1x1)(x, kernel)


def strided_conv1x1(x, kernel):
    """`conv1x1_of_downsampled` as one 2x2 convolution with stride 2."""
    square = jnp.broadcast_to(kernel / 4, (2, 2, *kernel.shape[2:]))
    return lax.conv_general_dilated(x, square, (2, 2), "VALID", dimension_numbers=AXES)


def downsampled_conv2d(x, kernel):
    """downsample(conv2d(x, kernel)): (B, H, W, C) and (3, 3, C, D) -> (B, H/2, W/2, D)."""
    if x.shape[1] * x.shape[2] <= FEW:
        return downsample(conv2d(x, kernel))
    return strided_conv2d(x, _smear(kernel) / 4)


def conv2d_of_upsampled(x, kernel):
    """conv2d(upsample(x), kernel): (B, H, W, C) and (3, 3, C, D) -> (B, 2H, 2W, D)."""
    if x.shape[1] * x.shape[2] <= FEW:
        return conv2d(upsample(x), kernel)
    return transposed_conv2d(x, _smear(kernel[::-1, ::-1]).swapaxes(2, 3))


def _smear(kernel):
    """Sum of a kernel (3, 3, C, D) over its four shifts within 4x4 pixels: (4, 4, C, D)."""
    rows = jnp.pad(kernel, [(0, 1), (0, 0), (0, 0), (0, 0)]) + jnp.pad(kernel, [(1, 0), (0, 0), (0, 0), (0, 0)])
    return jnp.pad(rows, [(0, 0), (0, 1), (0, 0), (0, 0)]) + jnp.pad(rows, [(0, 0), (1, 0), (0, 0), (0, 0)])


@jax.custom_vjp
def strided_conv2d(x, kernel):
    """4x4 convolution with stride 2 and zero padding of 1: (B, H, W, C) and (4, 4, C, D) -> (B, H/2, W/2, D)."""
    return lax.conv_general_dilated(x, kernel, (2, 2), [(1, 1)] * 2, dimension_numbers=AXES)


@jax.custom_vjp
def transposed_conv2d(x, kernel):
    """Transpose of `strided_conv2d` with the same kernel (4, 4, C, D): (B, H, W, D) -> (B, 2H, 2W, C)."""
    return _transposed(x, kernel)


def transposed_by_phases(x, kernel):
    """`transposed_conv2d` in the form that is fastest on CPU.

    Each of the four output pixels per input pixel depends on 2x2 input pixels, so this is one 2x2 convolution with four times as many
    output channels.
    """
    b, h, w, _ = x.shape
    taps = kernel[::-1, ::-1].reshape(2, 2, 2, 2, *kernel.shape[2:]).transpose(0, 2, 5, 1, 3, 4)
    taps = taps.reshape(*taps.shape[:3], -1)
    phases = lax.conv_general_dilated(x, taps, (1, 1), [(1, 1)] * 2, dimension_numbers=AXES)
    phases = phases.reshape(b, h + 1, w + 1, 2, 2, -1)
    rows = [jnp.stack([phases[:, i : i + h, j : j + w, i, j] for j in (0, 1)], axis=3) for i in (0, 1)]
    return jnp.stack(rows, axis=2).reshape(b, 2 * h, 2 * w, -1)


def transposed_by_dilation(x, kernel):
    """`transposed_conv2d` as one convolution of the input with zeros between its pixels, which accelerators skip in multiplications."""
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    return lax.conv_general_dilated(x, flipped, (1, 1), [(2, 2)] * 2, lhs_dilation=(2, 2), dimension_numbers=AXES)


_transposed = by_platform(transposed_by_phases, transposed_by_dilation)


def kernel_gradient_by_products(fine, coarse):
    """Gradient (4, 4, C, D) of sum(strided_conv2d(fine, kernel) * coarse), accumulated strip by strip.

    Blocks of 2x2 pixels of the padded fine image become single pixels with 4 C channels. Each is multiplied with the coarse pixel at its
    position and with those above, to the left, and above left of it.
    """
    c, d = fine.shape[-1], coarse.shape[-1]

    def product(fine, coarse):
        batch, rows, columns = coarse.shape[0], coarse.shape[1] - 1, coarse.shape[2] + 1
        fine = jnp.pad(fine, [(0, 0), (0, 0), (1, 1), (0, 0)]).reshape(batch, rows, 2, columns, 2 * c)
        fine = jnp.concatenate([fine[:, :, 0], fine[:, :, 1]], axis=-1)
        coarse = jnp.pad(coarse, [(0, 0), (0, 0), (1, 1), (0, 0)])
        coarse = jnp.concatenate([coarse[:, i : i + rows, j : j + columns] for i in (1, 0) for j in (1, 0)], axis=-1)
        return sum_over_pixels(fine, coarse)

    products = sum_over_strips(product, [Rows(fine, 1, 0, stride=2), Rows(coarse, 1, 1)])
    return products.reshape(2, 2, c, 2, 2, d).transpose(3, 0, 4, 1, 2, 5).reshape(4, 4, c, d)


def xla_kernel_gradient(fine, coarse):
    """The same gradient as `kernel_gradient_by_products`, by XLA's transpose of the convolution."""
    kernel = jnp.zeros((4, 4, fine.shape[-1], coarse.shape[-1]), fine.dtype)
    return jax.vjp(lambda kernel: strided_conv2d.fun(fine, kernel), kernel)[1](coarse)[0]


_kernel_gradient = by_platform(kernel_gradient_by_products, xla_kernel_gradient)

differentiate_by_each_other(strided_conv2d, transposed_conv2d, _kernel_gradient)
