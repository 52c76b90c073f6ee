"""Laws of spectral normalisation and batch statistics."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax.layers.convolution import conv2d
from oasis_jax.layers.normalised import BatchNorm, Conv
from oasis_jax.layers.resampling import upsample
from tests.arrays import normal

pytestmark = pytest.mark.usefixtures("float64")


def spectral_conv():
    conv = Conv(5, use_bias=False, spectral_norm=True)
    x = normal(0, (1, 4, 4, 3))
    variables = conv.init(jax.random.key(0), x)
    return conv, x, {**variables, "params": {"kernel": normal(1, (3, 3, 3, 5))}}


def converged(conv, x, variables):
    advance = jax.jit(lambda variables: {**variables, **conv.apply(variables, x, train=True, mutable=["spectral_norm"])[1]})
    for _ in range(300):
        variables = advance(variables)
    return variables


def test_sigma_of_a_converged_kernel_is_its_largest_singular_value():
    conv, x, variables = spectral_conv()
    variables = converged(conv, x, variables)
    kernel = variables["params"]["kernel"]
    sigma = np.linalg.norm(kernel.reshape(-1, 5), 2)
    expected = conv2d(x, kernel / sigma)
    np.testing.assert_allclose(conv.apply(variables, x), expected, atol=1e-12)
    np.testing.assert_allclose(conv.apply(variables, x, train=True, mutable=["spectral_norm"])[0], expected, atol=1e-12)


def test_gradient_holds_the_singular_vectors_constant():
    conv, x, variables = spectral_conv()
    _, after = conv.apply(variables, x, train=True, mutable=["spectral_norm"])
    u, v = after["spectral_norm"]["u"], after["spectral_norm"]["v"]

    def by_module(kernel):
        return jnp.sum(jnp.sin(conv.apply({**variables, "params": {"kernel": kernel}}, x, train=True, mutable=["spectral_norm"])[0]))

    def by_definition(kernel):
        return jnp.sum(jnp.sin(conv2d(x, kernel / (v @ kernel.reshape(-1, 5) @ u))))

    kernel = variables["params"]["kernel"]
    np.testing.assert_allclose(jax.grad(by_module)(kernel), jax.grad(by_definition)(kernel), atol=1e-12)


def test_evaluation_leaves_the_singular_vectors_alone():
    conv, x, variables = spectral_conv()
    _, after = conv.apply(variables, x, train=False, mutable=["spectral_norm"])
    jax.tree.map(np.testing.assert_array_equal, after["spectral_norm"], variables["spectral_norm"])


def test_zero_kernel_stays_finite():
    conv, x, variables = spectral_conv()
    variables = {**variables, "params": {"kernel": jnp.zeros((3, 3, 3, 5))}}
    output, after = conv.apply(variables, x, train=True, mutable=["spectral_norm"])
    assert np.isfinite(output).all() and all(np.isfinite(vector).all() for vector in jax.tree.leaves(after))


def test_batch_norm_normalises_with_the_biased_and_remembers_the_unbiased_variance():
    norm, x = BatchNorm(), 3 + 2 * normal(0, (2, 3, 4, 5))
    output, after = norm.apply(norm.init(jax.random.key(0), x), x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(output, (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5), atol=1e-12)
    np.testing.assert_allclose(after["batch_stats"]["mean"], 0.1 * x.mean((0, 1, 2)), atol=1e-12)
    np.testing.assert_allclose(after["batch_stats"]["var"], 0.9 + 0.1 * np.asarray(x).var((0, 1, 2), ddof=1), atol=1e-12)


def test_gradient_of_batch_norm_flows_through_its_statistics():
    norm, x, weights = BatchNorm(), normal(0, (2, 3, 4, 2)), normal(1, (2, 3, 4, 2))
    variables = norm.init(jax.random.key(0), x)

    def by_module(x):
        return jnp.sum(weights * norm.apply(variables, x, train=True, mutable=["batch_stats"])[0])

    def by_definition(x):
        return jnp.sum(weights * (x - x.mean((0, 1, 2))) / jnp.sqrt(x.var((0, 1, 2)) + 1e-5))

    np.testing.assert_allclose(jax.grad(by_module)(x), jax.grad(by_definition)(x), atol=1e-12)


def test_statistics_of_an_upsampled_image_are_those_of_the_image():
    norm, x = BatchNorm(), normal(0, (2, 3, 4, 5))
    variables = norm.init(jax.random.key(0), x)
    early, after_early = norm.apply(variables, x, train=True, repeats=4, mutable=["batch_stats"])
    late, after_late = norm.apply(variables, upsample(x), train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(upsample(early), late, rtol=0, atol=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12), after_early, after_late)


def test_a_matrix_after_a_convolution_is_one_convolution_with_it():
    conv, x, matrix = Conv(5, spectral_norm=True), normal(0, (1, 4, 4, 3)), normal(1, (5, 2))
    variables = conv.init(jax.random.key(0), x)
    variables = jax.tree.map(lambda leaf: normal(leaf.size, leaf.shape), variables)

    def separately(variables, x, matrix):
        return conv.apply(variables, x) @ matrix

    def at_once(variables, x, matrix):
        return conv.apply(variables, x, after=matrix)

    (actual, pull_actual), (expected, pull_expected) = (jax.vjp(f, variables, x, matrix) for f in (at_once, separately))
    gradient = normal(2, expected.shape)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-11), pull_actual(gradient), pull_expected(gradient))
