"""Laws of what is for short runs: first steps that are cheaper, an average that forgets how it began, and weights with a limit."""
import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax.layers.resampling import downsample
from oasis_jax.oasis.losses import class_weights
from tests.oasis.test_train_step import N, differences, tiny_step

SIZE = (8, 16)


def batch_of(size, seed=0):
    rng = np.random.default_rng(seed)
    return {"image": rng.integers(0, 256, (size, *SIZE, 3), np.uint8), "label_map": rng.integers(0, N, (size, *SIZE), np.uint8)}


@pytest.fixture(scope="module")
def run():
    """(plain step, states before and after a step of segmentation, a coarse one and a plain one, metrics of each), all of one program."""
    plain = tiny_step()
    states, metrics = [jax.jit(lambda: plain.init(SIZE))()], []
    hyper = dataclasses.replace(plain.hyper, segmentation_steps=1, coarse_steps=2, ema_warmup=True)
    step = jax.jit(dataclasses.replace(plain, hyper=hyper))
    for number in range(3):
        state, of_step = step(states[-1], batch_of(2, number))
        states.append(state)
        metrics.append(of_step)
    return plain, states, metrics


def without_average(state):
    return state.replace(ema=None)


def test_first_steps_of_segmentation_change_the_discriminator_alone(run):
    _, (before, after, *_), (metrics, of_coarse, _) = run
    assert after.step == 1
    for name in ("generator", "ema", "opt_state_g"):
        assert max(differences(getattr(before, name), getattr(after, name))) == 0, name
    moved = np.asarray(differences(before.discriminator["params"], after.discriminator["params"]))
    assert np.mean(moved > 0.0019) > 0.9  # by Adam's first step, its rate
    assert metrics["loss_d_real"] > 0 and metrics["loss_g"] == metrics["loss_d_fake"] == 0
    assert sorted(metrics) == sorted(of_coarse)


def test_a_coarse_step_is_the_step_on_half_the_height_and_width(run):
    plain, (_, before, after, _), (_, metrics, _) = run
    batch = batch_of(2, 1)
    halved = {"image": downsample(batch["image"].astype(jnp.float32)), "label_map": batch["label_map"][:, ::2, ::2]}
    expected, of_plain = jax.jit(plain)(before, halved)
    assert max(differences(without_average(after), without_average(expected))) < 1e-5
    assert abs(float(metrics["loss_g"] - of_plain["loss_g"])) < 1e-5


def test_what_comes_after_the_first_steps_is_the_plain_step(run):
    plain, (*_, before, after), (*_, metrics) = run
    expected, of_plain = jax.jit(plain)(before, batch_of(2, 2))
    assert max(differences(without_average(after), without_average(expected))) < 1e-5
    assert abs(float(metrics["loss_g"] - of_plain["loss_g"])) < 1e-5


def test_a_ramped_average_forgets_how_it_began(run):
    _, (_, *states), _ = run
    for number, (before, after) in enumerate(itertools.pairwise(states), 1):
        decay = (1 + number) / (10 + number)  # below 0.9, that of these tests, for 80 steps
        expected = jax.tree.map(lambda average, new, decay=decay: decay * average + (1 - decay) * new, before.ema, after.generator)
        assert max(differences(after.ema, expected)) < 1e-6


def test_no_class_weighs_more_than_the_limit():
    label_map = np.zeros((1, 8, 8), np.int32)
    label_map[0, 0, 0], label_map[0, 4:] = 1, 2
    free, limited = (np.asarray(class_weights(label_map, 4, -1, limit=limit)) for limit in (0.0, 3.0))
    assert free.max() > 20 and limited.max() == 3
    np.testing.assert_array_equal(limited, np.minimum(free, 3))
