"""Sampling from a checkpoint, whatever its family. Imports no TensorFlow."""
import functools

import jax
import numpy as np
from ml_collections import ConfigDict

from oasis_jax import compiler
from oasis_jax.family import find_family, name_of
from oasis_jax.ranges import to_bytes
from oasis_jax.saved import load_ema

_NAMED = 8  # classes that `describe` names


def load(path, best=False):
    """Loads the averaged generator of a checkpoint.

    Args:
        path: a run's workdir, its checkpoints folder, or the folder of one step; `~` and gs:// work. Or the name of a model of this
            package, such as "scenes", or the folder of a packed model (`saved`).
        best: of a run, load the best step by its score, instead of the latest.

    Returns:
        A `family.Model`.

    Raises:
        CheckpointError: there is no such checkpoint, or it is damaged.
    """
    variables, config, step = load_ema(path, best)
    config = ConfigDict(config)
    return find_family(config).model(config, jax.device_put(variables), step)


def describe(model):
    """Describes a `family.Model` in a few lines of text."""
    height, width = model.image_size
    lines = [f"{name_of(model.config)} model at step {model.step}: images of {height}x{width}"]
    if hasattr(model, "class_names"):
        names = ", ".join(model.class_names[:_NAMED]) + (", ..." if model.num_classes > _NAMED else "")
        lines.append(f"{model.num_classes} classes: {names}")
    takes = [what for has, what in ((model.has_noise, "noise"), (model.spatially_aware, "heatmaps")) if has]
    leaves = jax.tree.leaves(model.variables.get("params", model.variables))
    lines.append(f"takes {' and '.join(takes) or 'no noise'}; {sum(leaf.size for leaf in leaves):,} parameters")
    return "\n  ".join(lines)


def generate(function, variables, inputs, in_bytes=False):
    """Compiles `function`, calls it, and returns its result: for `Model.generate`, images (B, H, W, 3) in [-1, 1].

    Args:
        function: `Model.generate`; models of equal networks share the compiled program.
        variables: of the model.
        inputs: of `Model.inputs`, on any devices.
        in_bytes: return images as uint8, see `ranges.to_bytes`.
    """
    return _compiled_for(jax.tree.leaves(variables))(function, variables, inputs, in_bytes)


def _images(function, variables, inputs, in_bytes):
    images = function(variables, inputs)
    return to_bytes(images) if in_bytes else images


def _compiled_for(arrays):
    """`_images`, compiled for the devices that hold the arrays."""
    on_devices = (array for array in arrays if isinstance(array, jax.Array))
    devices = next((array.devices() for array in on_devices), None) or jax.devices()
    return _with_options(tuple(compiler.options(next(iter(devices))).items()))


@functools.cache
def _with_options(options):
    return jax.jit(_images, static_argnums=(0, 3), compiler_options=dict(options))


def one_by_one(function, variables, inputs):
    """uint8 (B, H, W, 3) on the host, computed image by image: in a batch, the last bits of an image could depend on the batch size."""
    count = len(jax.tree.leaves(inputs)[0])
    return np.concatenate([jax.device_get(generate(function, variables, example(inputs, i), True)) for i in range(count)])


def example(inputs, i):
    """Inputs of image i alone, with a leading axis of one."""
    return jax.tree.map(lambda leaf: leaf[i : i + 1], inputs)
