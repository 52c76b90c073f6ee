"""What the parity tests share: networks with the weights of a golden case, and the comparison of their outputs."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens import find_cases, parameters

from oasis_jax.oasis.boundaries import boundary_counts
from oasis_jax.oasis.capacities import choose_capacities
from oasis_jax.oasis.discriminator import Discriminator
from oasis_jax.oasis.generator import Generator
from oasis_jax.oasis.published import from_state_dict, to_state_dict

CASES = find_cases()
KINDS = ("G_forward", "D_forward", "losses", "step")


def cases_of(kind):
    """Parameters of a test: the cases of a kind, or one that is skipped if there are none."""
    return parameters((pytest.param(case, id=case.name) for case in CASES if case.entry.get("kind") == kind), f"case of kind {kind}")


class Comparison:
    """Collects every output that misses its tolerance, and every golden output that nothing was compared with."""

    def __init__(self, case, precision):
        self.case, self.precision, self.expected, self.faults = case, precision, case.arrays("out/"), []
        self.left = set(self.expected)

    def check(self, name, actual):
        """Compares one output, if the case stores it."""
        if name not in self.expected:
            return
        self.left.discard(name)
        expected, actual = np.asarray(self.expected[name], np.float64), np.asarray(actual, np.float64)
        tolerance = self.tolerance(name)
        assert actual.shape == expected.shape, f"{name}: {actual.shape} instead of {expected.shape}"
        error = np.max(np.abs(actual - expected), initial=0)
        if not error <= tolerance:
            self.faults.append(f"{name}: off by {error:.3g}, allowed {tolerance:.3g}")

    def tolerance(self, name):
        """Allowed absolute difference of an output.

        If a few weights differ in the last bit of float32, results in float64 differ by less than those of the published float32 run, in
        which every number is rounded to that bit; `atol_f32` is ten times the measured error of that run.
        """
        allowed = self.case.entry["outputs"].get(name, {})
        if self.precision == "f64" and self.case.has_other_weights and "atol_f32" in allowed:
            return max(allowed.get("atol_f64", 0), allowed["atol_f32"] / 10)
        return allowed.get(f"atol_{self.precision}", 0)

    def check_most(self, name, actual, expected, distance, most):
        """Checks that at most `most` elements are off by more than `distance`, which is one number, or one for each element."""
        self.left.discard(name)
        off = np.sum(np.abs(np.asarray(actual, np.float64) - expected) > distance)
        if off > most:
            self.faults.append(f"{name}: {off} of {expected.size} elements are off by more than {np.max(distance):.3g}, allowed {most}")

    def finish(self):
        if self.precision == "f64" and self.case.has_other_weights:
            self.case.note_other_weights()
        assert not self.left, f"outputs that this test does not know: {sorted(self.left)}"
        assert not self.faults, "\n".join(self.faults)


def cast(tree, precision):
    dtype = np.float64 if precision == "f64" else np.float32
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), tree)


def nhwc(array):
    return np.moveaxis(np.asarray(array), 1, -1)


def nchw(array):
    return np.moveaxis(np.asarray(array), -1, 1)


def build_generator(config, precision):
    return Generator(
        num_classes=config["semantic_nc"],
        channels=config["channels_G"],
        z_dim=0 if config.get("no_3dnoise") else config["z_dim"],
        dtype=jnp.float64 if precision == "f64" else jnp.float32,
    )


def build_discriminator(config, precision):
    return Discriminator(
        num_classes=config["semantic_nc"],
        channels=tuple(config.get("channels_D", (3, 128, 128, 256, 256, 512, 512))[1:]),
        last=config.get("last_D", 64),
        dtype=jnp.float64 if precision == "f64" else jnp.float32,
    )


def on_regions_alone(generator, ids):
    """The generator with every level on regions, with capacities that just hold ids (B, H, W), and without a dense form."""
    counts = np.max([boundary_counts(np.asarray(row), generator.num_blocks) for row in ids], axis=0)
    return generator.clone(capacities=choose_capacities(counts, ids.shape[1:], largest=1, slack=1), known_to_fit=True)


def load_generator(case, state_dict, precision, size):
    generator = build_generator(case.config, precision)
    noise = jnp.zeros((1, generator.z_dim)) if generator.z_dim else None
    template = jax.eval_shape(generator.init, jax.random.key(0), jnp.zeros((1, *size), jnp.int32), noise)
    return generator, cast(from_state_dict(state_dict, template), precision)


def load_discriminator(case, state_dict, precision, size):
    discriminator = build_discriminator(case.config, precision)
    template = jax.eval_shape(discriminator.init, jax.random.key(0), jnp.zeros((1, *size, 3)))
    return discriminator, cast(from_state_dict(state_dict, template), precision)


def activation(intermediates, name):
    """The output of a module by its published name, from the captured intermediates."""
    parts = name.split(".")
    if len(parts) == 1:
        path = [{"fc": "conv_in", "conv_img": "conv_out", "layer_up_last": "logits"}[name]]
    else:
        path = [f"{dict(body='block', body_down='encoder', body_up='decoder')[parts[0]]}_{parts[1]}"]
        path += [parts[2].replace("norm_", "spade_")] if len(parts) > 2 else []
    return functools.reduce(lambda tree, key: tree[key], path, intermediates)["__call__"][0]


def through_shortcut(modulated, state, name):
    """Applies the 1x1 convolution of a shortcut of the generator to its published input: (B, C, h, w) -> (B, F, h, w)."""
    block = name.replace("body.", "block_").removesuffix(".norm_s")
    kernel, vectors = np.asarray(state["params"][block]["conv_s"]["kernel"])[0, 0], state["spectral_norm"][block]["conv_s"]
    return np.einsum("bchw,cf->bfhw", modulated, kernel / (np.asarray(vectors["v"]) @ kernel @ np.asarray(vectors["u"])))


def outputs_wanted(comparison):
    """Arguments of `apply` that return the statistics, and the activations only if the case has them: they are large."""
    if any("/act/" in name for name in comparison.expected):
        return {"mutable": True, "capture_intermediates": True}
    return {"mutable": ["params", "batch_stats", "spectral_norm"]}


def check_forwards(comparison, module, variables, given, name, positions):
    """Compares the forward passes of a network in the modes that the case has, compiled as one program."""
    options = {"xla_backend_optimization_level": 1} if positions is not None else {}  # at full width, running takes longer than compiling
    modes = [mode for mode in ("eval", "train") if any(full_name.startswith(mode) for full_name in comparison.expected)]
    forward = functools.partial(module.apply, **outputs_wanted(comparison))
    forwards = jax.jit(lambda *inputs: [forward(*inputs, train=mode == "train") for mode in modes], compiler_options=options)
    results = forwards(variables, given)
    for mode, result in zip(modes, results, strict=True):
        check_forward(comparison, mode, result, name, positions)


def check_forward(comparison, mode, result, name, positions):
    """Compares one forward pass: the whole result or its sampled pixels, channel statistics, activations and updated buffers."""
    output, state = result
    intermediates = state.pop("intermediates", None)
    for full_name in [n for n in comparison.expected if n.startswith(f"{mode}/")]:
        kind, _, rest = full_name.removeprefix(f"{mode}/").partition("/")
        if kind == name:
            comparison.check(full_name, nchw(output))
        elif kind == "px":
            comparison.check(full_name, np.asarray(output)[tuple(positions.T)])
        elif kind in ("ch_mean", "ch_std"):
            comparison.check(full_name, np.asarray(getattr(np.asarray(output, np.float64), kind[3:])((1, 2))))
        elif kind == "act":
            if rest.endswith(".norm_s"):  # ours has the shortcut's convolution applied already
                comparison.expected[full_name] = through_shortcut(comparison.expected[full_name], state, rest)
            comparison.check(full_name, nchw(activation(intermediates, rest)))
        elif kind == "after":
            comparison.check(full_name, to_state_dict(state)[rest])
