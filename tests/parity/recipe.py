"""Weights that stand in for published ones in golden cases: made from names and a seed, entry by entry."""
import json
import re
import zlib

import numpy as np
from goldens import golden_dir


def recipe_weights(name):
    """State dict {name: float32 array} of an evaluation network, in PyTorch's names and layouts; `name` is that of its case."""
    return make_weights(json.loads((golden_dir() / f"{name}.manifest.json").read_text()))


def make_weights(manifest):
    """State dict that a manifest describes: a seed, and the name, shape, kind and gain of each entry."""
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
        case "positive":  # slopes of PReLU and the heads of LPIPS
            array = rng.uniform(0, 0.5, shape)
        case kind:
            raise ValueError(f"{entry['name']} is of unknown kind {kind!r}")
    return (array * entry["gain"]).astype(np.float32)


def eqgan_normal(tag, shape, seed):
    """Standard normal float32 numbers, a function of name and seed: inputs and weights of the EqGAN-SA cases."""
    return np.random.default_rng(zlib.crc32(tag.encode()) + seed).standard_normal(tuple(shape), dtype=np.float32)


def eqgan_module(module):
    """The manifest's entry for one of EqGAN-SA's modules."""
    return eqgan_manifest()[module]


def eqgan_manifest():
    """{module: entry}."""
    return json.loads((golden_dir() / "eqgan/manifest.json").read_text())


def eqgan_weights(module):
    """State dict {name: float32 array} of one of EqGAN-SA's modules."""
    entry = eqgan_module(module)
    return {name: eqgan_array(entry["prefix"] + name, shape, entry["seed"]) for name, shape in entry["tensors"]}


def eqgan_array(name, shape, seed):
    """One float32 entry of an EqGAN-SA state dict, with the scale that it has in a trained network."""
    if name.endswith("resample_filter"):
        return (np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64).astype(np.float32)
    array = np.asarray(eqgan_normal(name, shape, seed))
    scales = {
        r"noise_strength": 0.1,
        r"w_avg": 0.5,
        r"mapping\.fc\d+\.weight": 100,  # the mapping has a learning-rate multiplier of 0.01, so its weights are stored 100 times as large
        r"mapping\.fc\d+\.bias": 10,
        r"(.*\.)?bias": 0.1,
    }
    scale = next((scale for ending, scale in scales.items() if re.search(rf"(^|\.){ending}$", name)), 1)
    return array * np.float32(scale) + np.float32(name.endswith("affine.bias"))
