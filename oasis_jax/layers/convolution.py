"""Convolution with gradients that are fast on every platform.

Arrays are NHWC. Activations have the dtype of the input, which networks set to their compute dtype.
"""
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from oasis_jax.axes import along_rows, rows_are_split
from oasis_jax.layers.dtype import wide

COARSE = 32 * 32  # image size in pixels up to which XLA's input gradient is slow on CPU
STRIP = 1024  # pixels per strip, few enough for its taps to stay in the CPU cache


@jax.custom_vjp
def conv2d(x, kernel):
    """Zero-padded "same" convolution with stride 1 and gradients that are fast on every platform.

    On CPU, two gradients are computed as matrix products because XLA is slow there: the kernel gradient, which XLA computes as a
    convolution with an image-sized window, and the input gradient on coarse levels.

    Args:
        x: (B, H, W, C), floating point.
        kernel: (k, k, C, D) of the same dtype, k odd.

    Returns:
        (B, H, W, D).
    """
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _conv2d_forward(x, kernel):
    return conv2d(x, kernel), (x, kernel)


def _conv2d_backward(residuals, gradient):
    x, kernel = residuals
    return input_gradient(kernel, gradient), _kernel_gradient(x, kernel, gradient)


conv2d.defvjp(_conv2d_forward, _conv2d_backward)


def by_rows(convolve, x, kernel):
    """convolve(x, kernel), with image rows split over devices if the mesh splits them and there are enough rows."""
    return along_rows(convolve(along_rows(x), kernel))


def by_platform(on_cpu, elsewhere):
    """Returns a function of arrays that calls `on_cpu` on CPU and `elsewhere` on other platforms.

    Where image rows are split over devices, it calls `elsewhere` on all platforms: the CPU forms cut and join rows, for which whole images
    would have to be gathered.
    """

    def function(*arrays):
        return elsewhere(*arrays) if rows_are_split() else lax.platform_dependent(*arrays, cpu=on_cpu, default=elsewhere)

    return function


def stored(x):
    """Returns x. Makes accelerators store x in its own dtype, and not the larger array in a wider dtype to which it is converted later."""
    return by_platform(lambda x: x, lax.optimization_barrier)(x)


@jax.custom_vjp
def input_gradient(kernel, gradient):
    """Gradient with respect to x, (B, H, W, C), of conv2d(x, kernel). It is linear in both arguments, and so are its own gradients."""
    coarse = gradient.shape[1] * gradient.shape[2] <= COARSE
    function = by_platform(input_gradient_by_products, xla_input_gradient) if coarse else xla_input_gradient
    return function(kernel, gradient)


def xla_input_gradient(kernel, gradient):
    """`input_gradient`, by XLA's transpose of the convolution."""
    x = jax.ShapeDtypeStruct((*gradient.shape[:3], kernel.shape[2]), gradient.dtype)
    return jax.linear_transpose(lambda x: conv2d.fun(x, kernel), x)(gradient)[0]


def xla_kernel_gradient(x, kernel, gradient):
    """Gradient with respect to the kernel, by XLA's transpose of the convolution."""
    return jax.vjp(lambda kernel: conv2d.fun(x, kernel), kernel)[1](gradient)[0]


def input_gradient_by_products(kernel, gradient):
    """`input_gradient`: one matrix product computes the contributions of all taps, which are shifted and summed."""
    k = kernel.shape[0]
    # The second operand gets transposed, so the kernel, which is the larger one, comes first.
    products = lax.dot_general(kernel, gradient, (((3,), (3,)), ((), ())), preferred_element_type=wide(gradient.dtype))
    total = sum(_shift(_shift(products[i, j], i - k // 2, 2), j - k // 2, 3) for i in range(k) for j in range(k))
    return jnp.moveaxis(total, 0, -1).astype(gradient.dtype)


def kernel_gradient_by_products(x, kernel, gradient):
    """Gradient with respect to the kernel: one matrix product for all taps, accumulated strip by strip.

    Shifted copies of x and of the gradient are concatenated along the channels. x is shifted along the columns and the gradient along the
    rows. If one of them has far fewer channels, it is shifted along both instead.
    """
    k, _, channels, features = kernel.shape
    shifts_of_x = features > 2 * channels, channels <= 2 * features  # along rows, along columns
    shifts_of_gradient = [not shifted for shifted in shifts_of_x]

    def product(x, gradient):
        x = _taps(x, k, *shifts_of_x, range(k))
        gradient = _taps(gradient, k, *shifts_of_gradient, range(k)[::-1])
        return sum_over_pixels(x, gradient)

    halos = [(k // 2) * shifts[0] for shifts in (shifts_of_x, shifts_of_gradient)]
    products = sum_over_strips(product, [Rows(x, halos[0], 2 * halos[0]), Rows(gradient, halos[1], 2 * halos[1])])
    if shifts_of_x[0]:
        return products.reshape(kernel.shape)
    if shifts_of_x[1]:
        return products.reshape(k, channels, k, features).transpose(2, 0, 1, 3)
    return products.reshape(channels, k, k, features).transpose(1, 2, 0, 3)


class Rows(NamedTuple):
    """An array (B, H, W, C), and how it is cut into strips of rows.

    Attributes:
        array: (B, H, W, C).
        padding: rows of zeros added above and below.
        shared: rows that a strip has in common with the next one; a strip of n image rows has stride * n + shared rows.
        stride: rows of the array per image row.
    """

    array: jax.Array
    padding: int = 0
    shared: int = 0
    stride: int = 1


def sum_over_strips(function, operands):
    """Sums a function over strips of image rows, so that the data of each strip stay in the cache.

    A strip has `STRIP` pixels of the batch, but at least one row.

    Args:
        function: maps one strip (B, rows, W, C) per operand to an array in the dtype of accumulation. Must return zero if a strip is zero.
        operands: Rows, all with the same number of strips and the same dtype; the first one determines the pixels per image row.

    Returns:
        The sum, in the dtype of the operands.
    """
    (height,) = {(o.array.shape[1] + 2 * o.padding - o.shared) // o.stride for o in operands}
    batch, _, width, _ = operands[0].array.shape
    rows = min(max(STRIP * operands[0].stride // (batch * width), 1), height)
    count = -(-height // rows)
    missing, zero = count * rows - height, jnp.zeros((), operands[0].array.dtype)
    padded = [lax.pad(o.array, zero, [(0, 0, 0), (o.padding, o.padding + o.stride * missing, 0), (0, 0, 0), (0, 0, 0)]) for o in operands]

    def of_strip(i):
        cuts = [(array, o.stride * rows * i, o.stride * rows + o.shared, 1) for array, o in zip(padded, operands, strict=True)]
        return function(*(lax.dynamic_slice_in_dim(*cut) for cut in cuts))

    if count == 1:
        return of_strip(0).astype(zero.dtype)
    total = jnp.zeros_like(jax.eval_shape(of_strip, 0))
    return lax.fori_loop(0, count, lambda i, total: total + of_strip(i), total).astype(zero.dtype)


def sum_over_pixels(x, y):
    """(B, H, W, C) and (B, H, W, D) -> (C, D), accumulated in float32 or wider."""
    return jnp.einsum("bhwc,bhwd->cd", x, y, preferred_element_type=wide(x.dtype))


def _taps(strip, k, over_rows, over_columns, order):
    """Shifted copies of a strip for the taps of a k x k kernel: (B, rows + k - 1 or rows, W, C) -> (B, rows, W, taps * C)."""
    height, width = strip.shape[1] - (k - 1) * over_rows, strip.shape[2]
    if over_columns:
        strip = jnp.pad(strip, [(0, 0), (0, 0), (k // 2, k // 2), (0, 0)])
    rows, columns = (order if over else range(1) for over in (over_rows, over_columns))
    return jnp.concatenate([strip[:, i : i + height, j : j + width] for i in rows for j in columns], axis=-1)


def _shift(x, by, axis):
    """x shifted towards higher indices of an axis, and filled with zeros."""
    return lax.pad(x, jnp.zeros((), x.dtype), [(by, -by, 0) if a == axis else (0, 0, 0) for a in range(x.ndim)])


_kernel_gradient = by_platform(kernel_gradient_by_products, xla_kernel_gradient)

input_gradient.defvjp(
    lambda kernel, gradient: (input_gradient(kernel, gradient), (kernel, gradient)),
    lambda residuals, cotangent: (_kernel_gradient(cotangent, *residuals), conv2d(cotangent, residuals[0])),
)


def differentiate_by_each_other(strided, transposed, kernel_gradient):
    """Defines the gradients of two `custom_vjp` convolutions (x, kernel), each the transpose of the other, by means of each other.

    Args:
        strided, transposed: convolutions from fine to coarse and from coarse to fine images, with the same kernel.
        kernel_gradient: (fine, coarse) -> the gradient of sum(strided(fine, kernel) * coarse) with respect to the kernel.
    """
    strided.defvjp(
        lambda x, kernel: (strided(x, kernel), (x, kernel)),
        lambda residuals, gradient: (transposed(gradient, residuals[1]), kernel_gradient(residuals[0], gradient)),
    )
    transposed.defvjp(
        lambda x, kernel: (transposed(x, kernel), (x, kernel)),
        lambda residuals, gradient: (strided(gradient, residuals[1]), kernel_gradient(gradient, residuals[0])),
    )


def leaky_relu(x):
    """Leaky ReLU with slope 0.2."""
    return nn.leaky_relu(x, 0.2)
