"""Laws of rendered heatmaps, of the resize, and of the spatially aware generator."""
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from oasis_jax import heatmaps
from oasis_jax.layers.interpolation import interpolation_matrix, resize, weights_of_parts
from oasis_jax.layers.spatial import HeatmapEncoder, SpatialEncoding, at_level, instance_norm, render
from oasis_jax.oasis.generator import Generator

OASIS = Generator(num_classes=3, num_blocks=2, channels=2, spade_hidden=2, z_dim=2)
AWARE = dataclasses.replace(OASIS, sel_blocks=("l1", "cat"))
LABELS = np.random.default_rng(0).integers(3, size=(2, 8, 16))
NOISE = np.random.default_rng(1).standard_normal((2, 2)).astype(np.float32)
HEATMAPS = np.stack([heatmaps.of_seed(i) for i in range(2)])


def variables_of(generator, *inputs):
    """Random variables, large enough for every layer to have an effect on the image; the SELs' last layers are zero, as initially."""
    rng = np.random.default_rng(2)

    def fill(path, leaf):
        name = jax.tree_util.keystr(path)
        if "'output'" in name:
            return np.zeros(leaf.shape, leaf.dtype)
        if name.endswith(("['u']", "['v']")):
            return np.full(leaf.shape, leaf.size**-0.5, leaf.dtype)
        values = rng.normal(1 if name.endswith("['var']") else 0.1, 0.3, leaf.shape).astype(leaf.dtype)
        return 0.01 * values if "conv_out" in name else values  # so that tanh is not saturated

    return jax.tree_util.tree_map_with_path(fill, jax.eval_shape(generator.init, jax.random.key(0), *inputs))


def with_branches(variables):
    """The same variables, but with ones in the last layers of the SELs."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: np.ones_like(leaf) if "'output'" in jax.tree_util.keystr(path) else leaf, variables
    )


def apply(generator, *inputs, train=False):
    return generator.apply(*inputs, train=train, mutable=["batch_stats", "spectral_norm"])[0]


@functools.cache
def compiled(generator):
    """Compiled function (variables, labels, noise[, heatmaps]) -> images."""
    return jax.jit(functools.partial(apply, generator))


@pytest.fixture(scope="module")
def variables():
    return variables_of(AWARE, LABELS, NOISE, HEATMAPS)


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
    """Bilinear interpolation with aligned corners reproduces linear functions."""
    y, x = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 17), indexing="ij")
    plane = np.stack([y, x, 2 * y - x + 1], -1)[None].astype(np.float32)
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) if side > 1 else np.array([-1.0]) for side in size), indexing="ij")
    np.testing.assert_allclose(resize(jnp.asarray(plane), size)[0], np.stack([y, x, 2 * y - x + 1], -1), atol=1e-6)


def test_interpolation_uses_two_neighbours_whose_weights_sum_to_one():
    matrix = interpolation_matrix(12, 7)
    np.testing.assert_allclose(matrix.sum(1), 1)
    assert ((matrix > 1e-12).sum(1) <= 2).all()


@pytest.mark.parametrize(("old", "new"), [(64, 8), (64, 32), (8, 64), (16, 128), (48, 24), (256, 16)])
@pytest.mark.parametrize("parts", [2, 8])
def test_parts_of_the_rows_resized_by_themselves_need_few_rows_of_their_neighbours(old, new, parts):
    weights, above, below = weights_of_parts(interpolation_matrix(old, new), parts)
    assert max(above, below) <= max(old // new, 1)
    x = np.random.default_rng(0).standard_normal((old, 3))
    seen = np.pad(x, [(above, below), (0, 0)])
    own = old // parts
    resized = [part @ seen[i * own : i * own + above + own + below] for i, part in enumerate(weights)]
    np.testing.assert_allclose(np.concatenate(resized), interpolation_matrix(old, new) @ x, atol=1e-12)


def test_instance_norm_gives_each_channel_of_each_image_zero_mean_and_unit_variance():
    x = 5 + 3 * np.random.default_rng(0).standard_normal((2, 6, 8, 3)).astype(np.float32)
    y = np.asarray(instance_norm(jnp.asarray(x)))
    np.testing.assert_allclose(y.mean((1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(y.std((1, 2)), 1, atol=1e-5)


def test_without_sel_blocks_the_generator_is_that_of_oasis(variables):
    oasis = variables_of(OASIS, LABELS, NOISE)
    paths, aware = ({jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(v)} for v in (oasis, variables))
    assert paths < aware
    assert all(path.startswith(("['params']['heatmap_encoder']", "['params']['sel_")) for path in aware - paths)


@pytest.mark.parametrize("train", [False, True])
def test_a_fresh_spatially_aware_generator_makes_the_images_of_oasis_to_the_last_bit(variables, train):
    """The last convolution of every SEL starts at zero, so an OASIS checkpoint is not disturbed either.

    Computed operation by operation: of two compiled programs, one may contract what the other rounds.
    """
    plain = apply(OASIS, variables, LABELS, NOISE, train=train)
    aware = apply(AWARE, variables, LABELS, NOISE, HEATMAPS, train=train)
    np.testing.assert_array_equal(plain, aware)


def test_a_fresh_sel_has_a_zero_branch_and_weights_of_order_one():
    x, feature = np.ones((1, 4, 4, 8), np.float32), np.ones((1, 4, 4, 32), np.float32)
    fresh = {zero: SpatialEncoding(zero_init=zero).init(jax.random.key(0), x, feature)["params"] for zero in (True, False)}
    assert not np.any(fresh[True]["output"]["weight"])
    for layer in (fresh[True]["shared"], fresh[False]["output"]):
        np.testing.assert_allclose(np.std(layer["weight"]), 1, atol=0.1)


class EncoderAndSEL(nn.Module):
    @nn.compact
    def __call__(self, x, maps):
        return SpatialEncoding(name="sel")(x, at_level(HeatmapEncoder(name="encoder")(maps), "cat", x.shape[1:3]))


def test_every_weight_of_encoder_and_sel_learns_once_the_branch_has_moved():
    x = np.random.default_rng(0).standard_normal((2, 4, 8, 3)).astype(np.float32)
    inputs = (x, render(HEATMAPS, (8, 16)))
    params = jax.jit(EncoderAndSEL().init)(jax.random.key(0), *inputs)["params"]
    gradient = jax.jit(jax.grad(lambda params: jnp.sum(EncoderAndSEL().apply({"params": params}, *inputs) ** 2)))
    learning = [jax.tree_util.keystr(path) for path, leaf in jax.tree_util.tree_leaves_with_path(gradient(params)) if np.any(leaf)]
    assert learning == ["['sel']['output']['bias']", "['sel']['output']['weight']"]
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradient(with_branches(params))))


def test_heatmaps_move_the_image_once_the_branches_have_moved(variables):
    moved = with_branches(variables)
    here, there = (compiled(AWARE)(moved, LABELS, NOISE, h) for h in (HEATMAPS, heatmaps.with_centres(HEATMAPS, (0.5, -0.5))))
    assert np.abs(here - there).max() > 1e-2


def test_heatmaps_and_generator_must_fit_each_other(variables):
    with pytest.raises(ValueError, match="heatmaps were given to a generator made without model.spatial_awareness"):
        OASIS.apply(variables, LABELS, NOISE, HEATMAPS)
    with pytest.raises(ValueError, match="no heatmaps were given to a generator made with"):
        AWARE.apply(variables, LABELS, NOISE)
    with pytest.raises(ValueError, match=r"heatmaps are \(2, 6, 3\), but should be \(B, 7, 3\)"):
        AWARE.apply(variables, LABELS, NOISE, HEATMAPS[:, :6])
