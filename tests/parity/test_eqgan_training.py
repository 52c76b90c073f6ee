"""Equality with the numbers of the published EqGAN-SA's training: losses, gradients, R1, and three iterations with Adam."""
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eqgan_cases import (
    EXACT,
    FORWARD,
    GRADIENT,
    HEATMAPS,
    LOSS,
    cast,
    centres_and_widths,
    compare,
    discriminator,
    drawn,
    generator,
    nhwc,
)
from goldens import golden_arrays, golden_dir, needs, stored_groups
from recipe import eqgan_manifest

from oasis_jax.eqgan import published
from oasis_jax.eqgan.alignment import Alignment
from oasis_jax.eqgan.losses import r1_penalty
from oasis_jax.eqgan.train_step import PATH_LENGTH, Draws, Hyperparameters, TrainStep
from oasis_jax.updates import adam_without_momentum, create_state

TRAIN, TOLERANCES = "eqgan/train", "eqgan/tolerances.json"
UPDATE_NORM = 1e-3  # relative tolerance in float32 of the norm of an update
LR, B2 = 0.0025, 0.99
INPUTS = rf"it\d+\.[GD]\.(z|hm\.{HEATMAPS})|real_note|.*\.names|r1_gamma|ema_kimg|batch|mbstd_group"
WHOLE = r"after\d+\.(G|D|Gema)\.(?!delta_norm).*"  # whole arrays after updates; in float32, only their updates are compared
needs_train = needs(f"{TRAIN}.npz", TOLERANCES)


def trained_modules():
    """Names in the manifest of the generator and the discriminator that are trained; a set may have smaller networks for this."""
    manifest = eqgan_manifest()
    return [next(name for name in names if name in manifest) for names in (("G_train", "G_small"), ("D_train", "D_small_train"))]


def prepared(dtype):
    """(TrainStep, first TrainState, stored arrays)."""
    stored, (name_g, name_d) = golden_arrays(TRAIN), trained_modules()
    (network, of_g), (critic, of_d) = generator(name_g, dtype), discriminator(name_d, dtype, stored["mbstd_group"])
    ratios = 4 / 5, 16 / 17  # the correction for lazy regularisation
    step = TrainStep(
        network,
        critic,
        *(adam_without_momentum(LR * ratio, B2**ratio, 1e-8) for ratio in ratios),
        Hyperparameters(r1_gamma=float(stored["r1_gamma"]), ema_images=1000 * float(stored["ema_kimg"])),
        alignment=Alignment(),
    )
    state = create_state({**of_g, PATH_LENGTH: {"mean": jnp.zeros((), dtype)}}, of_d, step.optimizer_g, step.optimizer_d)
    return step, state, stored


def real_images(step, stored, iteration, dtype):
    side = step.discriminator.resolution
    image = np.float32(0.5) * drawn(f"train.real.{iteration}", (int(stored["batch"]), 3, side, side), 72)
    return nhwc(np.clip(image, -1, 1), dtype)


def latents_and_maps(stored, phase, dtype):
    """z and heatmaps of a phase such as "it0.G"."""
    return cast((stored[f"{phase}.z"], centres_and_widths(stored, f"{phase}.hm.")), dtype)


def with_const_noise(z, heatmaps):
    return Draws(z, "const", heatmaps)


def of_generator(variables):
    return published.generator_to_state_dict({name: value for name, value in variables.items() if name != PATH_LENGTH})


def norms(state_dict, names):
    return np.array([np.linalg.norm(state_dict[name]) for name in names])


@pytest.mark.slow
@needs_train
def test_losses_and_gradients_of_the_first_iteration(dtype):
    step, state, stored = prepared(dtype)
    unaligned = TrainStep(step.generator, step.discriminator, step.optimizer_g, step.optimizer_d, step.hyper)
    real, given = real_images(step, stored, 0, dtype), [latents_and_maps(stored, f"it0.{phase}", dtype) for phase in "GD"]

    def of_g(state, given):
        draws, params = with_const_noise(*given), state.generator["params"]
        gradient, (metrics, averages) = jax.grad(step.generator_loss, has_aux=True)(params, state, draws)
        alone = jax.grad(unaligned.generator_loss, has_aux=True)(params, state, draws)[0]
        logits = step.discriminator.apply(state.discriminator, step.generator.apply(state.generator, *given))
        return gradient, alone, metrics, averages, logits

    def of_d(state, given, real):
        fake, _ = step.generate(state.generator, with_const_noise(*given))
        params = state.discriminator["params"]
        gradient, metrics = jax.grad(step.discriminator_loss, has_aux=True)(params, real, fake)

        def penalty(params):
            penalties = r1_penalty(lambda image: step.discriminator.apply({"params": params}, image), real)
            return step.hyper.r1_every * step.hyper.r1_gamma / 2 * jnp.mean(penalties), penalties

        of_r1, penalties = jax.grad(penalty, has_aux=True)(params)
        return gradient, metrics, of_r1, penalties, [step.discriminator.apply(state.discriminator, image) for image in (fake, real)]

    # One program: compiling takes nearly all the time, and this compiles shared parts once.
    found_g, found_d = jax.jit(lambda state, given, real: (of_g(state, given[0]), of_d(state, given[1], real)))(state, given, real)
    gradient, alone, metrics, averages, logits = found_g
    gradient, alone = (published.generator_to_state_dict({"params": each}) for each in (gradient, alone))
    names_g, names_d = stored["init.G.names"], stored["init.D.names"]
    assert set(gradient) == set(names_g)
    found = {
        "init.G.adv": metrics["loss_g"],
        "init.G.align": metrics["loss_g_align"],
        "init.G.total": metrics["loss_g"] + metrics["loss_g_align"],
        "init.G.fake_logits": logits[:, None],
        "init.G.grad_norm": norms(gradient, names_g),
        "init.G.grad_norm_adv_only": norms(alone, names_g),
        "init.G.w_avg_after": averages["averages"]["mapping"]["w_avg"],
        **{f"init.G.grad.{name}": np.moveaxis(value, 1, -1) if value.ndim == 4 else value for name, value in gradient.items()},
    }
    gradient, metrics, of_r1, penalties, (on_fake, on_real) = found_d
    gradient, of_r1 = (published.discriminator_to_state_dict({"params": each}) for each in (gradient, of_r1))
    assert set(gradient) == set(names_d)
    found |= {
        "init.D.loss": metrics["loss_d_fake"] + metrics["loss_d_real"],
        "init.D.fake_logits": on_fake[:, None],
        "init.D.real_logits": on_real[:, None],
        "init.D.grad_norm": norms(gradient, names_d),
        "init.Dreg.r1_penalty": penalties,
        "init.Dreg.loss": step.hyper.r1_gamma / 2 * penalties,
        "init.Dreg.grad_norm_gain16": norms(of_r1, names_d),
    }
    tolerances = {r".*grad.*|.*Dreg.*": GRADIENT, r".*logits|.*w_avg.*": FORWARD, r".*": LOSS}
    compare(found, TRAIN, dtype, tolerances, names=r"init\..*", inputs=INPUTS)


def iteration(dtype):
    """(f(state, i) -> (new state, metrics, D's logits for fake and photo), first state, Hyperparameters)."""
    step, first, stored = prepared(dtype)

    @jax.jit
    def iterate(state, image, of_g, of_d):
        new, metrics = step.update(state, image, with_const_noise(*of_g), with_const_noise(*of_d))
        # The logits are those of D before its own update, on images of the updated G.
        fake, _ = step.generate({**state.generator, "params": new.generator["params"]}, with_const_noise(*of_d))
        return new, metrics, [step.discriminator.apply(state.discriminator, each) for each in (fake, image)]

    def with_stored_inputs(state, i):
        given = [latents_and_maps(stored, f"it{i}.{phase}", dtype) for phase in "GD"]
        return iterate(state, real_images(step, stored, i, dtype), *given)

    return with_stored_inputs, first, step.hyper


def weights_of(state):
    """{network: {published name: array}}."""
    discriminator = published.discriminator_to_state_dict(state.discriminator)
    return {"G": of_generator(state.generator), "D": discriminator, "Gema": of_generator(state.ema)}


@pytest.mark.slow
@needs_train
def test_iterations(dtype):
    """In float64, each iteration goes on from the one before. In float32, each begins with the state of float64.

    A gradient near zero can have another sign in float32, and Adam makes a whole step of it. A chain in float32 would measure how far
    such steps lead, which depends on the processor.
    """
    stored, tolerances = golden_arrays(TRAIN), json.loads((golden_dir() / TOLERANCES).read_text())["train"]
    iterate, state, hyper = iteration(dtype)
    if dtype == jnp.float32:
        with jax.enable_x64(True):
            iterate_exactly, exact, _ = iteration(jnp.float64)
    first, found, faults = weights_of(state), {}, []
    for i in range(len(stored_groups(TRAIN, r"it(\d+)\.G\.z"))):
        if dtype == jnp.float32:
            if i:
                with jax.enable_x64(True):
                    exact, _, _ = iterate_exactly(exact, i - 1)
            state = jax.tree.map(lambda array, like: np.asarray(array, like.dtype), exact, state)
        before = weights_of(state)
        state, metrics, (on_fake, on_real) = iterate(state, i)
        after = weights_of(state)
        found |= {
            f"it{i}.G.adv": metrics["loss_g"],
            f"it{i}.G.align": metrics["loss_g_align"],
            f"it{i}.D.loss": metrics["loss_d_fake"] + metrics["loss_d_real"],
            f"it{i}.D.fake_logits": on_fake[:, None],
            f"it{i}.D.real_logits": on_real[:, None],
        }
        penalty = stored[f"it{i}.Dreg.r1_penalty"] if i % hyper.r1_every == 0 else np.zeros(1)
        expected = hyper.r1_every * hyper.r1_gamma / 2 * penalty.mean()
        np.testing.assert_allclose(metrics["loss_d_r1"], expected, rtol=EXACT if dtype == jnp.float64 else GRADIENT)
        for network in stored_groups(TRAIN, rf"after{i + 1}\.(\w+)\.delta_norm"):
            names = stored[f"init.{network}.names"]
            updates = {name: np.float64(after[network][name]) - first[network][name] for name in names}
            found[key := f"after{i + 1}.{network}.delta_norm"] = norms(updates, names)
            np.testing.assert_allclose(found[key], stored[key], rtol=UPDATE_NORM, err_msg=key)
        for key in stored:
            prefix, network, name = (key.split(".", 2) + ["", ""])[:3]
            if prefix == f"after{i + 1}" and name != "delta_norm":
                update, expected = (np.float64(each) - before[network][name] for each in (after[network][name], stored[key]))
                error = np.linalg.norm(update - expected) / np.linalg.norm(expected)
                if not error <= tolerances[key]["rel_l2_tol"]:
                    faults.append(f"the update of {key} differs by {error:.1e}")
                if dtype == jnp.float64:
                    found[key] = np.moveaxis(after[network][name], 1, -1) if stored[key].ndim == 4 else after[network][name]
    assert not faults, "\n".join(faults)
    inputs = rf"{INPUTS}|init\..*|it\d+\.Dreg\.r1_penalty" + ("" if dtype == jnp.float64 else f"|{WHOLE}")
    compare(found, TRAIN, dtype, {r".*norm": UPDATE_NORM, r".*": LOSS}, inputs=inputs)
