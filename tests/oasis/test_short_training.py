"""Laws of the options for short runs: first steps of other kinds, an average of weights with a warm-up, and class weights with a limit."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from oasis_jax.family import lacking_at, step_at
from oasis_jax.layers.resampling import downsample
from oasis_jax.oasis import family
from oasis_jax.oasis.losses import class_weights
from tests.oasis.test_train_step import N, batch_of, differences, first_state, tiny_step

SIZE = (8, 16)


def large_batch():
    rng = np.random.default_rng(0)
    return {"image": rng.integers(0, 256, (2, *SIZE, 3), np.uint8), "label_map": rng.integers(0, N, (2, *SIZE), np.uint8)}


def with_first_steps(num_blocks=2, **counts):
    plain = tiny_step(num_blocks)
    return dataclasses.replace(plain, hyper=dataclasses.replace(plain.hyper, **counts))


def test_the_number_of_a_step_says_its_kind():
    step = with_first_steps(segmentation_steps=2, coarse_steps=3)
    assert [step_at(step, number).kind for number in range(5)] == ["segmentation", "segmentation", "coarse", "whole", "whole"]
    assert step_at(step, 3) == step
    plain = tiny_step()
    assert all(step_at(plain, number) is plain for number in range(3))


def test_steps_of_segmentation_change_the_discriminator_alone():
    step = with_first_steps(segmentation_steps=100)
    update, before = jax.jit(step.at(0)), first_state(step)
    after, metrics = update(before, batch_of(2))
    assert after.step == 1 and list(metrics) == ["loss_d_real"]
    for name in ("generator", "ema", "opt_state_g"):
        assert max(differences(getattr(before, name), getattr(after, name))) == 0, name
    moved = np.asarray(differences(before.discriminator["params"], after.discriminator["params"]))
    assert np.mean(moved > 0.0019) > 0.8  # Adam's first step moves most parameters by the learning rate, 0.002
    for _ in range(50):
        after, later = update(after, batch_of(2))
    assert later["loss_d_real"] < metrics["loss_d_real"] - 0.1


def test_a_coarse_step_is_the_step_on_half_the_height_and_width():
    step, batch = with_first_steps(num_blocks=1, coarse_steps=1), large_batch()
    before = jax.jit(lambda: step.init(SIZE))()
    halved = {"image": downsample(batch["image"].astype(jnp.float32)), "label_map": batch["label_map"][:, ::2, ::2]}
    expected, metrics = jax.jit(step)(before, halved)
    after, found = jax.jit(step.at(0))(before, batch)
    assert max(differences(after, expected)) < 1e-6
    assert sorted(metrics) == sorted(found) and abs(float(metrics["loss_g"] - found["loss_g"])) < 1e-6


def test_coarse_steps_need_images_that_can_be_halved():
    config = default.get_config()
    config.data.num_classes, config.data.image_size, config.train.coarse_steps = 4, (64, 192), 5
    with pytest.raises(ValueError, match="train.coarse_steps=5 needs images of half the height and width: image size 32x96 does not fit"):
        family.train_step(config)


def test_coarse_steps_come_after_those_of_segmentation():
    config = default.get_config()
    config.data.num_classes, config.train.segmentation_steps, config.train.coarse_steps = 4, 300, 300
    with pytest.raises(ValueError, match="train.coarse_steps=300 leaves no step at half .* train.segmentation_steps=300"):
        family.train_step(config)


def test_a_run_that_ends_in_its_first_steps_says_what_it_lacks():
    step = with_first_steps(segmentation_steps=2, coarse_steps=3)
    assert "with 2 steps in all, G is not trained" in lacking_at(step, 2)
    assert "with 3 steps in all, nothing is trained at the full height and width" in lacking_at(step, 3)
    assert lacking_at(step, 4) == lacking_at(tiny_step(), 1) == ""


def test_the_logged_rates_are_those_of_the_updates(float64):
    """Also after steps of segmentation, in which G is not updated."""
    config = default.get_config()
    config.data.num_classes = 4
    config.train.update(segmentation_steps=5, warmup_steps=3, half_life=7, linear_decay=(8, 16))
    step, gradient = family.train_step(config), jnp.array([2.0, -5.0])
    for name, optimizer, first in (("lr_g", step.optimizer_g, 5), ("lr_d", step.optimizer_d, 0)):
        state = optimizer.init(gradient)
        for number in range(16):
            if number < first:
                assert step.learning_rates(number)[name] == 0
                continue
            update, state = optimizer.update(gradient, state)
            np.testing.assert_allclose(update, -step.learning_rates(number)[name] * np.sign(gradient), rtol=1e-5, atol=1e-15)
    assert step.learning_rates(14)["lr_g"] > 0 and set(step.learning_rates(15).values()) == {0.0}


@pytest.mark.parametrize("first", [0, 4])
def test_an_average_with_a_warm_up_forgets_how_it_began(first):
    plain = tiny_step(num_blocks=1)
    hyper = dataclasses.replace(plain.hyper, ema_decay=0.9, ema_warmup=True, segmentation_steps=first)
    step = jax.jit(dataclasses.replace(plain, hyper=hyper))
    before = first_state(plain)
    for number, decay in ((first, 0.1), (first + 5, 6 / 15), (1000, 0.9)):
        after, _ = step(before.replace(step=jnp.int32(number)), batch_of(2))
        expected = jax.tree.map(lambda average, new, decay=decay: decay * average + (1 - decay) * new, before.ema, after.generator)
        assert max(differences(after.ema, expected)) < 1e-6, number


def test_no_class_weighs_more_than_the_limit():
    label_map = np.zeros((1, 8, 8), np.int32)
    label_map[0, 0, 0], label_map[0, 4:] = 1, 2
    free, limited = (np.asarray(class_weights(label_map, 4, -1, limit=limit)) for limit in (0.0, 3.0))
    assert free.max() > 20 and limited.max() == 3
    np.testing.assert_array_equal(limited, np.minimum(free, 3))
