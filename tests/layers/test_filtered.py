"""Laws of resampling with the smoothing filter, and of convolutions combined with it."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax.layers import filtered
from tests.arrays import normal

pytestmark = pytest.mark.usefixtures("float64")
FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def zeros_inserted(x, after_last):
    """Inserts zeros between the pixels of (B, H, W, C), and after the last ones if `after_last`."""
    b, h, w, c = x.shape
    fine = np.zeros((b, 2 * h, 2 * w, c))
    fine[:, ::2, ::2] = x
    return fine if after_last else fine[:, :-1, :-1]


def padded(x, before, after):
    return np.pad(x, [(0, 0), (before, after), (before, after), (0, 0)])


def filtered_by(x, gain=1):
    """Applies the filter to every channel of (B, H, W, C), without padding."""
    windows = np.lib.stride_tricks.sliding_window_view(x, FILTER.shape, (1, 2))
    return gain * np.einsum("bhwcij,ij->bhwc", windows, FILTER)


def correlated(x, kernel):
    """Cross-correlation of (B, H, W, C) with (k, k, C, D), without padding."""
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], (1, 2))
    return np.einsum("bhwcij,ijcd->bhwd", windows, kernel)


def transposed(x, kernel):
    """out[2i + k] += x[i] kernel[k], by its definition: (B, N, M, C) -> (B, 2N + 1, 2M + 1, D)."""
    b, h, w, _ = x.shape
    out = np.zeros((b, 2 * h + 1, 2 * w + 1, kernel.shape[3]))
    for i in range(3):
        for j in range(3):
            out[:, i : i + 2 * h : 2, j : j + 2 * w : 2] += np.einsum("bhwc,cd->bhwd", x, kernel[i, j])
    return out


DEFINITIONS = {
    "upsample": (filtered.upsample, lambda x, kernel: filtered_by(padded(zeros_inserted(x, True), 2, 1), gain=4)),
    "downsample": (filtered.downsample, lambda x, kernel: filtered_by(padded(x, 1, 1))[:, ::2, ::2]),
    "conv2d_up": (filtered.conv2d_up, lambda x, kernel: filtered_by(padded(transposed(x, kernel), 1, 1), gain=4)),
    "conv2d_down": (filtered.conv2d_down, lambda x, kernel: correlated(filtered_by(padded(x, 2, 2)), kernel)[:, ::2, ::2]),
}


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "separate"])
@pytest.mark.parametrize("shape", [(2, 4, 6, 3), (1, 2, 2, 1), (1, 34, 18, 2)], ids=str)
@pytest.mark.parametrize("name", DEFINITIONS)
def test_each_operation_equals_its_definition(name, shape, fused, monkeypatch):
    monkeypatch.setattr(filtered, "FINE", 0 if fused else 1000)
    definition = DEFINITIONS[name][1]
    operation = jax.jit(lambda *arrays: DEFINITIONS[name][0](*arrays))  # a new function, so that each form is traced
    x, kernel = normal(0, shape), normal(1, (3, 3, shape[-1], 4))
    actual = operation(x, kernel) if "conv" in name else operation(x)
    np.testing.assert_allclose(actual, definition(np.asarray(x), np.asarray(kernel)), rtol=0, atol=1e-12)


PAIRS = {"up": (filtered.conv2d_up, filtered.separate_conv2d_up), "down": (filtered.conv2d_down, filtered.separate_conv2d_down)}


@pytest.mark.parametrize("name", PAIRS)
def test_fused_equals_separate_in_value_and_gradients(name, monkeypatch):
    monkeypatch.setattr(filtered, "FINE", 0)
    x, kernel = normal(0, (2, 6, 8, 3)), normal(1, (3, 3, 3, 5))
    (actual, pull_actual), (expected, pull_expected) = (jax.vjp(convolve, x, kernel) for convolve in PAIRS[name])
    gradient = normal(2, expected.shape)
    for a, b in zip((actual, *pull_actual(gradient)), (expected, *pull_expected(gradient)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)


def test_few_channels_on_fine_levels_are_fused_and_nothing_else():
    def is_fused(name, side, channels):
        kernel = jnp.zeros((3, 3, channels, 2))
        found, separate = (jax.make_jaxpr(convolve)(jnp.zeros((1, side, side, channels)), kernel) for convolve in PAIRS[name])
        return str(found) != str(separate)

    few, fine = filtered.FEW - 2, filtered.FINE  # the kernel has two output channels
    for name, side in (("up", fine), ("down", 4 * fine)):
        assert is_fused(name, side, few)
        assert not is_fused(name, side - 4, few)
        assert not is_fused(name, side, few + 1)


def test_both_forms_of_the_transposed_convolution_are_the_transpose_of_the_strided_one():
    x, y, kernel = normal(0, (2, 11, 7, 3)), normal(1, (2, 5, 3, 4)), normal(2, (3, 3, 3, 4))
    forward = filtered.strided_conv2d(x, kernel)
    by_products, by_dilation = filtered.transposed_by_products(y, kernel), filtered.transposed_by_dilation(y, kernel)
    np.testing.assert_allclose(by_products, by_dilation, rtol=0, atol=1e-12)
    np.testing.assert_allclose(by_products, transposed(np.asarray(y), np.asarray(kernel).swapaxes(2, 3)), rtol=0, atol=1e-12)
    np.testing.assert_allclose(jnp.vdot(forward, y), jnp.vdot(x, by_products), rtol=1e-12)


def test_a_constant_stays_constant_away_from_the_border():
    x = jnp.ones((1, 6, 6, 1))
    for resampled in (filtered.upsample(x), filtered.downsample(x)):
        np.testing.assert_allclose(resampled[:, 1:-1, 1:-1], 1, rtol=1e-12)


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "separate"])
@pytest.mark.parametrize("name", DEFINITIONS)
def test_the_dtype_of_the_input_is_kept(name, fused, monkeypatch):
    monkeypatch.setattr(filtered, "FINE", 0 if fused else 1000)
    operation, _ = DEFINITIONS[name]
    for dtype in (jnp.bfloat16, jnp.float32):
        x, kernel = jax.ShapeDtypeStruct((1, 4, 4, 2), dtype), jax.ShapeDtypeStruct((3, 3, 2, 3), dtype)

        def with_gradients(*arrays):
            found, pull = jax.vjp(operation, *arrays)
            return found, pull(found)

        found = jax.eval_shape(with_gradients, *((x, kernel) if "conv" in name else (x,)))
        assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(dtype)}
