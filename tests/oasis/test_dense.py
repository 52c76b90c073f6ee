"""Laws of dense conditioning."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax.layers.convolution import conv2d
from oasis_jax.oasis.conditioning import from_noise
from oasis_jax.oasis.dense import Dense, constant_conv2d, convolve
from tests.arrays import normal

pytestmark = pytest.mark.usefixtures("float64")
N, Z = 4, 3
SIZES = [(8, 12), (2, 3), (1, 2), (1, 1)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_convolution_of_a_constant_image_is_known_from_its_border(size):
    vectors, kernel, bias = normal(0, (2, Z)), normal(1, (3, 3, Z, 5)), normal(2, (5,))
    image = jnp.broadcast_to(vectors[:, None, None], (2, *size, Z))
    np.testing.assert_allclose(constant_conv2d(vectors, kernel, bias, size), conv2d(image, kernel) + bias, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_noise_apart_equals_noise_at_every_pixel_in_value_and_gradients(size):
    labels = np.random.default_rng(0).integers(0, N, (2, *size))
    noise, kernel, bias = normal(0, (2, Z)), normal(1, (3, 3, Z + N, 5)), normal(2, (5,))

    def apart(noise, kernel, bias):
        level = from_noise(labels, noise, N, noise.dtype).separately(*size)
        assert level.noise is not None and level.channels == Z + N
        return convolve(level, kernel, bias)

    def everywhere(noise, kernel, bias):
        return convolve(Dense(from_noise(labels, noise, N, noise.dtype).dense(*size)), kernel, bias)

    (actual, pull_actual), (expected, pull_expected) = (jax.vjp(f, noise, kernel, bias) for f in (apart, everywhere))
    gradient = normal(3, expected.shape)
    for a, b in zip((actual, *pull_actual(gradient)), (expected, *pull_expected(gradient)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(2, N, Z), (2, 8, 12, Z)], ids=["class", "pixel"])
def test_noise_that_varies_within_an_image_is_not_taken_apart(shape):
    conditioning = from_noise(np.zeros((2, 8, 12), int), normal(0, shape), N)
    level = conditioning.separately(4, 6)
    assert level.noise is None
    np.testing.assert_array_equal(level.vectors, conditioning.dense(4, 6))
