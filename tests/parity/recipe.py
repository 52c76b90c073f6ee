"""Weights that stand in for published ones in the golden cases of the evaluator: made from names and a seed, entry by entry."""
import json
import pathlib
import zlib

import numpy as np


def recipe_weights(manifest_path):
    """State dict {name: float32 array} of a manifest, whose entries are {name, shape, kind, gain} in PyTorch's names and layouts."""
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
