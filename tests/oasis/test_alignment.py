"""Laws of D's attention, of the alignment loss, and of the training step that uses them."""
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oasis_jax import heatmaps
from oasis_jax.layers import attention
from oasis_jax.layers.attention import alignment_loss, gradcam, normalised, targets
from oasis_jax.oasis import losses
from oasis_jax.oasis.alignment import SIDES, Alignment, attended_blocks, attended_forward
from oasis_jax.oasis.discriminator import Discriminator
from oasis_jax.oasis.disequilibrium import log_fake_probability
from oasis_jax.oasis.generator import Generator
from oasis_jax.oasis.train_step import Hyperparameters, TrainStep, draw
from oasis_jax.updates import adam_without_momentum

N, SIZE, BATCH = 3, (16, 32), 2
LABELS = jnp.asarray(np.random.default_rng(0).integers(N, size=(BATCH, *SIZE)))
IMAGE = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (BATCH, *SIZE, 3)).astype(np.float32))
HEATMAPS = jnp.asarray(np.stack([[heatmaps.of_seed(2 * i + k) for k in range(2)] for i in range(BATCH)]))


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def tiny_step(**fields):
    return TrainStep(
        generator=Generator(num_classes=N, num_blocks=4, channels=1, spade_hidden=2, z_dim=2, sel_blocks=("l1", "l2", "l3", "none")),
        discriminator=Discriminator(num_classes=N, num_blocks=4, channels=(2, 3, 3, 4), last=2),
        optimizer_g=adam_without_momentum(1e-3),
        optimizer_d=adam_without_momentum(2e-3),
        hyper=Hyperparameters(labelmix=0.0, init_gain=1.0),
        alignment=Alignment(**({"weight": 0.5, "warmup": 0} | fields)),
    )


@functools.cache
def first_state():
    return jax.jit(lambda: tiny_step().init(SIZE))()


def adversarial(logits):
    return losses.real_target_loss(logits, LABELS, 1.0)


def on_fake(logits):
    return jnp.sum(log_fake_probability(logits))


def test_gradcam_is_relu_of_each_channel_before_the_sum():
    features, gradients = normal(2, 3, 5, 4), normal(2, 3, 5, 4, seed=1)
    weights = np.asarray(gradients).mean((1, 2))
    expected = sum(np.maximum(weights[:, None, None, c] * np.asarray(features)[..., c], 0) for c in range(4))
    np.testing.assert_allclose(gradcam(features, gradients), expected, atol=1e-6)


def test_normalised_attention_runs_from_zero_to_one_whatever_its_scale():
    maps = normalised(jnp.abs(normal(3, 4, 8)), (8, 16))
    np.testing.assert_allclose(maps.min((1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(maps.max((1, 2)), 1, atol=1e-6)
    np.testing.assert_allclose(normalised(1e-6 * jnp.abs(normal(3, 4, 8)), (8, 16)), maps, rtol=1e-4, atol=1e-6)


def test_constant_attention_is_zero_and_has_finite_gradients():
    constant = jnp.full((2, 4, 4), 0.3)
    assert not np.any(normalised(constant, (8, 8)))
    gradient = jax.grad(lambda a: alignment_loss(normalised(a, (8, 8)), jnp.ones((2, 8, 8))))(constant)
    assert np.isfinite(gradient).all()


def test_differences_within_the_threshold_have_no_gradient():
    target = jnp.zeros((1, 4, 4))
    attention_map = target.at[0, 0].set(0.2).at[0, 1].set(0.5)
    loss, gradient = jax.value_and_grad(alignment_loss)(attention_map, target)
    assert loss == pytest.approx(0.5)
    assert np.array_equal(np.asarray(gradient) != 0, attention_map > 0.25)


def test_where_at_most_one_difference_is_large_the_loss_is_the_mean_of_all():
    target = jnp.zeros((1, 4, 4))
    assert alignment_loss(target.at[0, 0, 0].set(0.8), target) == pytest.approx(0.05)
    assert alignment_loss(target + 0.1, target) == pytest.approx(0.1)


def test_masked_pixels_do_not_count():
    target, mask = jnp.zeros((1, 4, 4)), jnp.zeros((1, 4, 4), bool).at[0, :2].set(True)
    found = jnp.where(mask, 0.5, 0.9)
    assert alignment_loss(found, target, mask=mask) == pytest.approx(0.5)
    assert alignment_loss(found, target, mask=jnp.zeros_like(mask)) == 0


def test_targets_are_the_raw_coarse_map_and_stretched_means_of_the_finer_levels():
    maps = jnp.abs(normal(2, 6, 8, 7))
    coarse, middle, fine = targets(maps)
    np.testing.assert_array_equal(coarse, maps[..., 0])
    for level, part in ((middle, maps[..., 1:3]), (fine, maps[..., 3:])):
        assert level.min() == 0 and level.max() == pytest.approx(1)
        assert np.corrcoef(level[0].ravel(), part[0].mean(-1).ravel())[0, 1] == pytest.approx(1)


@pytest.mark.parametrize("side", SIDES)
def test_attended_blocks_have_the_resolutions_of_the_first_three_blocks_of_g(side):
    discriminator = Discriminator(num_classes=N, num_blocks=6, channels=(2,) * 6, last=2)
    image = jnp.zeros((1, 64, 128, 3))
    trunk = functools.partial(discriminator.init_with_output, method="trunk")
    (_, features), _ = jax.eval_shape(trunk, jax.random.key(0), image)
    for level, names in enumerate(attended_blocks(side, 6)):
        assert {features[name].shape[1:3] for name in names} == {(2 * 2**level, 4 * 2**level)}


def by_two_passes(discriminator, variables, objective, align, names):
    """Computes the results of `value_and_gradient` in the published way, with a separate pass for the attention."""
    zeros = {name: jnp.zeros(shape) for name, shape in SHAPES.items() if name in names}

    def passed(image, offsets):
        (carry, features), statistics = discriminator.apply(
            variables, image, offsets, train=True, mutable=["spectral_norm"], method="trunk"
        )
        logits, _ = discriminator.apply({**variables, **statistics}, carry, train=True, mutable=["spectral_norm"], method="head")
        return logits, {name: features[name] for name in names}

    gradients = jax.grad(lambda offsets: objective(passed(IMAGE, offsets)[0]))(zeros)

    def loss(image):
        logits, features = passed(image, {})
        parts = adversarial(logits), align(features, gradients)
        return sum(parts), parts

    (_, parts), gradient = jax.value_and_grad(loss, has_aux=True)(IMAGE)
    return *parts, gradient


SHAPES = {f"decoder_{i}": (BATCH, 2 * 2**i, 4 * 2**i, c) for i, c in enumerate((3, 3, 2))}
SHAPES |= {f"encoder_{2 - i}": (BATCH, 2 * 2**i, 4 * 2**i, c) for i, c in enumerate((3, 3, 2))}


@pytest.mark.parametrize("side, objective", [("decoder", None), ("both", on_fake)])
def test_one_forward_of_d_gives_the_losses_and_gradients_of_two(side, objective):
    step, variables = tiny_step(), first_state().discriminator
    blocks = attended_blocks(side, 4)
    names = sum(blocks, ())
    wanted = targets(jnp.abs(normal(BATCH, *SIZE, 7)))

    def align(features, gradients):
        maps = attention.attention_maps(features, gradients, blocks, SIZE)
        return sum(alignment_loss(*pair) for pair in zip(maps, wanted, strict=True))

    def once():
        passed = attended_forward(step.discriminator, variables, IMAGE, blocks, ["spectral_norm"])
        return *attention.value_and_gradient(passed, adversarial, align, objective), passed.collections

    def twice():
        return by_two_passes(step.discriminator, variables, objective or adversarial, align, names)

    loss, aligned, gradient, statistics = jax.jit(once)()
    expected = jax.jit(twice)()
    np.testing.assert_allclose((loss, aligned), expected[:2], rtol=1e-5)
    np.testing.assert_allclose(gradient, expected[2], rtol=0, atol=1e-4 * np.abs(expected[2]).max())
    _, whole = jax.jit(functools.partial(step.discriminator.apply, train=True, mutable=["spectral_norm"]))(variables, IMAGE)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), statistics, whole)


@functools.cache
def losses_and_gradient(**fields):
    """Compiled function of the number of completed steps: ((loss, metrics), gradient with respect to IMAGE, which stands for G's fakes)."""
    step = tiny_step(**fields)

    def of_fake(fake, state):
        metrics, _ = step.aligned_loss(adversarial, fake, state, LABELS, HEATMAPS[:, 0])
        return sum(metrics.values()), metrics

    compiled = jax.jit(lambda state, done: jax.value_and_grad(of_fake, has_aux=True)(IMAGE, state.replace(step=done)))
    return functools.partial(compiled, first_state())


def test_the_alignment_loss_adds_its_gradient_to_that_of_the_adversarial_loss():
    variables = first_state().discriminator

    def plain(fake):
        return adversarial(tiny_step().discriminator.apply(variables, fake, train=True, mutable=["spectral_norm"])[0])

    loss, gradient = jax.jit(jax.value_and_grad(plain))(IMAGE)
    ((_, weak), gradient_weak), ((total, strong), gradient_strong) = (losses_and_gradient(weight=weight)(0) for weight in (0.5, 4.0))
    np.testing.assert_allclose([weak["loss_g"], strong["loss_g"]], loss, rtol=1e-5)
    np.testing.assert_allclose(total, strong["loss_g"] + strong["loss_g_align"], rtol=1e-6)
    np.testing.assert_allclose(8 * weak["loss_g_align"], strong["loss_g_align"], rtol=1e-5)
    added = gradient_strong - gradient
    assert np.abs(added).max() > 0
    np.testing.assert_allclose(8 * (gradient_weak - gradient), added, rtol=0, atol=1e-3 * np.abs(added).max())


def test_it_is_computed_every_so_many_steps_with_so_much_more_weight():
    always = losses_and_gradient(weight=0.5)(0)[0][1]["loss_g_align"]
    at = [losses_and_gradient(weight=0.5, every=3)(done)[0][1]["loss_g_align"] for done in range(4)]
    np.testing.assert_allclose(at, [3 * always, 0, 0, 3 * always], rtol=1e-5)


def test_its_weight_rises_linearly_to_its_value():
    rule = Alignment(weight=0.2, warmup=4)
    np.testing.assert_allclose([rule.weight_at(count) for count in (0, 1, 3, 9)], [0.05, 0.1, 0.2, 0.2], rtol=1e-6)


def test_its_weight_begins_to_rise_with_the_first_update_of_g():
    step = tiny_step(weight=0.2, warmup=4)
    later = dataclasses.replace(step, hyper=dataclasses.replace(step.hyper, segmentation_steps=3))

    @functools.partial(jax.jit, static_argnums=0)
    def aligned(step, state, done):
        return step.aligned_loss(adversarial, IMAGE, state.replace(step=done), LABELS, HEATMAPS[:, 0])[0]["loss_g_align"]

    state = first_state()
    of_later = [aligned(later, state, done) for done in (3, 4)]
    np.testing.assert_allclose(of_later, [aligned(step, state, done) for done in (0, 1)], rtol=1e-6)


def test_it_has_no_gradient_to_d_whose_update_is_as_without_it():
    step, state = tiny_step(), first_state()
    drawn = draw(0, 0, LABELS, N, 2, HEATMAPS)
    update = functools.partial(step.update_generator, image=IMAGE, label_map=LABELS, weights=1.0, draws=drawn)
    jaxpr = jax.make_jaxpr(lambda state: update(state)[0].discriminator["params"])(state).jaxpr
    assert set(jaxpr.outvars) <= set(jaxpr.invars)  # G's update returns D's parameters unchanged

    def losses_of_d(alignment):
        other = dataclasses.replace(step, alignment=alignment)
        return str(jax.make_jaxpr(lambda state: other.update_discriminator(state, IMAGE, IMAGE, LABELS, 1.0, drawn)[1])(state))

    assert losses_of_d(step.alignment) == losses_of_d(None)


def test_the_two_updates_see_heatmaps_of_their_own():
    drawn = draw(0, 0, LABELS, N, 2, HEATMAPS)
    np.testing.assert_array_equal(drawn.heatmaps_g, HEATMAPS[:, 0])
    np.testing.assert_array_equal(drawn.heatmaps_d, HEATMAPS[:, 1])
