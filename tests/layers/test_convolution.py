"""Laws of the convolution and its gradients."""
import jax
import numpy as np
import pytest

from oasis_jax.layers import convolution
from tests.arrays import normal

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("shape", [(2, 5, 7, 3), (1, 1, 3, 2), (1, 35, 33, 2), (2, 35, 33, 1), (2, 35, 33, 9), (2, 4, 600, 2)], ids=str)
def test_gradients_of_the_convolution_equal_xlas(shape, size):
    x, kernel, gradient = normal(0, shape), normal(1, (size, size, shape[-1], 4)), normal(2, (*shape[:-1], 4))
    expected = convolution.xla_input_gradient(kernel, gradient), convolution.xla_kernel_gradient(x, kernel, gradient)
    chosen = jax.vjp(convolution.conv2d, x, kernel)[1](gradient)
    by_products = convolution.input_gradient_by_products(kernel, gradient), convolution.kernel_gradient_by_products(x, kernel, gradient)
    for actual in (chosen, by_products):
        for a, b in zip(actual, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)
