"""Laws of modulation by class: it depends on the pixel alone, not on its neighbours as SPADE does, and not on the form of the noise."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax.oasis.capacities import Capacity
from oasis_jax.oasis.class_affine import ClassAffine
from oasis_jax.oasis.conditioning import from_noise
from oasis_jax.oasis.generator import Generator

N, Z, SIZE = 3, 5, (16, 32)


def labels(seed=0):
    return np.random.default_rng(seed).integers(0, N, (2, SIZE[0] // 4, SIZE[1] // 4)).repeat(4, 1).repeat(4, 2)


def drawn(module, *inputs):
    """Variables with random parameters."""
    made = jax.jit(module.init)(jax.random.key(0), *inputs)
    rng = np.random.default_rng(0)
    return {**made, "params": jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.5, leaf.shape), leaf.dtype), made["params"])}


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(1)
    z = jnp.asarray(rng.normal(size=(2, Z)), jnp.float32)
    return jnp.asarray(rng.normal(size=(2, *SIZE, 4)), jnp.float32), labels(), z


def test_scale_and_shift_are_affine_in_noise_and_class(inputs):
    x, label_map, z = inputs
    level = from_noise(label_map, z, N).separately(*SIZE)
    variables = drawn(ClassAffine(), x, level)
    weights = variables["params"]["gamma_beta"]
    kernel, bias = weights["kernel"][0, 0], weights["bias"]
    gamma, beta = jnp.split(z[:, None, None] @ kernel[:Z] + kernel[Z:][label_map] + bias, 2, -1)
    expected = x / np.sqrt(1 + 1e-5) * (1 + gamma) + beta
    np.testing.assert_allclose(ClassAffine().apply(variables, x, level), expected, atol=1e-5)


def test_every_form_of_one_noise_is_the_same(inputs):
    x, label_map, z = inputs
    forms = [z, jnp.broadcast_to(z[:, None], (2, N, Z)), jnp.broadcast_to(z[:, None, None], (2, *SIZE, Z))]
    levels = [from_noise(label_map, form, N).separately(*SIZE) for form in forms]
    variables = drawn(ClassAffine(), x, levels[0])
    first, *others = (ClassAffine().apply(variables, x, level) for level in levels)
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-5)


def test_a_matrix_behind_it_and_upsampling_before_it(inputs):
    x, label_map, z = inputs
    level = from_noise(label_map, z, N).separately(*SIZE)
    variables, matrix = drawn(ClassAffine(), x, level), np.random.default_rng(2).normal(size=(4, 6)).astype(np.float32)
    plain = ClassAffine().apply(variables, x, level)
    np.testing.assert_allclose(ClassAffine().apply(variables, x, level, after=matrix), plain @ matrix, atol=1e-4)
    small = x[:, ::2, ::2]
    np.testing.assert_allclose(
        ClassAffine(upsamples=True).apply(variables, small, level), ClassAffine().apply(variables, small.repeat(2, 1).repeat(2, 2), level)
    )


def test_such_blocks_are_never_computed_on_regions(inputs):
    _, label_map, z = inputs
    generator = Generator(num_classes=N, num_blocks=3, channels=2, spade_hidden=3, z_dim=Z, affine_blocks=2)
    variables = drawn(generator, label_map, z)
    on_regions = generator.clone(capacities=(Capacity(1, 1, 1, 1), Capacity(1, 1, 1, 1), Capacity(*[400] * 4)))
    assert jax.jit(on_regions.fits)(label_map)  # the first two capacities, in which nothing fits, are not used
    images = [jax.jit(module.apply)(variables, label_map, z) for module in (on_regions, generator)]
    np.testing.assert_allclose(*images, atol=1e-5)
    names = {name for name, block in variables["params"].items() if name.startswith("block") and "shared" in block["spade_0"]}
    assert names == {"block_0"}
