"""Laws of EqGAN-SA's training step, on tiny networks."""
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax.eqgan import losses, train_step
from oasis_jax.eqgan.alignment import Alignment
from oasis_jax.eqgan.from_config import make_train_step
from oasis_jax.eqgan.train_step import Hyperparameters, TrainStep, draw
from oasis_jax.updates import TrainState
from tests.eqgan.tiny import DISCRIMINATOR, GENERATOR, SIDE, batch_of, random_variables, tiny_config, tiny_step

BATCH = 8


def shapes_of(step):
    return jax.eval_shape(lambda: step.init((SIDE, SIDE)))


def states(step, count, side=SIDE):
    """Returns the initial state, and for each of the first `count` steps (state after it, its metrics)."""
    state, found = jax.jit(lambda: step.init((side, side)))(), []
    before, compiled = jax.device_get(state), jax.jit(step)
    for seed in range(count):
        batch = batch_of(BATCH, seed)
        state, metrics = compiled(state, batch | {"image": batch["image"][:, :side, :side]})
        found.append(jax.device_get((state, metrics)))
    return before, found


@pytest.fixture(scope="module")
def step():
    """A TrainStep with R1 in every third step and path-length regularisation in every second."""
    return tiny_step(r1_every=3, path_length=2.0, path_every=2, style_mixing=0.5)


@pytest.fixture(scope="module")
def run(step):
    """The initial state, and [(state, metrics)] of four steps."""
    return states(step, 4)


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_regularisation_happens_in_its_steps_alone(run):
    _, found = run
    assert [bool(metrics["loss_d_r1"]) for _, metrics in found] == [True, False, False, True]
    assert [bool(metrics["loss_g_path"]) for _, metrics in found] == [True, False, True, False]
    means = [float(state.generator["path_length"]["mean"]) for state, _ in found]
    assert 0 < means[0] == means[1] != means[2] == means[3]
    counts = [int(state.opt_state_d[0].count) for state, _ in found]
    assert counts == [2, 3, 4, 6]  # the updates by R1 advance the same optimiser
    assert [int(state.opt_state_g[0].count) for state, _ in found] == [2, 3, 5, 6]


def test_every_parameter_and_running_mean_moves(run):
    before, found = run
    after = found[-1][0]
    for name in ("generator", "discriminator"):
        pairs = zip(jax.tree_util.tree_leaves_with_path(getattr(before, name)), jax.tree.leaves(getattr(after, name)), strict=True)
        still = [jax.tree_util.keystr(path) for (path, a), b in pairs if np.array_equal(a, b)]
        assert all("['noise']" in path for path in still), still
    assert all(np.isfinite(value) for _, metrics in found for value in metrics.values())
    expected = {"loss_g", "loss_g_align", "loss_g_path", "loss_d_fake", "loss_d_real", "loss_d_r1", "di_of_batch"}
    assert found[0][1].keys() == expected | {"mean_logit_real", "mean_logit_fake"}


def test_the_average_decays_with_the_images_seen_and_copies_what_is_not_trained(run):
    before, found = run
    average = before.ema["params"]
    for state, _ in found:
        decay = 0.5 ** (BATCH / 20)
        average = jax.tree.map(lambda old, new, decay=decay: decay * old + (1 - decay) * new, average, state.generator["params"])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), state.ema["params"], average)
        for name in ("averages", "noise", "path_length"):
            assert equal(state.ema[name], state.generator[name])


def test_the_ramp_limits_the_half_life_to_a_share_of_the_images_seen():
    ramped = Hyperparameters(ema_images=1000.0, ema_ramp=0.1)
    for step, half_life in ((1, 0.8), (50, 40), (1250, 1000), (9999, 1000)):
        np.testing.assert_allclose(ramped.ema_decay(step, 8), 0.5 ** (8 / half_life), rtol=1e-5)
    assert ramped.ema_decay(0, 8) == 0 and Hyperparameters(ema_images=0.0).ema_decay(5, 8) == 0
    np.testing.assert_allclose(Hyperparameters(ema_images=1000.0).ema_decay(0, 8), 0.5 ** (8 / 1000), rtol=1e-6)


def test_draws_are_functions_of_the_key_and_styles_are_mixed_from_a_row_on():
    key, image = jax.random.key(3), jnp.zeros((1000, 2, 2, 3))
    drawn, other = (draw(each, image, GENERATOR, 0.5) for each in (key, jax.random.key(4)))
    again = draw(key, 1 + image, GENERATOR, 0.5)  # for other images
    assert equal(drawn, again) and not np.array_equal(drawn.z, other.z)
    assert not np.array_equal(drawn.z, drawn.second_z)
    first = np.asarray(drawn.mixed_from)
    assert set(first) == {*range(1, GENERATOR.num_ws + 1)}  # the first row is never mixed; num_ws means that no row is
    assert 0.4 < np.mean(first < GENERATOR.num_ws) < 0.6
    plain = draw(key, image, GENERATOR)
    assert plain.second_z is None and np.array_equal(plain.z, drawn.z) and np.array_equal(plain.noise, drawn.noise)


def test_rows_of_mixed_styles_come_from_the_second_latent():
    step = tiny_step()
    variables = random_variables(GENERATOR, jnp.zeros((1, 8)), jnp.ones((1, 7, 3)))
    drawn = draw(jax.random.key(0), jnp.zeros((3, SIDE, SIDE, 3)), GENERATOR, 1.0, jnp.asarray(batch_of(3)["heatmaps"][:, 0]))
    drawn = drawn.replace(mixed_from=jnp.array([2, GENERATOR.num_ws, 1]))
    image, averages = jax.jit(step.generate)(variables, drawn)
    ws, second = (np.array(GENERATOR.apply(variables, z, method="styles")) for z in (drawn.z, drawn.second_z))
    for i, first in enumerate(np.asarray(drawn.mixed_from)):
        ws[i, first:] = second[i, first:]
    synthesise = jax.jit(lambda ws: GENERATOR.apply(variables, ws, drawn.heatmaps, drawn.noise, method="synthesise"))
    expected = synthesise(ws)
    np.testing.assert_allclose(image, expected, atol=1e-5 * np.abs(expected).max())
    mean = GENERATOR.apply(variables, drawn.z, train=True, method="styles", mutable=["averages"])[1]
    assert equal(averages, mean)  # the second latent is not averaged


def test_steps_differ_by_their_number_and_the_seed_alone(step):
    """Random numbers are functions of (seed, step, purpose)."""
    shapes, batch = shapes_of(step), batch_of(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainStep, "update", lambda self, state, image, g, d, key: (state, (g, d, jax.random.key_data(key))))
        find = [
            jax.jit(lambda number, each=each: each(shapes.replace(step=number), batch)[1])
            for each in (step, dataclasses.replace(step, seed=1))
        ]
        seen = [find[0](0), find[0](0), find[0](1), find[1](0)]
    first, again, later, other = jax.device_get(seen)
    assert equal(first, again)
    z = [draws.z for each in (first, later, other) for draws in each[:2]]
    assert len({array.tobytes() for array in z}) == 6
    for draws, purpose in zip(first[:2], (0, 1), strict=True):
        np.testing.assert_array_equal(draws.heatmaps, batch["heatmaps"][:, purpose])


def test_path_lengths_equal_those_of_an_explicit_jacobian():
    mix = jax.random.normal(jax.random.key(0), (3 * 4, 2 * 2 * 3))
    ws, y = jax.random.normal(jax.random.key(1), (2, 3, 4)), jax.random.normal(jax.random.key(2), (2, 2, 2, 3))

    def synthesise(ws):
        return jnp.tanh(ws.reshape(len(ws), -1) @ mix).reshape(-1, 2, 2, 3)

    jacobian = jax.vmap(jax.jacobian(lambda w: synthesise(w[None])[0]))(ws)  # (B, 2, 2, 3, rows, w_dim)
    of_rows = jnp.einsum("bhwcrd,bhwc->brd", jacobian, y)
    expected = jnp.sqrt(jnp.mean(jnp.sum(of_rows**2, -1), -1))
    np.testing.assert_allclose(losses.path_lengths(synthesise, ws, y), expected, rtol=1e-5)


def test_r1_is_the_squared_norm_of_each_images_gradient():
    x = jax.random.normal(jax.random.key(0), (2, 3, 3, 1))
    found = losses.r1_penalty(lambda image: jnp.sum(jnp.sin(image), (1, 2, 3)), x)
    np.testing.assert_allclose(found, jnp.sum(jnp.cos(x) ** 2, (1, 2, 3)), rtol=1e-5)


def test_parts_of_a_batch_are_aligned_by_themselves():
    rng, maps = np.random.default_rng(0), jnp.asarray(batch_of(4)["heatmaps"][:, 0])
    features, gradients = ({f"b{side}": rng.standard_normal((4, side // 2, side // 2, 3)) for side in (8, 16)} for _ in range(2))

    def loss(part, groups=1):
        cut = [jax.tree.map(lambda array: jnp.asarray(array[part]), each) for each in (features, gradients, maps)]
        return Alignment(groups=groups).loss(*cut, (SIDE, SIDE))

    np.testing.assert_allclose(loss(slice(4), groups=2), (loss(slice(2)) + loss(slice(2, 4))) / 2, rtol=1e-5)


def test_the_running_mean_of_path_lengths_is_of_a_part_of_the_batch(step, run):
    before, _ = run
    image, seen = jnp.zeros((BATCH, SIDE, SIDE, 3)), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_step.losses, "path_lengths", lambda f, ws, y: seen.append(y.shape) or jnp.arange(len(ws), dtype=ws.dtype))
        state, penalty = jax.jit(step.regularise_generator)(before, image, jax.random.key(1))
    assert seen == [(BATCH // 2, SIDE, SIDE, 3)]
    np.testing.assert_allclose(state.generator["path_length"]["mean"], 0.01 * 1.5, rtol=1e-5)
    np.testing.assert_allclose(penalty, 2 * 2 * np.mean((np.arange(4) - 0.015) ** 2), rtol=1e-5)


def test_images_of_a_path_length_update_share_the_coarse_width(step, run):
    seen = []

    def draw(key, image, heatmaps):
        seen.append(heatmaps)
        raise StopIteration

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(step), "draw", lambda self, *arguments: draw(*arguments))
        with pytest.raises(StopIteration):
            step.regularise_generator(run[0], jnp.zeros((2 * BATCH, SIDE, SIDE, 3)), jax.random.key(1))
    (heatmaps,) = seen
    assert len(heatmaps) == BATCH and len(np.unique(heatmaps[:, 0, 2])) == 1 and 0.5 <= heatmaps[0, 0, 2] < 1
    assert all(len(np.unique(numbers)) > 1 for numbers in (heatmaps[:, 0, 0], heatmaps[:, 1, 2]))


def test_the_recipe_of_a_config():
    step = make_train_step(tiny_config(loss__align_groups=2, model__mbstd_groups=2))
    assert step.alignment == Alignment(1.0, 2) and step.discriminator.groups == 2
    assert step.learning_rates(0) == pytest.approx({"lr_g": 0.0025 * 4 / 5, "lr_d": 0.0025 * 16 / 17})
    assert make_train_step(tiny_config("sel")).alignment is None
    assert not make_train_step(tiny_config("baseline")).generator.spatially_aware
    for field, value, message in (
        ("model__mbstd_groups", 3, "model.mbstd_groups=3 does not divide train.batch_size=8"),
        ("loss__align_groups", 5, "loss.align_groups=5 does not divide train.batch_size=8"),
        ("model__mbstd_group_size", 3, "model.mbstd_group_size=3 does not divide the 8 images"),
    ):
        with pytest.raises(ValueError, match=message):
            make_train_step(tiny_config(**{field: value}))


def test_between_its_steps_a_regularisation_leaves_the_state_as_it_is():
    step, before = tiny_step(), random_variables(DISCRIMINATOR, jnp.zeros((1, SIDE, SIDE, 3)))
    state = TrainState(jnp.zeros((), jnp.int32), {}, before, {}, (), ())

    def update(state):
        return state.replace(discriminator=jax.tree.map(lambda leaf: 0.9 * leaf, state.discriminator)), jnp.float32(7)

    every = jax.jit(lambda state: step.every(16, state, update))
    for number in (0, 1, 15, 16, 17, 32):
        found, loss = every(state.replace(step=jnp.asarray(number)))
        assert equal(found.discriminator, before) == bool(number % 16) and loss == (0 if number % 16 else 7)


@pytest.mark.slow
def test_activations_of_the_finest_blocks_alone_are_reduced_and_losses_stay_close(step, run):
    narrow = {name: getattr(step, name).clone(dtype=jnp.bfloat16, num_reduced=1) for name in ("generator", "discriminator")}
    _, [(state, metrics)] = states(dataclasses.replace(step, **narrow), 1)
    _, [(_, wide), *_] = run
    assert all(np.isfinite(value) for value in metrics.values()) and metrics["loss_g_path"] > 0
    kept = [leaf.dtype for leaf in jax.tree.leaves(state) if not np.issubdtype(leaf.dtype, np.integer)]
    assert set(kept) == {np.dtype(np.float32)}  # parameters, second moments, averages and noise maps
    assert metrics["loss_d_r1"] != wide["loss_d_r1"]
    for name in ("loss_d_r1", "loss_g_path", "loss_g", "loss_d_real", "loss_d_fake"):
        np.testing.assert_allclose(metrics[name], wide[name], rtol=0.05)


@pytest.mark.slow
def test_parts_of_a_batch_are_trained_on_as_batches_by_themselves(float64):
    """Losses of both networks, and the gradient of G, are means over the parts."""
    draws = dataclasses.replace(draw(jax.random.key(0), jnp.zeros((8, 1)), GENERATOR), heatmaps=jnp.asarray(batch_of(8)["heatmaps"][:, 0]))
    image = jax.random.normal(jax.random.key(1), (8, SIDE, SIDE, 3))
    generator = random_variables(GENERATOR, draws.z[:1], draws.heatmaps[:1])
    discriminator = random_variables(DISCRIMINATOR, image[:1], seed=1)
    state = TrainState(jnp.zeros((), jnp.int32), generator, discriminator, {}, (), ())

    def found(groups, image, draws):
        step = tiny_step()
        step = dataclasses.replace(step, discriminator=step.discriminator.clone(groups=groups), alignment=Alignment(groups=groups))
        loss = functools.partial(step.generator_loss, state=state, draws=draws)
        gradient, (metrics, _) = jax.grad(loss, has_aux=True)(generator["params"])
        fake = step.generate(generator, draws)[0]
        return gradient, metrics | step.discriminator_loss(discriminator["params"], image, fake)[1]

    compiled = jax.jit(found, static_argnums=0)
    whole = compiled(2, image, draws)
    halves = [compiled(1, *jax.tree.map(lambda array, part=part: array[part], (image, draws))) for part in (slice(4), slice(4, 8))]
    assert whole[1]["loss_g_align"] > 0
    for of_whole, *of_halves in zip(*map(jax.tree.leaves, (whole, *halves)), strict=True):
        np.testing.assert_allclose(of_whole, sum(of_halves) / 2, rtol=1e-10, atol=1e-10 * np.abs(of_whole).max())


@pytest.mark.slow
def test_a_step_in_parts_is_that_of_the_whole_batch_without_statistics_of_the_batch(float64):
    """The step has no minibatch standard deviation (groups of one image) and no alignment, whose mean is over pixels above a threshold."""
    found, side = [], 8  # two blocks, because it takes long to compile two steps
    for parts in (1, 4):
        made = tiny_step(style_mixing=0.5, accumulate=parts)
        generator = made.generator.clone(resolution=side, mapping_layers=1)
        discriminator = made.discriminator.clone(resolution=side, group_size=1)
        made = dataclasses.replace(made, alignment=None, generator=generator, discriminator=discriminator)
        found.append(states(made, 2, side)[1])
    for (whole, metrics), (in_parts, metrics_of_parts) in zip(*found, strict=True):
        assert metrics["loss_d_r1"] == pytest.approx(metrics_of_parts["loss_d_r1"], rel=1e-11)
        differences = jax.tree.map(lambda a, b: np.abs(a - b).max(), whole, in_parts)
        assert max(jax.tree.leaves(differences)) < 1e-9


def test_groups_of_a_batch_are_shared_out_among_its_parts():
    made = make_train_step(tiny_config(model__mbstd_groups=4, loss__align_groups=2, train__accumulate=2))
    assert (made.discriminator.groups, made.alignment.groups, made.hyper.accumulate) == (2, 1, 2)
    with pytest.raises(ValueError, match=r"train\.accumulate=4 does not divide model\.mbstd_groups=2"):
        make_train_step(tiny_config(model__mbstd_groups=2, train__accumulate=4))
