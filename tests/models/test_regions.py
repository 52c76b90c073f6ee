"""Region-wise conditioning equals the dense one, in value and in every gradient."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax.boundaries import boundary_counts
from oasis_jax.models import Generator, conditioning, regions
from oasis_jax.models.regions import Capacity

VECTOR, HIDDEN, CHANNELS = 5, 6, 4


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def normal(seed, shape):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def streets(height, width):
    """Two maps of large regions with a thin one."""
    ids = np.zeros((2, height, width), int)
    ids[0, height // 2 :, width // 3 :] = 1
    ids[0, :, width // 2] = 2
    ids[1, :, width // 2 :] = 2
    return ids


def one_pixel_regions(height, width):
    ids = np.zeros((2, height, width), int)
    ids[0, 5, 6], ids[1, 0, 0], ids[1, height - 1, 3] = 1, 1, 2
    return ids


def every_id_at_the_border(height, width):
    return np.broadcast_to(np.arange(width) % 3, (2, height, width)).copy()


MAPS = {
    "streets": streets(14, 18),
    "random": np.random.default_rng(0).integers(0, 3, (2, 9, 11)),
    "one class": np.full((2, 12, 10), 2),
    "one-pixel regions": one_pixel_regions(13, 12),
    "every id at the border": every_id_at_the_border(8, 9),
    "one row": streets(1, 12),
    "one pixel": np.zeros((2, 1, 1), int),
    "no interior": streets(4, 4),
}


def check_equal_to_dense(ids, num_ids, capacity):
    ids = jnp.asarray(ids)
    x, table = normal(0, (*ids.shape, CHANNELS)), normal(1, (len(ids), num_ids, VECTOR))
    shared = normal(2, (3, 3, VECTOR, HIDDEN)), normal(3, (HIDDEN,))
    gamma_beta = normal(4, (3, 3, HIDDEN, 2 * CHANNELS)), normal(5, (2 * CHANNELS,))
    plan = regions.make_plan(ids, num_ids, capacity)

    def by_regions(x, table, shared, gamma_beta):
        return regions.modulate(x, regions.Regions(ids, table, plan), shared, gamma_beta)

    def densely(x, table, shared, gamma_beta):
        return regions.modulate_dense(x, regions.look_up(table, ids), shared, gamma_beta)

    arguments = x, table, shared, gamma_beta
    gradient = normal(6, ids.shape + (CHANNELS,))

    def value_and_gradients(function):
        value, pull_back = jax.vjp(function, *arguments)
        return value, pull_back(gradient)

    (actual, gradients), (expected, expected_gradients) = (jax.jit(value_and_gradients, static_argnums=0)(f) for f in (by_regions, densely))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)
    for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(expected_gradients), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)
    return plan


@pytest.mark.parametrize("name", MAPS)
def test_regions_equal_dense(name):
    ids = MAPS[name]
    pixels = ids[0].size
    assert check_equal_to_dense(ids, 3, Capacity(*[pixels] * 4)).fits


@pytest.mark.parametrize("short", [Capacity(*np.where(np.arange(4) == i, 1, 200).tolist()) for i in range(4)], ids=str)
def test_a_batch_that_overflows_is_computed_densely(short):
    assert not check_equal_to_dense(MAPS["streets"], 3, short).fits


def test_a_capacity_that_is_just_enough_is_enough():
    ids = MAPS["streets"]
    most = Capacity(*np.max([boundary_counts(row, 1)[0] for row in ids], axis=0).tolist())
    assert check_equal_to_dense(ids, 3, most).fits
    assert regions.make_plan(jnp.asarray(ids), 3, Capacity(200, 200, most.hidden, most.modulation)).fits
    for name, value in most._asdict().items():
        assert not regions.make_plan(jnp.asarray(ids), 3, most._replace(**{name: value - 1})).fits


def test_different_neighbourhoods_with_one_fingerprint_are_never_taken_for_equal(monkeypatch):
    monkeypatch.setattr(regions, "fingerprints", lambda patterns, xp: jnp.zeros((*patterns.shape[:-1], 2), jnp.uint32))
    assert not check_equal_to_dense(MAPS["streets"], 3, Capacity(*[300] * 4)).fits


def test_regions_equal_dense_where_64_bits_are_off():
    with jax.enable_x64(False):
        ids, table, x = jnp.asarray(MAPS["streets"], jnp.int32), normal(0, (2, 3, VECTOR)), normal(1, (2, 14, 18, CHANNELS))
        shared = normal(2, (3, 3, VECTOR, HIDDEN)), normal(3, (HIDDEN,))
        gamma_beta = normal(4, (3, 3, HIDDEN, 2 * CHANNELS)), normal(5, (2 * CHANNELS,))
        plan = regions.make_plan(ids, 3, Capacity(*[252] * 4))
        assert plan.fits and x.dtype == jnp.float32
        actual = regions.modulate(x, regions.Regions(ids, table, plan), shared, gamma_beta)
        expected = regions.modulate_dense(x, regions.look_up(table, ids), shared, gamma_beta)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def generators(**fields):
    dense = Generator(num_classes=4, num_blocks=3, channels=4, spade_hidden=8, z_dim=6, dtype=jnp.float64, **fields)
    return dense, dense.clone(capacities=(Capacity(*[700] * 4), None, Capacity(*[50] * 4)))


def several_noise_regions():
    labels, drawn = np.zeros((2, 24, 28), int), np.zeros((2, 24, 28), int)
    labels[:, 10:], labels[0, :4, :9], drawn[:, 3:9, 5:20], drawn[1, 18:] = 1, 3, 1, 2
    return conditioning.from_regions(jnp.asarray(labels), jnp.asarray(drawn), normal(0, (2, 3, 6)), 4, jnp.float64), None


def noise_per_class():
    labels = several_noise_regions()[0].ids % 4
    return labels, normal(1, (2, 4, 6))


def noise_per_pixel():
    labels, _ = noise_per_class()
    return labels, normal(2, (2, 24, 28, 6))


@pytest.mark.parametrize(
    "inputs, remat", [(several_noise_regions, False), (noise_per_class, True), (noise_per_pixel, False)], ids=["regions", "class", "pixel"]
)
def test_generator_is_the_same_function_with_regions(inputs, remat):
    label_map, noise = inputs()
    dense, by_regions = generators(remat=remat)
    variables = jax.jit(dense.init)(jax.random.key(0), label_map, noise)

    def loss(generator):
        def of_variables(variables):
            image, statistics = generator.apply(variables, label_map, noise, train=True, mutable=["batch_stats", "spectral_norm"])
            return jnp.sum(normal(3, image.shape) * image), (image, statistics)

        return jax.jit(jax.grad(of_variables, has_aux=True))(variables)

    expected, actual = loss(dense), loss(by_regions)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)


def test_gradient_of_noise_is_the_same_with_regions():
    label_map, noise = noise_per_class()
    dense, by_regions = generators()
    variables = jax.jit(dense.init)(jax.random.key(0), label_map, noise)

    def gradient(generator):
        return jax.jit(jax.grad(lambda noise: jnp.sum(generator.apply(variables, label_map, noise) ** 2)))(noise)

    expected, actual = gradient(dense), gradient(by_regions)
    assert np.abs(expected).max() > 1e-6
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-9)
