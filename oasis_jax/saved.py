"""Trained models wherever they are saved: checkpoints of runs, packed models, and the models of this package, which have names.

A packed model is a small folder that is easy to share: `weights.safetensors` holds the averaged generator, with a float16 or float32 tensor
"collection/module/.../name" for each of its arrays; `config.json` holds the config of its run, and the step. It can be sampled from,
exported and evaluated like a checkpoint, but not trained further. `python -m oasis_jax.export --format=safetensors` writes one.
"""
import json
import os
import pathlib

import numpy as np
from flax import traverse_util
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from oasis_jax import checkpoint
from oasis_jax.checkpoint import CheckpointError
from oasis_jax.files import expanded

MODELS = pathlib.Path(__file__).with_name("models")  # models of this package, each a packed model in a folder of its name
WEIGHTS, CONFIG = "weights.safetensors", "config.json"
SMALL = 256  # arrays of at most so many values, such as statistics, are always stored as float32


def names():
    """The names of the models of this package, in order."""
    return sorted(file.parent.name for file in MODELS.glob(f"*/{WEIGHTS}"))


def packed_folder(path):
    """The folder of a packed model, or None if the path is that of a run.

    Args:
        path: name of a model of this package, unless there is a folder of that name; or a folder.

    Raises:
        CheckpointError: the path is a bare name, but neither that of a model nor that of a folder.
    """
    folder, name = expanded(path), os.fspath(path)
    if "/" in name or os.sep in name or folder.exists():
        return folder if (folder / WEIGHTS).exists() else None
    if name not in names():
        raise CheckpointError(
            f"no checkpoint at {name}: there is no such folder; give a run's workdir, or a model of this package: {', '.join(names())}"
        )
    return expanded(MODELS / name)


def reference(path):
    """How a recipe file refers to a model: by its name, or else by a path from the home folder (~) or the root, valid in any folder."""
    if "://" in os.fspath(path):
        return os.fspath(path)
    folder = packed_folder(path)
    of_package = folder is not None and folder.parent == expanded(MODELS)
    if of_package:
        return folder.name
    found, home = os.path.abspath(expanded(path)), os.path.expanduser("~").rstrip("/") + "/"
    return f"~/{found.removeprefix(home)}" if found.startswith(home) else found


def load_ema(path, best=False):
    """Loads the averaged generator of a model: (variables, config, step), as `checkpoint.load_ema`; of a packed model in float32.

    Args:
        path: name of a model of this package, the folder of a packed model, or as for `checkpoint.load_ema`.
        best: of a run, load the best step instead of the latest.

    Raises:
        CheckpointError: there is no such model, or it is damaged.
    """
    folder = packed_folder(path)
    if folder is None:
        return checkpoint.load_ema(path, best)
    config, step = _read_config(folder)
    try:
        arrays = safetensors.load((folder / WEIGHTS).read_bytes())
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"cannot read {folder / WEIGHTS} ({error}): copy the model again") from error
    arrays = {name: array.astype(np.float32) if array.dtype == np.float16 else array for name, array in arrays.items()}
    return traverse_util.unflatten_dict(arrays, sep="/"), config, step


def load_config(path, best=False):
    """Loads the config of a model as nested dicts; arguments and errors as in `load_ema`."""
    folder = packed_folder(path)
    return checkpoint.load_config(path, best) if folder is None else _read_config(folder)[0]


def load_state(path, best=False):
    """Loads the train state of a run, as `checkpoint.load_state`; None for a packed model, which has none."""
    return checkpoint.load_state(path, best) if packed_folder(path) is None else None


def packed(variables, config, step, weights="float16"):
    """The files of a packed model.

    Args:
        variables: of the averaged generator, nested dicts of arrays.
        config: of its run, nested dicts of plain values.
        step: number of updates.
        weights: "float16" or "float32".

    Returns:
        {name: bytes}.

    Raises:
        ValueError: a weight is too large for float16.
    """
    arrays = {name: _stored(name, np.asarray(array), weights) for name, array in traverse_util.flatten_dict(variables, sep="/").items()}
    described = json.dumps({"step": step, "config": config}, indent=1, ensure_ascii=False)
    return {WEIGHTS: safetensors.save(arrays), CONFIG: described.encode()}


def _stored(name, array, weights):
    array = np.ascontiguousarray(array).reshape(array.shape)  # ascontiguousarray makes a scalar (1,)
    if weights == "float32" or array.size <= SMALL or array.dtype != np.float32:
        return array
    if np.abs(array).max() > np.finfo(np.float16).max:
        raise ValueError(f"{name} holds {np.abs(array).max():g}, which is too large for float16: store the model with --weights=float32")
    return array.astype(np.float16)


def _read_config(folder):
    """(config, step) of a packed model."""
    try:
        found = json.loads((folder / CONFIG).read_text())
        return found["config"], int(found["step"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"cannot read {folder / CONFIG} ({type(error).__name__}: {error}): copy the model again") from error
