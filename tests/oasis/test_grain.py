"""Laws of noise by pixel: white, a function of vector and position alone, local, and without effect at the start."""
import functools
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from oasis_jax.noise import noise_vector
from oasis_jax.oasis.conditioning import from_noise, from_regions
from oasis_jax.oasis.from_config import make_generator
from oasis_jax.oasis.generator import Generator
from oasis_jax.oasis.grain import FIELDS, direction, fields, grain, tile
from tests.tiny_run import tiny_config

N, Z, SIZE = 4, 16, (32, 64)


def generator(grain_blocks=3):
    return Generator(num_classes=N, num_blocks=3, channels=2, spade_hidden=3, z_dim=Z, grain_blocks=grain_blocks)


@functools.partial(jax.jit, static_argnums=0)
def initial(module, *inputs):
    return module.init(jax.random.key(0), *inputs)


@functools.partial(jax.jit, static_argnums=0)
def image_of(module, variables, *inputs):
    return module.apply(variables, *inputs)


def vectors(*seeds):
    return jnp.asarray(np.stack([noise_vector(seed, Z) for seed in seeds]))


def labels(seed=0):
    return np.random.default_rng(seed).integers(0, N, (1, SIZE[0] // 8, SIZE[1] // 8)).repeat(8, 1).repeat(8, 2)


@pytest.fixture(scope="module")
def variables():
    """Variables of a generator whose grain has an effect: its strengths are not zero."""
    made = initial(generator(), labels(), vectors(0))

    def strengthen(path, leaf):
        return jnp.ones_like(leaf) if path[-1].key == "strength" else leaf + 0.1 * jax.random.normal(jax.random.key(leaf.size), leaf.shape)

    return {**made, "params": jax.tree_util.tree_map_with_path(strengthen, made["params"])}


def test_the_tile_is_the_same_on_every_machine():
    assert hashlib.sha256(tile().tobytes()).hexdigest() == "b8eca8e1b614c67995cf6d9555f1d23ea77dbfb43338720c408a352edba435c6"
    assert abs(tile().mean()) < 0.2 and abs(tile().std() - 32) < 0.2


def test_grain_is_white():
    n = np.asarray(grain(direction(vectors(3))[:, None, None], 5, 256, 256))[0]
    assert n.shape == (256, 256) and abs(n.mean()) < 0.02 and abs(n.std() - 1) < 0.02
    for dy, dx in ((0, 1), (1, 0), (1, 1), (0, 2), (8, 0), (0, 16)):
        assert abs(np.mean(n[dy:, dx:] * n[: 256 - dy, : 256 - dx])) < 0.02


def test_layers_and_vectors_have_grain_of_their_own():
    a, b = direction(vectors(1, 2))
    fine = [np.asarray(grain(a[None, None, None], layer, 64, 64)) for layer in range(12)]
    correlations = np.corrcoef(np.reshape(fine, (12, -1)))
    assert np.abs(correlations - np.eye(12)).max() < 0.1
    other = np.asarray(grain(b[None, None, None], 0, 64, 64))
    assert abs(np.mean(fine[0] * other) - float(a @ b)) < 0.1


def test_grain_of_a_window_is_that_of_the_whole():
    whole = fields(3, 300, 300)
    np.testing.assert_array_equal(whole[40:56, 270:], fields(3, 16, 30, 40, 270))


def test_grain_changes_continuously_with_the_vector():
    start, end = vectors(1, 2)
    near = direction(start + 1e-3 * (end - start))
    assert np.abs(near - direction(start)).max() < 2e-3
    assert direction(jnp.zeros((2, Z))).tolist() == np.zeros((2, FIELDS)).tolist()
    assert direction(jnp.ones((2, 3))).shape == (2, 3)


def test_every_form_of_one_noise_has_one_grain(variables):
    label_map, z = labels(), vectors(7)
    images = [
        image_of(generator(), variables, label_map, noise)
        for noise in (z, jnp.broadcast_to(z[:, None], (1, N, Z)), jnp.broadcast_to(z[:, None, None], (1, *SIZE, Z)))
    ]
    regions = from_regions(label_map, np.zeros_like(label_map), np.asarray(z)[:, None], N)
    images.append(image_of(generator(), variables, regions))
    for image in images[1:]:
        np.testing.assert_allclose(image, images[0], atol=2e-5)


def test_another_vector_of_a_class_changes_the_grain_of_its_pixels_alone():
    label_map = labels()
    old, new = (jnp.asarray(vectors(0, 1, 2, 3)[None].at[0, 2].set(vectors(seed)[0])) for seed in (2, 9))
    before, after = (grain(from_noise(label_map, z, N).directions(Z, *SIZE), 0, *SIZE) for z in (old, new))
    assert ((before != after) <= (label_map == 2)).all() and (before != after)[label_map == 2].mean() > 0.99


def test_without_strength_the_image_is_that_of_the_generator_without_grain():
    label_map, z = labels(), vectors(7)
    made = initial(generator(), label_map, z)
    plain = generator(0)
    params = {name: {k: v for k, v in block.items() if not k.startswith("grain")} for name, block in made["params"].items()}
    images = image_of(generator(), made, label_map, z), image_of(plain, {**made, "params": params}, label_map, z)
    np.testing.assert_allclose(*images, atol=1e-6)


def test_the_inside_of_one_class_varies_from_pixel_to_pixel(variables):
    flat = np.zeros((1, *SIZE), np.int32)
    image = np.asarray(image_of(generator(), variables, flat, vectors(1)))[0]
    plain = {**variables, "params": jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.zeros_like(leaf) if path[-1].key == "strength" else leaf, variables["params"])}
    without = np.asarray(image_of(generator(), plain, flat, vectors(1)))[0]
    inside = np.s_[12:20, 20:44]
    assert np.abs(np.diff(image[inside], axis=1)).mean() > 10 * np.abs(np.diff(without[inside], axis=1)).mean()


def test_the_finest_blocks_have_grain():
    params = jax.eval_shape(lambda: generator(2).init(jax.random.key(0), labels(), vectors(0)))["params"]
    assert [any(name.startswith("grain") for name in params[f"block_{i}"]) for i in range(3)] == [False, True, True]


def test_the_switch_of_older_checkpoints_means_all_blocks():
    config = tiny_config()
    for value, blocks in ((False, 0), (True, 3), (0, 0), (1, 1), (2, 2)):
        with config.unlocked():
            config.model = ConfigDict(config.model.to_dict() | {"pixel_noise": value})
        assert make_generator(config).grain_blocks == blocks
