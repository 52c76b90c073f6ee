"""Reads state dicts of PyTorch systems and converts them to our variables, and back: a leaf is one or several concatenated entries."""
import zipfile
import zlib

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util


def read_npz(path):
    """The arrays of an .npz, {name: array}; nothing is unpickled.

    Raises:
        OSError: the file does not exist or cannot be read.
        ValueError: it is not an .npz of plain arrays, or was not copied whole.
    """
    with open(path, "rb") as file:  # NumPy would leave a damaged file open
        if (start := file.read(8))[:2] != b"PK":
            raise ValueError(f"it begins with {start!r}, not as a zip does")
        file.seek(0)
        try:
            stored = np.load(file, allow_pickle=False)
            return {name: stored[name] for name in stored.files}
        except (EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:  # of zipfile, depending on the damage
            raise ValueError(error) from error


def from_state_dict(given, template, names_of, convert):
    """Converts a state dict to variables.

    Args:
        given: {name: numpy array in PyTorch's layout}.
        template: the variables, as arrays or ShapeDtypeStructs.
        names_of: path of a leaf, a tuple -> names of its entries, whose arrays are concatenated along the last axis.
        convert: (path, array) -> the array in our layout.

    Returns:
        The template's tree, filled with numpy arrays of the state dict's dtypes.

    Raises:
        ValueError: entries are missing, unexpected or of the wrong shape; the message lists all of them.
    """
    leaves = traverse_util.flatten_dict(template)
    names = {path: names_of(path) for path in leaves}
    expected = {name for entry in names.values() for name in entry}
    faults = [f"missing {name}" for name in sorted(expected - set(given))]
    faults += [f"unexpected {name}" for name in sorted(set(given) - expected)]
    variables = {}
    for path, leaf in leaves.items():
        if not all(name in given for name in names[path]):
            continue
        arrays = [given[name] for name in names[path]]
        try:
            if any(array.ndim != len(leaf.shape) for array in arrays):
                raise ValueError("another number of axes")
            parts = [convert(path, array) for array in arrays]
            variables[path] = np.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
        except ValueError as error:
            shapes = " + ".join(str(array.shape) for array in arrays)
            faults.append(f"{' + '.join(names[path])} is {shapes}, but {'/'.join(path)} is {leaf.shape}: {error}")
            continue
        if variables[path].shape != leaf.shape:
            faults.append(f"{' + '.join(names[path])} gives {variables[path].shape}, but {'/'.join(path)} is {leaf.shape}")
    if faults:
        raise ValueError("the state dict does not fit the network:\n  " + "\n  ".join(faults))
    return traverse_util.unflatten_dict(variables)


def filled(template, state_dict, from_state_dict, name, hint=""):
    """Converts a state dict to a network's variables, JAX arrays of the template's dtypes.

    Args:
        template: the variables, as arrays or ShapeDtypeStructs.
        state_dict: {name: numpy array}.
        from_state_dict: (state_dict, template) -> numpy variables; may raise ValueError.
        name: of the network; error messages begin with it.
        hint: the end of error messages.
    """
    try:
        variables = from_state_dict(state_dict, template)
    except ValueError as error:
        raise ValueError(f"{name}: {error}\n{hint}") from error
    for path, array in traverse_util.flatten_dict(variables).items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: {'/'.join(path)} has values that are NaN or infinite: the file is damaged, or training had diverged")
    return jax.tree.map(lambda array, leaf: jnp.asarray(array, leaf.dtype), variables, template)


def to_state_dict(variables, names_of, convert):
    """The inverse of `from_state_dict`: {name: numpy array}; `convert` converts back to PyTorch's layout."""
    state_dict = {}
    for path, leaf in traverse_util.flatten_dict(jax.device_get(variables)).items():
        names = names_of(path)
        parts = np.split(leaf, len(names), axis=-1) if len(names) > 1 else [leaf]
        state_dict |= {name: convert(path, part) for name, part in zip(names, parts, strict=True)}
    return state_dict
