"""Weights that stand in for published ones in golden cases: made from names and a seed, entry by entry."""
import json
import pathlib
import zlib

import numpy as np


def recipe_weights(manifest_path):
    """State dict {name: float32 array} of the evaluator, whose entries are {name, shape, kind, gain} in PyTorch's names and layouts."""
    manifest = json.loads(pathlib.Path(manifest_path).read_text())
    return {entry["name"]: _array(entry, manifest["seed"]) for entry in manifest["entries"]}


def _array(entry, seed):
    shape, rng = tuple(entry["shape"]), np.random.default_rng(zlib.crc32(entry["name"].encode()) + seed)
    match entry["kind"]:
        case "conv" | "linear":
            array = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        case "bn_weight" | "bn_var":
            array = rng.uniform(0.5, 1.5, shape)
        case "bias" | "bn_mean":
            array = 0.1 * rng.standard_normal(shape)
        case kind:
            raise ValueError(f"{entry['name']} is of unknown kind {kind!r}")
    return (array * entry["gain"]).astype(np.float32)


def eqgan_normal(tag, shape, seed):
    """Standard normal float32 numbers of a name and a seed: inputs of the EqGAN-SA cases, and their weights."""
    return np.random.default_rng(zlib.crc32(tag.encode()) + seed).standard_normal(tuple(shape), dtype=np.float32)


def eqgan_weights(manifest_path, module):
    """State dict {name: float32 array} of one of EqGAN-SA's modules that is built of weights and biases alone."""
    entry = json.loads(pathlib.Path(manifest_path).read_text())[module]
    state = {name: eqgan_normal(entry["prefix"] + name, shape, entry["seed"]) for name, shape in entry["tensors"]}
    return {name: array * np.float32(0.1) if name.endswith(".bias") else array for name, array in state.items()}
