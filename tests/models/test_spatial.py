"""Laws of rendered heatmaps, of the resize, and of the spatially aware generator."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax import heatmaps
from oasis_jax.models import Generator
from oasis_jax.models.spatial import instance_norm, interpolation_matrix, render, resize

OASIS = Generator(num_classes=3, num_blocks=4, channels=1, spade_hidden=2, z_dim=2)
AWARE = dataclasses.replace(OASIS, sel_blocks=("l1", "l2", "l3", "cat"))
LABELS = np.random.default_rng(0).integers(3, size=(2, 16, 32))
NOISE = np.random.default_rng(1).standard_normal((2, 2)).astype(np.float32)
HEATMAPS = np.stack([heatmaps.of_seed(i) for i in range(2)])


@pytest.fixture(scope="module")
def variables():
    return AWARE.init(jax.random.key(0), LABELS, NOISE, HEATMAPS)


def test_moving_all_centres_by_pixels_moves_the_maps_by_them():
    size, rows, columns = (17, 33), 3, -5
    before = render(HEATMAPS, size)
    moved = HEATMAPS + np.float32([2 * rows / (size[0] - 1), 2 * columns / (size[1] - 1), 0])
    after = render(moved, size)
    np.testing.assert_allclose(after[:, 3:, :-5], before[:, :-3, 5:], rtol=0, atol=1e-5)
    assert np.abs(after - before).max() > 0.1


@pytest.mark.parametrize("size", [(24, 24), (16, 48), (48, 16)])
def test_a_map_is_highest_at_its_centre_at_any_aspect_ratio(size):
    rng = np.random.default_rng(0)
    pixels = np.stack([rng.integers(side, size=(4, 7)) for side in size], axis=-1)
    centres = 2 * pixels / (np.asarray(size) - 1) - 1
    maps = np.asarray(render(jnp.asarray(heatmaps.explicit(centres, 0.3)), size))
    highest = np.stack(np.unravel_index(maps.reshape(4, -1, 7).argmax(1), size), axis=-1)
    np.testing.assert_array_equal(highest, pixels)
    np.testing.assert_allclose(maps.max((1, 2)), 1.01, rtol=1e-6)


def test_isotropic_bumps_are_round_and_others_have_the_aspect_ratio():
    size, centre = (65, 129), heatmaps.explicit(np.zeros((7, 2)), 0.2)
    level = np.exp(-1) + 0.01  # at a distance of sqrt(0.2) from the centre

    def axes(maps):
        return np.asarray([(maps[0, :, 64, 0] > level).sum(), (maps[0, 32, :, 0] > level).sum()])

    np.testing.assert_allclose(axes(np.asarray(render(centre, size))), np.sqrt(0.2) * np.asarray([64, 128]), atol=2)
    np.testing.assert_allclose(axes(np.asarray(render(centre, size, isotropic=True))), np.sqrt(0.2) * 64, atol=2)


@pytest.mark.parametrize("size", [(5, 9), (9, 17), (17, 17), (1, 1)])
def test_resize_of_a_plane_is_the_plane(size):
    """Bilinear interpolation with corners on corners reproduces what is linear."""
    y, x = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 17), indexing="ij")
    plane = np.stack([y, x, 2 * y - x + 1], -1)[None].astype(np.float32)
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) if side > 1 else np.array([-1.0]) for side in size), indexing="ij")
    np.testing.assert_allclose(resize(jnp.asarray(plane), size)[0], np.stack([y, x, 2 * y - x + 1], -1), atol=1e-6)


def test_interpolation_uses_two_neighbours_whose_weights_sum_to_one():
    matrix = interpolation_matrix(12, 7)
    np.testing.assert_allclose(matrix.sum(1), 1)
    assert ((matrix > 1e-12).sum(1) <= 2).all()


def test_instance_norm_gives_each_channel_of_each_image_zero_mean_and_unit_variance():
    x = 5 + 3 * np.random.default_rng(0).standard_normal((2, 6, 8, 3)).astype(np.float32)
    y = np.asarray(instance_norm(jnp.asarray(x)))
    np.testing.assert_allclose(y.mean((1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(y.std((1, 2)), 1, atol=1e-5)


def test_without_sel_blocks_the_generator_is_that_of_oasis(variables):
    paths = {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(OASIS.init(jax.random.key(0), LABELS, NOISE))}
    aware = {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(variables)}
    assert paths < aware
    assert all("heatmap_encoder" in path or "sel_" in path for path in aware - paths)


def test_a_fresh_spatially_aware_generator_makes_the_images_of_oasis_to_the_last_bit(variables):
    """The last convolution of every SEL starts at zero; an OASIS checkpoint is thus not disturbed either."""
    for train in (False, True):
        arguments = {"train": train, "mutable": ["batch_stats", "spectral_norm"]}
        plain, _ = OASIS.apply(variables, LABELS, NOISE, **arguments)
        aware, _ = AWARE.apply(variables, LABELS, NOISE, HEATMAPS, **arguments)
        np.testing.assert_array_equal(plain, aware)


def moved_output_weights(variables):
    """The SELs no longer at zero, and kernels large enough for their effect to be seen."""
    def change(path, leaf):
        name = jax.tree_util.keystr(path)
        if "sel_" in name and "output" in name:
            return jnp.ones_like(leaf)
        return 30 * leaf if "kernel" in name else leaf

    return jax.tree_util.tree_map_with_path(change, variables)


def test_every_weight_of_the_encoder_and_the_sels_learns_once_the_branches_have_moved(variables):
    def loss(params, variables):
        image = AWARE.apply({**variables, "params": params}, LABELS, NOISE, HEATMAPS)
        return jnp.sum(jnp.sin(3 * image + jnp.arange(32)[:, None]))

    gradient = jax.jit(jax.grad(loss))
    fresh = jax.tree_util.tree_leaves_with_path(gradient(variables["params"], variables))
    learning = {path[0].key + "/" + path[1].key for path, leaf in fresh if ("sel" in path[0].key or "heat" in path[0].key) and np.any(leaf)}
    assert learning == {f"sel_{i}/output" for i in range(4)}
    moved = moved_output_weights(variables)
    later = jax.tree_util.tree_leaves_with_path(gradient(moved["params"], moved))
    still = [jax.tree_util.keystr(path) for path, leaf in later if ("sel" in path[0].key or "heat" in path[0].key) and not np.any(leaf)]
    assert not still


def test_heatmaps_move_the_image_once_the_branches_have_moved(variables):
    moved = moved_output_weights(variables)
    here, there = (AWARE.apply(moved, LABELS, NOISE, h) for h in (HEATMAPS, heatmaps.moved(HEATMAPS, (0.5, -0.5))))
    assert np.abs(here - there).max() > 1e-3


def test_rematerialisation_does_not_change_the_gradients_of_the_sels(variables):
    moved = moved_output_weights(variables)

    def gradient(generator):
        def loss(params):
            return jnp.sum(jnp.sin(3 * generator.apply({**moved, "params": params}, LABELS, NOISE, HEATMAPS)))

        return jax.jit(jax.grad(loss))(moved["params"])

    plain, remat = gradient(AWARE), gradient(dataclasses.replace(AWARE, remat=True))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), plain, remat)


@pytest.mark.parametrize("side", [16, 48])
def test_any_size_that_fits_the_generator_fits_the_heatmaps(variables, side):
    image = AWARE.apply(variables, np.zeros((1, side, 24), int), NOISE[:1], HEATMAPS[:1])
    assert image.shape == (1, side, 24, 3)


def test_heatmaps_and_generator_must_fit_each_other(variables):
    with pytest.raises(ValueError, match="heatmaps were given to a generator made without model.spatial_awareness"):
        OASIS.apply(variables, LABELS, NOISE, HEATMAPS)
    with pytest.raises(ValueError, match="no heatmaps were given to a generator made with"):
        AWARE.apply(variables, LABELS, NOISE)
    with pytest.raises(ValueError, match=r"heatmaps are \(2, 6, 3\), but should be \(B, 7, 3\)"):
        AWARE.apply(variables, LABELS, NOISE, HEATMAPS[:, :6])
