"""Laws of one optimiser update."""
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from oasis_jax.updates import adam_without_momentum, descend, in_parts, in_steps, rate_at, rate_in_run

BATCH = 12


def given(seed=0):
    rng = np.random.default_rng(seed)
    return {"x": jnp.asarray(rng.normal(size=(BATCH, 3))), "none": None}, jnp.asarray(2.0)


def loss(params, batch, scale):
    errors = scale * jnp.square(batch["x"] @ params - 1)
    return jnp.mean(errors), {"mean": jnp.mean(batch["x"], 0), "largest": jnp.max(errors)}


@pytest.mark.parametrize("parts", [2, 3, 4, 12])
def test_an_update_in_parts_is_that_of_the_whole_batch(float64, parts):
    params, optimizer = jnp.arange(3.0), optax.sgd(0.1)
    whole, _, aux = descend(loss, params, optimizer, optimizer.init(params), given())
    accumulated, _, aux_of_parts = jax.jit(lambda params: descend(loss, params, optimizer, optimizer.init(params), given(), parts))(params)
    np.testing.assert_allclose(accumulated, whole, rtol=1e-13)
    np.testing.assert_allclose(aux_of_parts["mean"], aux["mean"], rtol=1e-12)
    assert aux_of_parts["largest"] < aux["largest"]  # the mean of the maxima of the parts


def test_every_part_has_examples_of_all_of_the_batch():
    less_the_first, _ = in_parts(lambda x: (x - x[0], ()), (jnp.arange(6),), 2)
    np.testing.assert_array_equal(less_the_first, [0, 0, 2, 2, 4, 4])


def test_what_is_computed_in_parts_is_joined_in_order():
    joined, mean = in_parts(lambda x, scale: (x * scale, x.mean()), (jnp.arange(6.0), 3.0), 3)
    np.testing.assert_array_equal(joined, 3 * np.arange(6))
    assert mean == 2.5


def test_learning_rates_rise_stay_halve_and_fall(float64):
    counts = np.array([0, 4, 9, 99, 199])
    np.testing.assert_allclose([rate_at(count, 0.3) for count in counts], 0.3)
    np.testing.assert_allclose([rate_at(count, 0.3, warmup_steps=10) for count in counts], [0.03, 0.15, 0.3, 0.3, 0.3])
    np.testing.assert_allclose([rate_at(count, 0.3, half_life=100) for count in counts], 0.3 * 0.5 ** ((counts + 1) / 100))
    np.testing.assert_allclose(rate_at(199, 0.3, warmup_steps=400, half_life=100), 0.3 / 8)
    np.testing.assert_allclose([rate_at(count, 0.3, linear_decay=(50, 150)) for count in counts], [0.3, 0.3, 0.3, 0.15, 0.0], atol=1e-12)
    np.testing.assert_allclose(rate_at(99, 0.3, half_life=100, linear_decay=(50, 150)), 0.3 / 4)


@pytest.mark.parametrize(
    "decay, num_steps, steps",
    [
        ((50, 150), 100, (50, 150)), ((0.5, 1), 100, (50, 100)), ((0.5, 1.0), 5301, (2650, 5301)), ((0, 1), 100, (0, 100)), ((), 100, ()),
        ((0.5, 1), 0, ()), ((0.5, 1), 3, ()), ((0.5, 1), 4, (2, 4)),
    ],
)  # fmt: skip
def test_a_decay_may_be_given_in_shares_of_the_run(decay, num_steps, steps):
    assert in_steps(decay, num_steps) == steps


def test_a_network_that_is_updated_later_warms_up_later_and_has_the_rates_of_the_run(float64):
    over_time = {"half_life": 100, "linear_decay": (50, 150)}
    for count in (0, 4, 60, 110):
        skipped = rate_at(count, 0.3, warmup_steps=10, skipped=40, **over_time)
        np.testing.assert_allclose(skipped, rate_at(count + 40, 0.3, **over_time) * min(1, (count + 1) / 10))
        assert rate_in_run(count + 40, 0.3, warmup_steps=10, skipped=40, **over_time) == skipped
    assert [rate_in_run(step, 0.3, skipped=40) for step in (0, 39, 40)] == pytest.approx([0, 0, 0.3])


def test_adam_takes_steps_of_the_rate():
    over_time = {"warmup_steps": 2, "half_life": 3, "linear_decay": (4, 7)}
    optimizer, gradient = adam_without_momentum(0.3, **over_time), jnp.array([2.0, -5.0])
    state = optimizer.init(gradient)
    for count in range(7):  # with a constant gradient, whatever its size
        step, state = optimizer.update(gradient, state)
        np.testing.assert_allclose(step, -rate_at(count, 0.3, **over_time) * np.sign(gradient), rtol=1e-5)
