"""Region-wise conditioning equals dense conditioning in value and in every gradient."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax.oasis import conditioning, regions
from oasis_jax.oasis.boundaries import boundary_counts
from oasis_jax.oasis.capacities import Capacity, fit, of_size
from oasis_jax.oasis.dense import Dense
from oasis_jax.oasis.generator import Generator
from tests.arrays import normal

pytestmark = pytest.mark.usefixtures("float64")

VECTOR, HIDDEN, CHANNELS, SHIFTS = 5, 6, 4, 3


def streets(height=14, width=18):
    """Two label maps of large regions; the first also has a thin region."""
    ids = np.zeros((2, height, width), int)
    ids[0, height // 2 :, width // 3 :] = 1
    ids[0, :, width // 2] = 2
    ids[1, :, width // 2 :] = 2
    return ids


def one_pixel_regions():
    ids = np.zeros((2, 14, 18), int)
    ids[0, 5, 6], ids[1, 0, 0], ids[1, 13, 3] = 1, 1, 2
    return ids


MAPS = {
    "streets": streets(),
    "random": np.random.default_rng(0).integers(0, 3, (2, 14, 18)),
    "one class": np.full((2, 14, 18), 2),
    "one-pixel regions": one_pixel_regions(),
    "every id at the border": np.broadcast_to(np.arange(18) % 3, (2, 14, 18)),
    "one row": streets(1, 12),
    "one pixel": np.zeros((2, 1, 1), int),
    "no interior": streets(4, 4),
}
make_plan = jax.jit(regions.make_plan, static_argnums=(1, 2))


@functools.partial(jax.jit, static_argnums=(1, 2))
def by_both_ways(ids, num_ids, capacity, arguments, gradients):
    """((values, gradients) on regions, (values, gradients) of the dense form, the Plan)."""
    plan = regions.make_plan(ids, num_ids, capacity)

    def by_regions(x, table, *weights):
        return regions.modulate(x, regions.Regions(ids, table, plan), *weights)

    def densely(x, table, *weights):
        return regions.modulate_dense(x, Dense(regions.look_up(table, ids)), *weights)

    def value_and_gradients(function):
        values, pull_back = jax.vjp(function, *arguments)
        return values, pull_back(gradients)

    return value_and_gradients(by_regions), value_and_gradients(densely), plan


def convolutions(shifts=SHIFTS):
    """Kernels and biases of the convolutions `shared`, `scale` and `shift`."""
    channels = (VECTOR, HIDDEN), (HIDDEN, CHANNELS), (HIDDEN, shifts)
    return [(normal(2 * i + 2, (3, 3, *pair)), normal(2 * i + 3, pair[1:])) for i, pair in enumerate(channels)]


def check_equal_to_dense(ids, num_ids, capacity):
    arguments = normal(0, (*ids.shape, CHANNELS)), normal(1, (len(ids), num_ids, VECTOR)), *convolutions()
    results = by_both_ways(jnp.asarray(ids), num_ids, capacity, arguments, tuple(normal(8, (*ids.shape, n)) for n in (CHANNELS, SHIFTS)))
    (actual, gradients), (expected, expected_gradients), plan = results
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(expected_gradients), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)
    return plan


@pytest.mark.parametrize("name", MAPS)
def test_regions_equal_dense(name):
    ids = MAPS[name]
    assert check_equal_to_dense(ids, 3, Capacity(*[ids[0].size] * 4)).fits


@pytest.mark.parametrize("short", [Capacity(*np.where(np.arange(4) == i, 1, 200).tolist()) for i in range(4)], ids=str)
def test_a_batch_that_overflows_is_computed_densely(short):
    assert not check_equal_to_dense(MAPS["streets"], 3, short).fits


def test_a_capacity_that_is_just_enough_is_enough():
    ids = MAPS["streets"]
    most = Capacity(*np.max([boundary_counts(row, 1)[0] for row in ids], axis=0).tolist())
    assert check_equal_to_dense(ids, 3, most).fits
    assert make_plan(jnp.asarray(ids), 3, Capacity(200, 200, most.hidden, most.modulation)).fits
    for name, value in most._asdict().items():
        one_less = 1 if name in ("near", "far") else regions.TILE  # lists are rounded up to whole tiles
        assert not make_plan(jnp.asarray(ids), 3, most._replace(**{name: value - one_less})).fits


def test_different_neighbourhoods_with_one_fingerprint_are_never_taken_for_equal(monkeypatch):
    monkeypatch.setattr(regions, "fingerprints", lambda patterns, xp: jnp.zeros((*patterns.shape[:-1], 2), jnp.uint32))
    assert not check_equal_to_dense(MAPS["streets"], 3, Capacity(*[300] * 4)).fits


def test_regions_equal_dense_where_64_bits_are_off():
    with jax.enable_x64(False):
        ids, table, x = jnp.asarray(MAPS["streets"], jnp.int32), normal(0, (2, 3, VECTOR)), normal(1, (2, 14, 18, CHANNELS))
        plan = make_plan(ids, 3, Capacity(*[252] * 4))
        assert plan.fits and x.dtype == jnp.float32
        actual = jax.jit(regions.modulate)(x, regions.Regions(ids, table, plan), *convolutions())
        expected = jax.jit(regions.modulate_dense)(x, Dense(regions.look_up(table, ids)), *convolutions())
        for a, b in zip(actual, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


def test_bfloat16_costs_no_more_precision_on_regions_than_densely():
    ids = np.zeros((1, 120, 90), int)
    ids[0, 40:, 20:70] = 1
    plan = make_plan(jnp.asarray(ids), 2, Capacity(*[3000] * 4))
    arguments = normal(0, (*ids.shape, CHANNELS)), normal(1, (1, 2, VECTOR)), *convolutions(CHANNELS)
    arguments = jax.tree.map(lambda array: array.astype(jnp.bfloat16), arguments)

    def by_regions(x, table, *weights):
        return sum(regions.modulate(x, regions.Regions(ids, table, plan), *weights))

    def densely(x, table, *weights):
        return sum(regions.modulate_dense(x, Dense(regions.look_up(table, ids)), *weights))

    def value_and_gradients(function, dtype):
        def compute(*arguments):
            value, pull_back = jax.vjp(function, *arguments)
            return value, *pull_back(jnp.cos(arguments[0]))

        cast = jax.tree.map(lambda array: array.astype(dtype), arguments)
        return [np.asarray(a, np.float64) for a in jax.tree.leaves(jax.jit(compute)(*cast))]

    exact = value_and_gradients(densely, jnp.float64)
    losses = [
        [np.linalg.norm(a - e) / np.linalg.norm(e) for a, e in zip(value_and_gradients(function, jnp.bfloat16), exact, strict=True)]
        for function in (by_regions, densely)
    ]
    assert plan.fits and max(losses[0]) < 0.005
    assert np.all(np.asarray(losses[0]) <= 1.5 * np.asarray(losses[1])), losses


def test_the_gradient_of_a_look_up_counts_every_pixel_in_bfloat16():
    ids = jnp.zeros((1, 40, 50), jnp.int32).at[0, 0, 0].set(1)
    table = jnp.zeros((1, 2, 3), jnp.bfloat16)
    gradient = jax.grad(lambda table: regions.look_up(table, ids).sum())(table)
    np.testing.assert_array_equal(gradient[0], jnp.asarray([[1999] * 3, [1] * 3], jnp.bfloat16))  # a sum in bfloat16 would stop at 256


def test_more_room_than_a_chunk_of_rows(monkeypatch):
    monkeypatch.setattr(regions, "CHUNK", 7)
    by_both_ways.clear_cache()
    assert check_equal_to_dense(MAPS["random"], 3, Capacity(*[252] * 4)).fits
    by_both_ways.clear_cache()


def generators(capacities, **fields):
    dense = Generator(num_classes=4, num_blocks=2, channels=4, spade_hidden=8, z_dim=6, dtype=jnp.float64, **fields)
    return dense, dense.clone(capacities=capacities)


FINE, COARSE = Capacity(*[700] * 4), Capacity(*[170] * 4)


def several_noise_regions():
    labels, drawn = np.zeros((2, 24, 28), int), np.zeros((2, 24, 28), int)
    labels[:, 10:], labels[0, :4, :9], drawn[:, 3:9, 5:20], drawn[1, 18:] = 1, 3, 1, 2
    return conditioning.from_regions(jnp.asarray(labels), jnp.asarray(drawn), normal(0, (2, 3, 6)), 4, jnp.float64), None


def noise_per_class():
    labels = several_noise_regions()[0].dense(24, 28)[..., 6:].argmax(-1)
    return labels, normal(1, (2, 4, 6))


def noise_per_pixel():
    labels, _ = noise_per_class()
    return labels, normal(2, (2, 24, 28, 6))


def test_generator_is_the_same_function_with_regions():
    label_map, noise = several_noise_regions()
    dense, by_regions = generators((FINE, COARSE), remat=True)
    variables = jax.jit(dense.init)(jax.random.key(0), label_map, noise)

    def loss(generator):
        def of_variables(variables):
            image, statistics = generator.apply(variables, label_map, noise, train=True, mutable=["batch_stats", "spectral_norm"])
            return jnp.sum(normal(3, image.shape) * image), (image, statistics)

        return jax.jit(jax.grad(of_variables, has_aux=True))(variables)

    (expected_gradients, expected), (gradients, actual) = loss(dense), loss(by_regions)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(expected_gradients), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)


def test_noise_per_pixel_is_computed_densely():
    label_map, noise = noise_per_pixel()
    dense, by_regions = generators((FINE,))
    variables = jax.jit(dense.init)(jax.random.key(0), label_map, noise)
    np.testing.assert_array_equal(*(jax.jit(generator.apply)(variables, label_map, noise) for generator in (dense, by_regions)))


def test_gradient_of_noise_is_the_same_with_regions():
    label_map, noise = noise_per_class()
    dense, by_regions = generators((None, COARSE))
    variables = jax.jit(dense.init)(jax.random.key(0), label_map, noise)

    def gradient(generator):
        return jax.jit(jax.grad(lambda noise: jnp.sum(generator.apply(variables, label_map, noise) ** 2)))(noise)

    expected, actual = gradient(dense), gradient(by_regions)
    assert np.abs(expected).max() > 1e-6
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-9)


def test_the_capacities_of_a_size_hold_all_but_the_most_divided_maps():
    capacities = of_size((128, 256))
    assert len(capacities) == 4 and all(capacities)
    assert all(np.all(np.asarray(capacity) <= 128 * 256 // 4**level) for level, capacity in enumerate(capacities))
    assert all(fit(ids, capacities) for ids in streets(128, 256))
    assert not fit(np.random.default_rng(0).integers(0, 3, (128, 256)), capacities)
