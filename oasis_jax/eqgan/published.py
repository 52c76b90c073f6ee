"""Conversion between our variables and the state dicts of the published PyTorch system, EqGAN-SA or plain StyleGAN2-ADA."""
import re

import numpy as np

from oasis_jax import state_dicts
from oasis_jax.eqgan.mapping import AVERAGES
from oasis_jax.eqgan.synthesis import COARSEST, NOISE

_LEVELS = {"l1": "b8", "l2": "b16", "l3": "b32"}  # our names of the heatmap levels, and the published ones
_OF_SEL = {"shared": ["shared.0"], "sigma_mu": ["sigma", "mu"], "output": ["output.1"]}


def generator_from_state_dict(state_dict, template):
    """Variables of a Generator; the arguments, result and errors are those of `state_dicts.from_state_dict`."""
    return state_dicts.from_state_dict(_without_filters(state_dict), template, _names_in_generator, _from_torch)


def discriminator_from_state_dict(state_dict, template):
    """Variables of a Discriminator; arguments, result and errors as in `generator_from_state_dict`."""
    return state_dicts.from_state_dict(_without_filters(state_dict), template, _names_in_discriminator, _from_torch)


def generator_to_state_dict(variables):
    """Inverse of `generator_from_state_dict`, without the resampling filters. Also accepts {"params": a tree of parameters} alone."""
    return state_dicts.to_state_dict(variables, _names_in_generator, _to_torch)


def discriminator_to_state_dict(variables):
    """Inverse of `discriminator_from_state_dict`; arguments and result as in `generator_to_state_dict`."""
    return state_dicts.to_state_dict(variables, _names_in_discriminator, _to_torch)


def _without_filters(state_dict):
    return {name: np.asarray(array) for name, array in state_dict.items() if not name.endswith("resample_filter")}


def _names_in_generator(path):
    collection, network, *modules = path
    if collection == NOISE:
        block, layer = modules[0].split("_")
        return [f"synthesis.{block}.{layer}.noise_const"]
    if collection == AVERAGES or network == "mapping":
        return [".".join(path[1:])]
    if modules == ["const"]:
        return [f"synthesis.b{COARSEST}.const"]
    if modules[0] == "encoder":
        level, number = modules[1].split("_")
        return [f"synthesis.hm_conv{number}_{_LEVELS[level]}.{modules[2]}"]
    if "sel" in modules:
        return [f"synthesis.{modules[0]}.{modules[1]}.sel.{inner}.{modules[4]}" for inner in _OF_SEL[modules[3]]]
    return [".".join(path[1:])]


def _names_in_discriminator(path):
    name = ".".join(path[1:])
    return [name if re.match(r"b\d", name) else f"b{COARSEST}.{name}"]


def _from_torch(path, array):
    if path[0] == NOISE or array.ndim < 2:
        return array
    if path[-2:] == ("fc", "weight"):  # its inputs are flattened in the order C, H, W
        array = array.reshape(len(array), -1, COARSEST, COARSEST).transpose(0, 2, 3, 1).reshape(array.shape)
    return array.transpose({2: (1, 0), 3: (1, 2, 0), 4: (2, 3, 1, 0)}[array.ndim])


def _to_torch(path, array):
    if path[0] == NOISE or array.ndim < 2:
        return array
    array = array.transpose({2: (1, 0), 3: (2, 0, 1), 4: (3, 2, 0, 1)}[array.ndim])
    if path[-2:] == ("fc", "weight"):
        array = array.reshape(len(array), COARSEST, COARSEST, -1).transpose(0, 3, 1, 2).reshape(array.shape)
    return array
