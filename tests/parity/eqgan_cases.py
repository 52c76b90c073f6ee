"""What the tests against the golden numbers of EqGAN-SA share: networks with the recipe's weights, inputs, and the comparison."""
import re

import jax
import jax.numpy as jnp
import numpy as np
from goldens import golden_arrays
from recipe import eqgan_module, eqgan_normal, eqgan_weights

from oasis_jax.eqgan import published
from oasis_jax.eqgan.discriminator import Discriminator
from oasis_jax.eqgan.generator import Generator
from oasis_jax.heatmaps import explicit

LEVELS = {"b8": "l1", "b16": "l2", "b32": "l3"}  # published names and ours
HEATMAPS = r"(centers|sigma|l[23]_delta|cur_sigma[23])"  # names of the published sampler's inputs
EXACT = 1e-6  # relative tolerance in float64, in which the numbers were computed; they are stored in float32
# Relative tolerances in float32.
FORWARD, OPERATION, GRADIENT, LOSS = 3e-5, 3e-6, 1e-4, 1e-4


def nhwc(array, dtype):
    return jnp.asarray(np.moveaxis(array, 1, -1), dtype)


def set_seed():
    """The seed of the golden set. The seed of each input is this plus an offset of its own, that of the small generator is this plus 1."""
    return eqgan_module("G_small")["seed"] - 1


def drawn(tag, shape, offset):
    """Standard normal float32 numbers, an input of a case."""
    return eqgan_normal(tag, shape, set_seed() + offset)


def compare(found, file, dtype, relative, names=r".*", inputs=r"$"):
    """Compares computed arrays with those of a file. A stored array that is neither computed nor an input is an error.

    Args:
        found: {name: array}; 4-D arrays are NHWC. Names that the file lacks are ignored, since sets differ in what they store.
        file: name of an .npz file in the golden folder, without the ending.
        dtype: dtype in which they were computed; in float64 the tolerance is EXACT.
        relative: tolerance in float32 as a fraction of the largest number; or {pattern of names: tolerance}: the first match applies.
        names: pattern of the names of arrays that are compared. A stored map NAME_sK is every K-th row and column of NAME, and a stored
            array may have only the first examples.
        inputs: pattern of the names of arrays that are inputs.
    """
    expected = {name: array for name, array in golden_arrays(file).items() if re.fullmatch(names, name) and not re.fullmatch(inputs, name)}
    assert expected, f"{file} holds no {names}"
    faults = []
    for key, array in expected.items():
        name, step = re.fullmatch(r"(.*?)(?:_s(\d+))?", key).groups()
        if name not in found:
            faults.append(f"{key} is compared by no test")
            continue
        actual = np.asarray(found[name], np.float64)
        if actual.ndim == 4:
            actual = np.moveaxis(actual, -1, 1)[:, :, :: int(step or 1), :: int(step or 1)]
        if actual.ndim == array.ndim > 1:
            actual = actual[: len(array)]
        if actual.shape != array.shape:
            faults.append(f"{key} is {actual.shape}, not {array.shape}")
            continue
        tolerance = EXACT if dtype == jnp.float64 else _matching(relative, name)
        error, largest = np.abs(actual - array).max(), np.abs(array).max()
        if not error <= tolerance * largest:
            faults.append(f"{key} differs by {error:.2e}, {error / largest:.2e} of its largest value")
    assert not faults, f"{file} in {dtype.__name__}:\n  " + "\n  ".join(faults)


def _matching(relative, name):
    if not isinstance(relative, dict):
        return relative
    return next(tolerance for pattern, tolerance in relative.items() if re.fullmatch(pattern, name))


def centres_and_widths(stored, prefix, explicit_centres=False):
    """Heatmaps (B, 7, 3) from the published sampler's inputs."""
    centre = stored[f"{prefix}centers"]
    if explicit_centres:
        others = [stored[f"{prefix}{level}_centers"] for level in ("l2", "l3")]
    else:
        others = [centre[..., None] + stored[f"{prefix}{level}_delta"] for level in ("l2", "l3")]
    centres = np.concatenate([centre[..., None], *others], axis=2).transpose(0, 2, 1)
    widths = [np.full((len(centre), 1), stored[f"{prefix}sigma"]), *(stored[f"{prefix}cur_sigma{level}"][:, 0, 0] for level in (2, 3))]
    return explicit(centres, np.concatenate(widths, axis=1))


def generator(module, dtype):
    """(Generator, its variables) for a module of the manifest."""
    fields = eqgan_module(module)["kwargs"]
    network = Generator(
        resolution=fields["img_resolution"],
        **{name: fields[name] for name in ("channel_base", "channel_max", "z_dim", "w_dim", "mapping_layers")},
        clamp=fields.get("conv_clamp") or 0.0,
        dtype=dtype,
    )
    template = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, network.z_dim)), jnp.ones((1, 7, 3)))
    return network, cast(published.generator_from_state_dict(eqgan_weights(module), template), dtype)


def discriminator(module, dtype, group_size=None):
    """(Discriminator, its variables) for a module of the manifest; `group_size` is that of the case, if it stores one."""
    fields = eqgan_module(module)["kwargs"]
    network = Discriminator(
        resolution=fields["img_resolution"],
        **{name: fields[name] for name in ("channel_base", "channel_max")},
        group_size=int(group_size or fields["mbstd_group_size"]),
        clamp=fields.get("conv_clamp") or 0.0,
        dtype=dtype,
    )
    template = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, network.resolution, network.resolution, 3)))
    return network, cast(published.discriminator_from_state_dict(eqgan_weights(module), template), dtype)


def cast(tree, dtype):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), tree)
