"""Laws of the random translation of what D sees."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax.oasis import losses
from oasis_jax.oasis.draws import draw
from oasis_jax.oasis.generator import MUTABLE_G
from oasis_jax.oasis.hyperparameters import Hyperparameters
from oasis_jax.oasis.train_step import MUTABLE_D, TrainStep
from oasis_jax.oasis.translation import draw_offsets, translated
from tests.oasis.test_train_step import SIZE, N, batch_of, first_state, tiny_step

OFFSETS = jnp.asarray([[1, -3], [0, 0], [-2, 3]])
BATCH = len(OFFSETS)


def moved(array, limit=3):
    """`array` moved by OFFSETS, by padding and cutting."""
    padded = np.pad(array, [(0, 0), (limit, limit), (limit, limit)] + [(0, 0)] * (array.ndim - 3), mode="reflect")
    height, width = array.shape[1:3]
    corners = limit - np.asarray(OFFSETS)
    return np.stack([one[y : y + height, x : x + width] for one, (y, x) in zip(padded, corners, strict=True)])


@pytest.mark.parametrize("shape, dtype", [((3, 5, 7), np.uint8), ((3, 4, 8, 3), np.float32), ((3, 4, 4, 1), np.int32)])
def test_images_are_moved_and_reflected_at_the_border(shape, dtype):
    array = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    found, number = translated(OFFSETS, jnp.asarray(array), 1.0)
    assert found.dtype == dtype and number == 1.0
    np.testing.assert_array_equal(found, moved(array))


def test_nothing_moves_without_offsets():
    array = jnp.ones((2, 4, 4))
    assert draw_offsets(jax.random.key(0), 4, 0) is None
    assert translated(None, array)[0] is array


def test_every_offset_within_the_limit_is_equally_likely():
    offsets = np.asarray(draw_offsets(jax.random.key(0), 7000, 3))
    counts = np.stack([np.bincount(column + 3, minlength=7) for column in offsets.T])
    assert counts.shape == (2, 7) and (abs(counts - 1000) < 5 * np.sqrt(1000)).all()
    assert abs(np.corrcoef(offsets.T)[0, 1]) < 5 / np.sqrt(7000)


def test_the_two_updates_move_differently_and_draw_the_rest_as_without():
    labels = jnp.zeros((8, *SIZE), jnp.int32)
    drawn, later = (draw(0, step, labels, N, 2, translation=1) for step in (0, 1))
    assert len({np.asarray(offsets).tobytes() for draws in (drawn, later) for offsets in (draws.offsets_g, draws.offsets_d)}) == 4
    rest = dataclasses.replace(drawn, offsets_g=None, offsets_d=None)
    jax.tree.map(np.testing.assert_array_equal, rest, draw(0, 0, labels, N, 2))


@pytest.fixture
def given(float64):
    """(step, state, (image, label_map, weights), draws with OFFSETS in both updates), in float64."""
    step = tiny_step()
    batch = batch_of(BATCH)
    label_map = jnp.asarray(batch["label_map"].astype(np.int32))
    draws = dataclasses.replace(draw(0, 0, label_map, N, 2), offsets_g=OFFSETS, offsets_d=OFFSETS)
    return step, first_state(step), (jnp.asarray(batch["image"] / 127.5 - 1), label_map, step.pixel_weights(label_map)), draws


def test_d_learns_from_moved_images_and_label_maps(given):
    step, state, (image, label_map, weights), draws = given
    fake = jnp.flip(image, 2)
    draws = dataclasses.replace(draws, offsets_g=None)
    plain = dataclasses.replace(draws, offsets_d=jnp.zeros_like(OFFSETS))
    loss = jax.jit(jax.value_and_grad(lambda params, *given: step.discriminator_loss(params, state, *given), has_aux=True))
    found, unmoved = (loss(state.discriminator["params"], image, fake, label_map, weights, each) for each in (draws, plain))
    *arrays, mask = (jnp.asarray(moved(np.asarray(array))) for array in (image, fake, label_map, weights, draws.labelmix_mask))
    expected = loss(state.discriminator["params"], *arrays, dataclasses.replace(plain, labelmix_mask=mask))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12), found, expected)
    assert abs(found[0][0] - unmoved[0][0]) > 1e-6


def test_g_learns_from_what_d_sees_of_its_moved_images(given):
    """The perceptual loss and shared fakes are those of its images as they are. Without class balance, the weights are a number."""
    step, state, (image, label_map, _), draws = given
    hyper = Hyperparameters(balance=False, shared_fakes=True, perceptual=2.0)
    step = dataclasses.replace(step, hyper=hyper, features=lambda image: [(1.0, image)])
    draws = dataclasses.replace(draws, offsets_d=None)
    given = image, label_map, step.pixel_weights(label_map), draws
    _, (metrics, _, _, shared) = jax.jit(step.generator_loss)(state.generator["params"], state, *given)

    apply = jax.jit(lambda *given: step.generator.apply(*given, train=True, mutable=MUTABLE_G))
    fake, _ = apply(state.generator, label_map, draws.noise_g)
    np.testing.assert_allclose(shared, fake, rtol=0, atol=1e-12)
    np.testing.assert_allclose(metrics["loss_g_perceptual"], 2 * jnp.abs(fake - image).mean(), rtol=1e-12)
    seen, labels = (jnp.asarray(moved(np.asarray(array))) for array in (fake, label_map))
    logits, _ = jax.jit(lambda *given: step.discriminator.apply(*given, train=True, mutable=MUTABLE_D))(state.discriminator, seen)
    np.testing.assert_allclose(metrics["loss_g"], losses.real_target_loss(logits, labels, 1.0), rtol=1e-12)


def test_a_step_draws_its_translations_by_the_hyperparameter():
    class Shown(TrainStep):
        def update(self, state, image, label_map, draws):
            return draws

    step = Shown(**{**vars(tiny_step()), "seed": 5, "hyper": Hyperparameters(translation=1)})
    batch, state = batch_of(2), first_state(step).replace(step=3)
    expected = draw(5, 3, jnp.asarray(batch["label_map"].astype(np.int32)), N, 2, translation=1)
    jax.tree.map(np.testing.assert_array_equal, step(state, batch), expected)
