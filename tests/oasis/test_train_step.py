"""Laws of the whole training step, on tiny networks."""
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax.oasis import refresh
from oasis_jax.oasis.discriminator import Discriminator
from oasis_jax.oasis.draws import draw_noise
from oasis_jax.oasis.generator import Generator
from oasis_jax.oasis.train_step import Hyperparameters, TrainStep, draw
from oasis_jax.parallel.mesh import make_mesh, over_batch, put_batch, replicated
from oasis_jax.updates import adam_without_momentum, descend

N, SIZE = 4, (4, 8)


def tiny_step(num_blocks=2, **fields):
    dtype = jnp.float64 if jax.config.jax_enable_x64 else jnp.float32
    return TrainStep(
        generator=Generator(num_classes=N, num_blocks=num_blocks, channels=2, spade_hidden=3, z_dim=2, dtype=dtype),
        discriminator=Discriminator(num_classes=N, num_blocks=num_blocks, channels=(3, 4)[:num_blocks], last=2, dtype=dtype),
        optimizer_g=adam_without_momentum(1e-3),
        optimizer_d=adam_without_momentum(2e-3),
        hyper=Hyperparameters(ema_decay=0.9),
        **fields,
    )


def first_state(step):
    return jax.jit(lambda: step.init(SIZE))()  # compiled: operation by operation, it would take longer than the tests themselves


def batch_of(size, seed=0):
    rng = np.random.default_rng(seed)
    return {"image": rng.integers(0, 256, (size, *SIZE, 3), np.uint8), "label_map": rng.integers(0, N, (size, *SIZE), np.uint8)}


def compiled_on(mesh, step):
    rep, data = replicated(mesh), over_batch(mesh)
    return jax.jit(step, in_shardings=(rep, data), out_shardings=(rep, rep), donate_argnums=0)


@pytest.fixture(scope="module")
def run():
    """One update on one device: (copies of the state before and after, metrics, compiled step, step, the states themselves)."""
    step = tiny_step()
    mesh = make_mesh(jax.devices()[:1])
    compiled = compiled_on(mesh, step)
    before = jax.jit(lambda: first_state(step), out_shardings=replicated(mesh))()
    kept = jax.tree.map(np.array, before)  # copies: a view would keep the state from being donated
    after, metrics = compiled(before, put_batch(batch_of(2), mesh))
    return kept, jax.tree.map(np.array, after), jax.device_get(metrics), compiled, step, before, after


def differences(a, b):
    return [np.max(np.abs(np.asarray(x, np.float64) - y)) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)]


def test_ema_is_the_decayed_average_of_every_variable_of_the_generator(run):
    before, after = run[:2]
    expected = jax.tree.map(lambda average, new: 0.9 * average + 0.1 * new, before.ema, after.generator)
    assert max(differences(after.ema, expected)) < 1e-6
    assert after.step == 1


def test_all_parameters_vectors_and_statistics_move(run):
    before, after, metrics = run[:3]
    for moved in (differences(before.generator, after.generator), differences(before.discriminator, after.discriminator)):
        assert np.mean(np.asarray(moved) > 0) > 0.9
    assert sorted(metrics) == ["di_seg_of_batch", "loss_d_fake", "loss_d_labelmix", "loss_d_real", "loss_g"]
    assert all(np.isfinite(value) for value in metrics.values())


def test_a_refresh_in_parts_is_the_mean_of_refreshes_on_the_parts(float64):
    step, batch = tiny_step(), batch_of(4)
    state = first_state(step)
    in_parts = dataclasses.replace(step, hyper=dataclasses.replace(step.hyper, accumulate=2)).averaged(state, [(7, batch)])
    labels = jnp.asarray(batch["label_map"], jnp.int32)
    noise = draw_noise(jax.random.fold_in(jax.random.fold_in(jax.random.key(step.seed), 7), refresh.REFRESH), 4, step.generator.z_dim)
    forward = jax.jit(functools.partial(step.generator.apply, train=True, mutable=refresh.MUTABLE_G))
    parts = [forward(state.ema, labels[first::2], noise[first::2])[1] for first in (0, 1)]
    expected = jax.tree.map(lambda *leaves: sum(leaves) / 2, *parts)
    assert max(differences({name: in_parts[name] for name in expected}, expected)) < 1e-12
    whole = step.averaged(state, [(7, batch)])
    assert max(differences(in_parts["params"], state.ema["params"])) == 0 and max(differences(in_parts, whole)) > 1e-6


def test_state_is_donated_and_the_step_is_compiled_once(run):
    compiled, before, after = run[3], run[5], run[6]
    kept = [path for path, leaf in jax.tree_util.tree_leaves_with_path(before) if not leaf.is_deleted()]
    assert all(str(path[-1]) == "['v']" for path in kept), kept  # a power iteration starts from u, so that a step does not read the old v
    mesh, state = make_mesh(jax.devices()[:1]), jax.tree.map(jnp.copy, after)
    state = jax.device_put(state, replicated(mesh))
    for seed in range(3):
        state, _ = compiled(state, put_batch(batch_of(2, seed), mesh))
    assert compiled._cache_size() == 1
    assert int(state.step) == 4


def test_update_of_the_generator_leaves_the_parameters_of_the_discriminator_alone(run):
    before, step = run[0], run[4]
    batch = batch_of(2)
    labels = jnp.asarray(batch["label_map"], jnp.int32)
    drawn = draw(0, 0, labels, N, 2)
    update = functools.partial(step.update_generator, image=jnp.zeros((2, *SIZE, 3)), label_map=labels, weights=1.0, draws=drawn)
    jaxpr = jax.make_jaxpr(lambda state: update(state)[0].discriminator["params"])(before).jaxpr
    assert set(jaxpr.outvars) <= set(jaxpr.invars)  # returned unchanged


def test_feature_loss_adds_its_weighted_term():
    step = tiny_step(features=lambda image: [(0.5, image), (2.0, image[:, ::2])])
    step = dataclasses.replace(step, hyper=dataclasses.replace(step.hyper, perceptual=10.0))
    state, batch = jax.eval_shape(lambda: first_state(step)), batch_of(2)
    state = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.1, leaf.dtype), state)
    labels, image = jnp.asarray(batch["label_map"], jnp.int32), jnp.zeros((2, *SIZE, 3))
    drawn = draw(0, 0, labels, N, 2)

    @jax.jit
    def losses(state):
        loss, (metrics, *_) = step.generator_loss(state.generator["params"], state, image, labels, 1.0, drawn)
        mutable = ["batch_stats", "spectral_norm"]
        return loss, metrics, step.generator.apply(state.generator, labels, drawn.noise_g, train=True, mutable=mutable)

    loss, metrics, (fake, _) = losses(state)
    expected = 10 * (0.5 * np.abs(fake).mean() + 2 * np.abs(fake[:, ::2]).mean())
    np.testing.assert_allclose(metrics["loss_g_perceptual"], expected, rtol=1e-5)
    np.testing.assert_allclose(loss, metrics["loss_g"] + expected, rtol=1e-5)


def test_update_of_the_discriminator_in_parts_is_that_of_the_whole_batch(float64):
    step, batch = tiny_step(num_blocks=1), batch_of(4)
    state, label_map = first_state(step), jnp.asarray(batch["label_map"], jnp.int32)
    image, fake = (jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, (4, *SIZE, 3))) for seed in range(2))
    given = (image, fake, label_map, step.pixel_weights(label_map), draw(0, 0, label_map, N, 2))

    @functools.partial(jax.jit, static_argnums=0)
    def update(parts):
        def loss(params, *part):
            return step.discriminator_loss(params, state, *part)

        return descend(loss, state.discriminator["params"], step.optimizer_d, state.opt_state_d, given, parts)

    (whole, *_, (metrics, statistics)), (accumulated, *_, (of_parts, statistics_of_parts)) = update(1), update(2)
    assert max(differences(whole, accumulated)) < 1e-12 and max(differences(statistics, statistics_of_parts)) < 1e-14
    for name in ("loss_d_fake", "loss_d_real", "loss_d_labelmix"):
        np.testing.assert_allclose(of_parts[name], metrics[name], rtol=1e-13)


def test_update_of_the_generator_in_parts_is_that_of_the_whole_batch_if_the_parts_are_alike(float64):
    """Batch statistics are computed per part, so the updates agree only then. Part i has the examples i, i + 2, ..."""
    step, (image, label_map) = tiny_step(num_blocks=1), (np.repeat(array, 2, axis=0) for array in batch_of(2).values())
    label_map = jnp.asarray(label_map, jnp.int32)
    draws = jax.tree.map(lambda array: jnp.repeat(array, 2, axis=0), draw(0, 0, label_map[::2], N, 2))
    state, given = first_state(step), (jnp.asarray(image / 127.5 - 1), label_map, step.pixel_weights(label_map), draws)

    def update(parts):
        accumulating = dataclasses.replace(step, hyper=dataclasses.replace(step.hyper, accumulate=parts))
        return jax.jit(accumulating.update_generator)(state, *given)

    (whole, metrics, _), (accumulated, of_parts, _) = update(1), update(2)
    assert max(differences(whole.generator["params"], accumulated.generator["params"])) < 1e-12
    assert max(differences(whole.discriminator, accumulated.discriminator)) < 1e-14
    np.testing.assert_allclose(of_parts["loss_g"], metrics["loss_g"], rtol=1e-13)


def test_shared_fakes_are_those_of_the_generator_before_its_update(float64):
    step, batch = tiny_step(num_blocks=1), batch_of(2)
    state, label_map = first_state(step), jnp.asarray(batch["label_map"], jnp.int32)
    sharing = dataclasses.replace(step, hyper=dataclasses.replace(step.hyper, shared_fakes=True))
    image, weights, draws = jnp.asarray(batch["image"] / 127.5 - 1), step.pixel_weights(label_map), draw(0, 0, label_map, N, 2)

    def by_hand(state):
        after, metrics_g, none = step.update_generator(state, image, label_map, weights, draws)
        mutable = ["batch_stats", "spectral_norm"]
        fake, statistics = step.generator.apply(state.generator, label_map, draws.noise_g, train=True, mutable=mutable)
        assert none is None
        after, metrics_d = step.update_discriminator(after, image, fake, label_map, weights, draws)
        return after.discriminator, {"params": after.generator["params"], **statistics}, metrics_g | metrics_d

    @jax.jit  # one program, because G's update, which all share, takes long to compile
    def updates(state):
        return by_hand(state), sharing.update(state, image, label_map, draws), step.update(state, image, label_map, draws)[1]

    (discriminator, generator, expected), (after, metrics), new_fakes = updates(state)
    assert max(differences(after.discriminator, discriminator)) < 1e-12
    assert max(differences(after.generator, generator)) < 1e-12  # whose statistics were updated by one pass
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-10)
    np.testing.assert_allclose(new_fakes["loss_g"], metrics["loss_g"], rtol=1e-12)
    assert abs(new_fakes["loss_d_fake"] - metrics["loss_d_fake"]) > 1e-9


def test_draws_differ_between_steps_and_purposes_and_repeat():
    labels = jnp.asarray(batch_of(3)["label_map"], jnp.int32)
    first, again, later = (draw(7, step, labels, N, 2) for step in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.array_equal(first.noise_g, first.noise_d)
    assert not np.array_equal(first.noise_g, later.noise_g)
