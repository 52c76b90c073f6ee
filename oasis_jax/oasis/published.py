"""Conversion between our variables and the state dicts of the published PyTorch system.

Works on dicts of numpy arrays in PyTorch's layout (convolutions OIHW, singular vectors v in I, kh, kw order); PyTorch itself is not needed.
Each leaf of our variables corresponds to one entry of the state dict, gamma_beta to two. `num_batches_tracked` carries no information and
is dropped.
"""
import pickle
import re

import numpy as np
from flax import traverse_util

from oasis_jax import state_dicts
from oasis_jax.files import expanded

_BLOCKS = {"block": "body", "encoder": "body_down", "decoder": "body_up"}
_LEAVES = {"bias": "bias", "u": "weight_u", "v": "weight_v", "mean": "running_mean", "var": "running_var"}


def read_pth(path):
    """The state dict in a .pth file as {name: numpy array}; code in the file is not executed.

    Raises:
        ImportError: PyTorch is not installed.
        ValueError: the file is missing, damaged, or not a plain state dict.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"reading {path} needs PyTorch: pip install 'oasis_jax[convert]'") from error
    try:
        state_dict = torch.load(expanded(path), map_location="cpu", weights_only=True)
        return {name: tensor.numpy() for name, tensor in state_dict.items()}
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read as a state dict ({error}): give a published *_EMA.pth, *_G.pth or *_D.pth") from error


def from_state_dict(state_dict, template):
    """Variables of a Generator or Discriminator from a published state dict.

    Args:
        state_dict: name -> array. A "module." prefix, `num_batches_tracked` and a missing `weight_v` are tolerated.
        template: the variables, as arrays or ShapeDtypeStructs, with collections "params", "spectral_norm" and optionally "batch_stats".

    Returns:
        The template's tree, filled with numpy arrays of the state dict's dtypes.

    Raises:
        ValueError: entries are missing, unexpected or of the wrong shape; the message lists all of them.
    """
    given = {name.removeprefix("module."): np.asarray(array) for name, array in state_dict.items()}
    given = {name: array for name, array in given.items() if not name.endswith("num_batches_tracked")}
    leaves = traverse_util.flatten_dict(template)
    _fill_missing_v(given)
    return state_dicts.from_state_dict(
        given,
        template,
        lambda path: state_dict_names(path, leaves),
        lambda path, array: _from_torch(path[-1], array, leaves.get(("params", *path[1:-1], "kernel"))),
    )


def to_state_dict(variables):
    """Inverse of `from_state_dict`, without `num_batches_tracked`: name -> numpy array. Also accepts a tree of parameters alone."""
    leaves = traverse_util.flatten_dict(variables)
    return state_dicts.to_state_dict(
        variables,
        lambda path: state_dict_names(path, leaves),
        lambda path, array: _to_torch(path[-1], array, leaves.get(("params", *path[1:-1], "kernel"))),
    )


def state_dict_names(path, leaves):
    """Published names of one leaf: one name, or two (gamma and beta) whose arrays are concatenated along the leaf's last axis.

    Args:
        path: (collection, module, ..., leaf).
        leaves: paths of all leaves; they determine which kernels are spectrally normalised.
    """
    modules, leaf = path[1:-1], path[-1]
    if leaf == "kernel":
        leaf = "weight_orig" if ("spectral_norm", *modules, "u") in leaves else "weight"
    else:
        leaf = _LEAVES[leaf]
    return [f"{module}.{leaf}" for module in _module_names(modules)]


def _module_names(modules):
    first = modules[0]
    if len(modules) == 1:
        return [{"conv_in": "fc", "conv_out": "conv_img", "logits": "layer_up_last"}[first]]
    kind, index = re.fullmatch(r"(block|encoder|decoder)_(\d+)", first).groups()
    block = f"{_BLOCKS[kind]}.{index}"
    inner = modules[1]
    if inner.startswith("spade_"):
        norm = f"{block}.norm_{inner[-1]}"
        return {
            "norm": [f"{norm}.first_norm"],
            "shared": [f"{norm}.mlp_shared.0"],
            "gamma_beta": [f"{norm}.mlp_gamma", f"{norm}.mlp_beta"],
        }[modules[2]]
    if kind == "block" or inner == "conv_s":
        return [f"{block}.{inner}"]
    # Positions inside the published Sequentials: activation and upsampling come before the convolution.
    position = {"conv_0": {"encoder": 0 if index == "0" else 1, "decoder": 2}[kind], "conv_1": 1}[inner]
    return [f"{block}.conv{int(inner[-1]) + 1}.{position}"]


def _fill_missing_v(state_dict):
    for name in [n for n in state_dict if n.endswith("weight_u")]:
        base = name[: -len("_u")]
        if f"{base}_v" not in state_dict and f"{base}_orig" in state_dict:
            weight = state_dict[f"{base}_orig"]
            v = weight.reshape(len(weight), -1).T @ state_dict[name]
            state_dict[f"{base}_v"] = v / max(np.linalg.norm(v), 1e-12)


def _from_torch(leaf, array, kernel):
    if leaf == "kernel":
        return array.transpose(2, 3, 1, 0)
    if leaf == "v" and array.size == np.prod(kernel.shape[:3]):
        return array.reshape(kernel.shape[2], *kernel.shape[:2]).transpose(1, 2, 0).reshape(-1)
    return array


def _to_torch(leaf, array, kernel):
    if leaf == "kernel":
        return array.transpose(3, 2, 0, 1)
    if leaf == "v":
        return array.reshape(kernel.shape[:3]).transpose(2, 0, 1).reshape(-1)
    return array
