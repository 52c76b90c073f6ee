"""Laws of resampling and of the convolutions fused with it."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax.layers import resampling
from oasis_jax.layers.convolution import conv2d
from tests.arrays import normal

pytestmark = pytest.mark.usefixtures("float64")


def test_downsampling_undoes_upsampling():
    x = normal(0, (2, 3, 5, 2))
    np.testing.assert_array_equal(resampling.upsample(x), np.asarray(x).repeat(2, axis=1).repeat(2, axis=2))
    np.testing.assert_allclose(resampling.downsample(resampling.upsample(x)), x, atol=1e-15)


def assert_same(actual, expected, *arrays):
    """Checks that two functions of arrays agree in value and gradients."""
    (found, pull_found), (wanted, pull_wanted) = jax.vjp(actual, *arrays), jax.vjp(expected, *arrays)
    gradient = normal(9, wanted.shape)
    for a, b in zip((found, *pull_found(gradient)), (wanted, *pull_wanted(gradient)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_resampling_has_the_gradients_of_its_definition():
    x = normal(0, (2, 4, 6, 3))
    assert_same(resampling.downsample, resampling.pool_by_reshaping, x)
    assert_same(resampling.upsample, lambda x: x.repeat(2, axis=1).repeat(2, axis=2), x)


@pytest.mark.parametrize("shape", [(2, 4, 6, 3), (1, 2, 2, 1), (1, 34, 18, 2)], ids=str)
def test_forms_for_accelerators_equal_those_for_cpu(shape):
    x, kernel, small = normal(0, shape), normal(1, (4, 4, 5, shape[-1])), normal(2, (1, 1, shape[-1], 5))
    assert_same(resampling.pool_by_windows, resampling.pool_by_reshaping, x)
    assert_same(resampling.transposed_by_dilation, resampling.transposed_by_phases, x, kernel)
    assert_same(resampling.strided_conv1x1, resampling.conv1x1_of_downsampled, x, small)


PAIRS = {
    "down": (resampling.downsampled_conv2d, lambda x, kernel: resampling.downsample(conv2d(x, kernel))),
    "up": (resampling.conv2d_of_upsampled, lambda x, kernel: conv2d(resampling.upsample(x), kernel)),
}


@pytest.mark.parametrize("shape", [(2, 4, 6, 3), (1, 2, 2, 1), (1, 34, 18, 2)], ids=str)
@pytest.mark.parametrize("name", PAIRS)
def test_fused_convolution_equals_one_after_the_other_in_value_and_gradients(name, shape, monkeypatch):
    monkeypatch.setattr(resampling, "FEW", 0)
    fused, separate = PAIRS[name]
    x, kernel = normal(0, shape), normal(1, (3, 3, shape[-1], 5))
    (actual, pull_actual), (expected, pull_expected) = jax.vjp(fused, x, kernel), jax.vjp(separate, x, kernel)
    gradient = normal(2, expected.shape)
    for a, b in zip((actual, *pull_actual(gradient)), (expected, *pull_expected(gradient)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)


def test_fused_convolutions_are_each_others_transpose():
    x, kernel, y = normal(0, (2, 46, 66, 3)), normal(1, (4, 4, 3, 5)), normal(2, (2, 23, 33, 5))
    forward, back = resampling.strided_conv2d(x, kernel), resampling.transposed_conv2d(y, kernel)
    np.testing.assert_allclose(jnp.vdot(forward, y), jnp.vdot(x, back), rtol=1e-12)
    by_xla = jax.vjp(lambda kernel: resampling.strided_conv2d.fun(x, kernel), kernel)[1](y)[0]
    np.testing.assert_allclose(resampling.kernel_gradient_by_products(x, y), by_xla, atol=1e-12)
    np.testing.assert_allclose(resampling.xla_kernel_gradient(x, y), by_xla, atol=1e-12)
