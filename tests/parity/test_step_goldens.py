"""Five whole training steps equal the published ones: exactly in float64, and again in float32."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from goldens import sample_index
from published import Comparison, cases_of, cast, load_discriminator, load_generator, nchw, nhwc, on_regions_alone

from oasis_jax.oasis.published import to_state_dict
from oasis_jax.oasis.train_step import Draws, Hyperparameters, TrainStep
from oasis_jax.updates import TrainState, adam_without_momentum


def whole_step(case, precision, published=True):
    """(TrainStep, first TrainState, image, label map, draws of each step) of a case of five steps."""
    config, stored = case.config, case.arrays("in/")
    size = (case.entry["height"], case.entry["width"])
    generator, variables_g = load_generator(case, case.state_dict("state_dict_G"), precision, size)
    if not published:
        generator = on_regions_alone(generator, stored["label"])
    discriminator, variables_d = load_discriminator(case, case.state_dict("state_dict_D"), precision, size)
    _, ema = load_generator(case, case.state_dict("state_dict_EMA"), precision, size)
    optimizer_g, optimizer_d = (optax.chain(recording_gradients(), adam_without_momentum(config[lr])) for lr in ("lr_g", "lr_d"))
    hyper = Hyperparameters(
        dontcare_id=0 if config["contain_dontcare_label"] else -1,
        balance=not config.get("no_balancing_inloss", False),
        labelmix=config["lambda_labelmix"],
        ema_decay=config["ema_decay"],
        sequential=published,
    )
    step = TrainStep(generator, discriminator, optimizer_g, optimizer_d, hyper)
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        generator=variables_g,
        discriminator=variables_d,
        ema=ema,
        opt_state_g=optimizer_g.init(variables_g["params"]),
        opt_state_d=optimizer_d.init(variables_d["params"]),
    )
    draws = [
        Draws(cast(stored["z_G"][t], precision), cast(stored["z_D"][t], precision), jnp.asarray(stored["labelmix_mask"][t]))
        for t in range(case.entry["steps"])
    ]
    return step, state, cast(nhwc(stored["image"]), precision), jnp.asarray(stored["label"], jnp.int32), draws


def compiled_update(step):
    """The step's update, optimised more than other programs of the tests, because it runs five times on images that are not tiny."""
    return jax.jit(step.update, compiler_options={"xla_backend_optimization_level": 1})


def loss_row(metrics):
    return [float(metrics[name]) for name in ("loss_g", "loss_d_fake", "loss_d_real", "loss_d_labelmix")]


def recording_gradients():
    """Keeps the gradients that it is given as its state."""
    return optax.GradientTransformation(lambda params: params, lambda updates, state, params=None: (updates, updates))


def fakes_for_discriminator(step, first, after, label_map, draws):
    """The images that D saw in the first step, from G's parameters after it: its power iteration is the second one."""
    generate = jax.jit(functools.partial(step.generator.apply, train=True, mutable=["batch_stats", "spectral_norm"]))
    _, statistics = generate(first.generator, label_map, draws.noise_g)
    return generate({**statistics, "params": after.generator["params"]}, label_map, draws.noise_d)[0]


@functools.cache
def steps_taken(case, precision):
    """(TrainStep, label map, draws, rows of losses, states: the first one and that after each step) of the steps of a case."""
    step, state, image, label_map, draws = whole_step(case, precision)
    update, rows, states = compiled_update(step), [], [state]
    for drawn in draws:
        state, metrics = update(states[-1], image, label_map, drawn)
        rows.append(loss_row(metrics))
        states.append(state)
    return step, label_map, draws, rows, states


IMAGES = ("ema_eval_image", "step1/fake_for_D")


def skip_without(case, name):
    if f"out/{name}" not in case.arrays():
        pytest.skip(f"{case.name} has no {name}: a small set leaves out the images")


@pytest.mark.slow
@pytest.mark.parametrize("case", cases_of("step"))
def test_whole_steps_equal_published(case, precision):
    entry, comparison = case.entry, Comparison(case, precision)
    comparison.left -= set(IMAGES)  # checked below
    _, _, _, rows, states = steps_taken(case, precision)
    first = states[0]

    exact = precision == "f64"
    if exact:
        comparison.check("losses", rows)
    else:  # float32 rounding flips Adam's signs, so that only the first step is close (measured on the published system)
        error = np.abs(np.asarray(rows) - comparison.expected["losses"]).max(1)
        assert error[0] <= 5e-6 and error.max() <= 1e-3, error
        comparison.left.discard("losses")
    for net, opt_state, variables in (("G", states[1].opt_state_g, first.generator), ("D", states[1].opt_state_d, first.discriminator)):
        # The singular vectors tell the naming which kernels are spectrally normalised.
        by_name = to_state_dict({"params": opt_state[0], "spectral_norm": variables["spectral_norm"]})
        comparison.check(f"step1/grad_norm_{net}", [np.linalg.norm(by_name[name]) for name in entry[f"grad_order_{net}"]])
        for name in [n for n in comparison.left if n.startswith(f"step1/grad_{net}/")]:
            comparison.check(name, by_name[name.removeprefix(f"step1/grad_{net}/")])

    initial = {net: case.state_dict(f"state_dict_{net}") for net in ("G", "D", "EMA")}
    for full_name in sorted(comparison.left):
        moment, kind, *rest = full_name.split("/")
        reached = states[int(moment.removeprefix("step"))]
        net = rest and kind or kind.rsplit("_", 1)[-1]
        after = to_state_dict({"G": reached.generator, "D": reached.discriminator, "EMA": reached.ema}[net])
        order = entry["state_order_" + ("D" if net == "D" else "G")]
        lr = step_lr(case, net)
        if rest:
            actual = after[rest[0]]
        elif kind.startswith("samples"):
            actual = np.concatenate([after[name].reshape(-1)[sample_index(after[name].size)] for name in order])
        else:
            actual = np.array([np.linalg.norm(np.asarray(after[name], np.float64) - initial[net][name]) for name in order])
        if exact:
            comparison.check(full_name, actual)
        elif kind.startswith("delta_norm"):
            kept = np.array([name not in entry["null_grad_params"].get(net.replace("EMA", "G"), ()) for name in order])
            # To 1 % over the network, and each entry as the manifest says: of single biases the published float32 run itself misses 2 %.
            moved, expected = actual[kept], comparison.expected[full_name][kept]
            assert np.linalg.norm(moved - expected) <= 1e-2 * np.linalg.norm(expected), full_name
            np.testing.assert_allclose(moved, expected, rtol=0, atol=entry["outputs"][full_name]["atol_f32"], err_msg=full_name)
        elif moment == "step1":
            kept = slice(None)
            if not rest:
                sizes = [min(after[name].size, 16) for name in order]
                kept = np.repeat([name not in entry["null_grad_params"].get(net, ()) for name in order], sizes)
                comparison.expected[full_name] = comparison.expected[full_name][kept]
            if not rest or rest[0] not in entry["null_grad_params"].get(net, ()):
                comparison.check_fraction(full_name, actual[kept], 0.1 * lr, 0.01)
        comparison.left.discard(full_name)  # later float32 tensors are not comparable, not even the published system's own
    comparison.finish()


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("case", cases_of("step"))
def test_images_of_whole_steps_equal_published(case, name, precision):
    skip_without(case, name)
    step, label_map, draws, _, states = steps_taken(case, precision)
    comparison = Comparison(case, precision)
    comparison.left = {name}
    if name == "ema_eval_image":
        image = jax.jit(step.generator.apply)(states[-1].ema, label_map, draws[0].noise_g)
    else:
        image = fakes_for_discriminator(step, states[0], states[1], label_map, draws[0])
    comparison.check(name, nchw(image))
    comparison.finish()


def step_lr(case, net):
    return case.config["lr_d" if net == "D" else "lr_g"]


@pytest.mark.slow
@pytest.mark.parametrize("case", cases_of("step"))
def test_production_settings_change_losses_little(case):
    """G on regions and one power iteration for D's three inputs, within what the published system itself shows for the latter."""
    with jax.enable_x64(True):
        step, state, image, label_map, draws = whole_step(case, "f64", published=False)
        update, rows = compiled_update(step), []
        for drawn in draws:
            state, metrics = update(state, image, label_map, drawn)
            rows.append(loss_row(metrics))
            assert metrics["dense_fallback"] == 0
    error = np.abs(np.asarray(rows) - case.arrays("out/")["losses"]).max(1)
    assert error[0] <= 2e-6 and error.max() <= 1e-3, error
