"""Golden numbers of the published PyTorch systems: a folder with a full or a small set of them.

The folder is OASIS_GOLDEN_DIR, or ../shared/golden next to the checkout, or the small set in this directory. It may hold any of the parts
oasis, eqgan and eval: tests of what it lacks are skipped. Weights and inputs that a case does not store are regenerated with numpy. Arrays
are in PyTorch's layout: NCHW, OIHW.
"""
import dataclasses
import functools
import json
import os
import pathlib
import re
import warnings
import zlib

import numpy as np
import pytest

SMALL_SET = pathlib.Path(__file__).parent / "golden"
BESIDE = pathlib.Path(__file__).parents[3] / "shared" / "golden"


def golden_dir():
    if "OASIS_GOLDEN_DIR" in os.environ:
        return pathlib.Path(os.environ["OASIS_GOLDEN_DIR"])
    return BESIDE if BESIDE.is_dir() else SMALL_SET


@functools.cache
def golden_arrays(name):
    """The arrays of a file, by its name in the golden folder without the ending: "eval/miou_toy"."""
    with np.load(golden_dir() / f"{name}.npz") as stored:
        return dict(stored)


def needs(*names, arrays=(), because=""):
    """Returns a mark that skips a test whose golden numbers are not in the folder.

    Args:
        names: files, by their paths in the golden folder.
        arrays: names of arrays, whole or thinned, in the first file.
        because: why a golden folder may lack them.
    """
    missing = [name for name in names if not (golden_dir() / name).is_file()]
    reason = f"the golden set has no {', '.join(missing)}"
    if arrays and not missing:
        with np.load(golden_dir() / names[0]) as stored:
            missing = [array for array in arrays if not any(thinning(key, array) for key in stored.files)]
        reason = f"{names[0]} of the golden set has no {', '.join(missing)}"
    return pytest.mark.skipif(bool(missing), reason=f"{reason}: {because}" if because else reason)


def needs_photos(*names, arrays=()):
    """`needs` for numbers that were measured on photos of CamVid."""
    return needs(*names, arrays=arrays, because="measured on photos of CamVid, which only a full set holds")


def thinning(key, name):
    """K if the array `key` holds every K-th row and column of the output `name`: NAME_sK, or NAME, where K is 1; else None."""
    found = re.fullmatch(rf"{re.escape(name)}(?:_s(\d+))?", key)
    return int(found[1] or 1) if found else None


def thinned(arrays, name):
    """(array, K) of an output of which every K-th row and column is stored.

    Raises:
        KeyError: it is not stored at all.
    """
    for key, array in arrays.items():
        if step := thinning(key, name):
            return array, step
    raise KeyError(name)


def stored_groups(file, pattern):
    """Distinct matches of a pattern's group in the names of a file's arrays; none if the golden folder lacks the file."""
    names = golden_arrays(file) if (golden_dir() / f"{file}.npz").is_file() else ()
    return list(dict.fromkeys(found[1] for name in names if (found := re.fullmatch(pattern, name))))


def parameters(found, missing):
    """Parameters of a test: those that were found, or a skipped one that says what is missing."""
    return list(found) or [pytest.param(None, id="none", marks=pytest.mark.skip(reason=f"the golden set has no {missing}"))]


def net_cases(net):
    """Parameters of a test: the cases of a network with recipe weights, as the names of their files without the ending.

    A case is two files, NAME.npz and NAME.manifest.json; the manifest says which network it is for.
    """
    manifests = sorted(golden_dir().rglob("*.manifest.json"))
    names = [path.relative_to(golden_dir()).as_posix().removesuffix(".manifest.json") for path in manifests]
    of_net = (name for name, path in zip(names, manifests, strict=True) if json.loads(path.read_text()).get("net") == net)
    return parameters((name for name in of_net if (golden_dir() / f"{name}.npz").is_file()), f"case of {net}")


def skip_without(name, *arrays):
    """Skips a test if arrays, whole or thinned, are missing in a file of the golden folder; says which."""
    missing = [array for array in arrays if not any(thinning(key, array) for key in golden_arrays(name))]
    if missing:
        pytest.skip(f"{name} of the golden set has no {', '.join(missing)}")


class OtherWeightsWarning(UserWarning):
    """A case is compared less strictly, because numpy on this machine does not reproduce the weights of the published system."""


@dataclasses.dataclass(frozen=True, eq=False)  # hashable, because pytest orders tests by their parameters
class Case:
    """One entry of a manifest and the folder it lies in."""

    folder: pathlib.Path
    entry: dict

    @property
    def name(self):
        return f"{self.folder.name}/{self.entry['name']}"

    @property
    def config(self):
        return self.entry["config"]

    def arrays(self, prefix=""):
        """{name without the prefix: array} of the stored arrays whose names begin with the prefix."""
        with np.load(self.folder / self.entry["file"]) as stored:
            return {name[len(prefix) :]: stored[name] for name in stored.files if name.startswith(prefix)}

    def state_dict(self, key):
        """The recipe's weights for the network that the entry names at `key`."""
        networks = json.loads((self.folder / "state_dicts.json").read_text())
        network = networks[self.entry[key]]
        entries = networks[network.get("same_as", self.entry[key])]["entries"]
        seed = self.entry["weights_seed"]
        seed = seed[key.rsplit("_", 1)[-1]] if isinstance(seed, dict) else seed
        state = make_state(entries, seed, self.entry.get("power_iters", 30))
        check = self.entry.get("weights_check", {})
        expected = check.get(key.rsplit("_", 1)[-1], check).get("crc32_without_uv")
        if checksum(state) != expected:
            _HAVE_OTHER_WEIGHTS.add(self.name)
        return state

    @property
    def has_other_weights(self):
        """Whether `state_dict` has made weights that differ from the published ones, or for which the manifest has no checksum.

        The last bit of numpy's normal draws depends on the C library, and singular vectors depend on the linear algebra library.
        """
        return self.name in _HAVE_OTHER_WEIGHTS

    def note_other_weights(self):
        """Warns, in the output of the tests, that tolerances are wider."""
        message = f"recipe weights of {self.name} are not the published ones in every bit: float64 is compared as float32 allows"
        warnings.warn(message, OtherWeightsWarning, stacklevel=2)

    def label_map(self):
        """The label map (B, H, W) of the case, stored or drawn."""
        stored, entry = self.arrays("in/"), self.entry
        if "label" in stored:
            return stored["label"]
        return make_labels(entry["label_seed"], entry["batch"], entry["height"], entry["width"], self.config["semantic_nc"])

    def image(self):
        """The images (B, 3, H, W) of the case, stored or drawn."""
        stored, entry = self.arrays("in/"), self.entry
        if "image" in stored:
            return stored["image"]
        return make_image(entry["image_seed"], entry["batch"], entry["height"], entry["width"])


_HAVE_OTHER_WEIGHTS = set()


def checksum(state):
    """crc32 of all arrays of a state dict, in its order, except singular vectors, which depend on the linear algebra library."""
    found = 0
    for name, array in state.items():
        if not name.endswith(("weight_u", "weight_v")):
            found = zlib.crc32(np.ascontiguousarray(array).tobytes(), found)
    return found


def find_cases(folder=None):
    """The cases of all manifests in a golden folder that list cases; other manifests describe the weights of one network."""
    cases = []
    for path in sorted((folder or golden_dir()).rglob("*manifest.json")):
        manifest = json.loads(path.read_text())
        if "cases" in manifest:
            entries = manifest["cases"]
            cases += [Case(path.parent, entry) for entry in (entries.values() if isinstance(entries, dict) else entries)]
    return cases


def _rng(name, seed):
    return np.random.default_rng(zlib.crc32(name.encode()) + int(seed))


def make_state(entries, seed, power_iters):
    """Weights of a network: a dict of arrays in the order of `entries`, each (name, shape, dtype)."""
    state = {}
    for name, shape, _ in entries:
        leaf, rng = name.rsplit(".", 1)[-1], _rng(name, seed)
        if leaf in ("weight", "weight_orig"):
            state[name] = rng.standard_normal(shape, dtype=np.float32) * np.float32(1 / np.sqrt(np.prod(shape[1:])))
        elif leaf in ("bias", "running_mean"):
            state[name] = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.1)
        elif leaf == "running_var":
            state[name] = rng.uniform(0.5, 1.5, shape).astype(np.float32)
        elif leaf == "num_batches_tracked":
            state[name] = np.zeros(shape, np.int64)
    for name in [name for name in state if name.endswith("weight_orig")]:
        base = name.removesuffix("_orig")
        matrix = state[name].astype(np.float64).reshape(len(state[name]), -1)
        u = _rng(f"{base}_u", seed).standard_normal(len(matrix), dtype=np.float32).astype(np.float64)
        u /= np.linalg.norm(u)
        for _ in range(power_iters):
            v = matrix.T @ u
            v /= np.linalg.norm(v)
            u = matrix @ v
            u /= np.linalg.norm(u)
        state[f"{base}_u"], state[f"{base}_v"] = u.astype(np.float32), v.astype(np.float32)
    return {name: state[name] for name, _, _ in entries}


def make_labels(seed, batch, height, width, num_classes, block=8, speckle=0.1, low=0):
    """Blocky label maps (batch, height, width) with single-pixel speckle."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(low, num_classes, (batch, -(-height // block), -(-width // block)))
    labels = labels.repeat(block, 1).repeat(block, 2)[:, :height, :width]
    speckled = rng.random((batch, height, width)) < speckle
    return np.where(speckled, rng.integers(low, num_classes, (batch, height, width)), labels)


def make_normal(seed, shape):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def make_image(seed, batch, height, width):
    """Uniform noise images (batch, 3, height, width) in [-1, 1)."""
    return np.random.default_rng(seed).uniform(-1, 1, (batch, 3, height, width)).astype(np.float32)


def sample_index(size, count=16):
    """Flat indices of those elements of a large tensor that are stored."""
    return np.linspace(0, size - 1, min(size, count)).astype(np.int64)
