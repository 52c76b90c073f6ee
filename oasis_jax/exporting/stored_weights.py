"""Storage formats for the weights of an exported model, which computes in float32 whatever the format."""
import jax
import jax.numpy as jnp
import numpy as np

FORMATS = ("float32", "float16", "int8")
SMALL = 256  # arrays with at most this many values, such as biases, are always stored as float32


def quantised(values, axis=-1):
    """Quantises weights to integers, with a scale for each output channel.

    Args:
        values: array of floats.
        axis: axis of the output channels.

    Returns:
        (int8 in -127..127 of the same shape, float32 scales to multiply by, with the same number of axes).
    """
    axes = tuple(i for i in range(values.ndim) if i != axis % values.ndim)
    scale = np.abs(values).max(axes, keepdims=True) / 127
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    return np.clip(np.round(values / scale), -127, 127).astype(np.int8), scale


def stored(variables, weights):
    """Converts the kernels of variables to a storage format, and returns a function that converts them back to float32.

    Args:
        variables: a network's variables, with kernels in the collection "params". All other values stay as they are.
        weights: one of FORMATS; "float32" leaves the kernels as they are too.

    Returns:
        (stored variables, a pytree; a traceable function of them that returns variables like the given ones).
    """
    params, tree = jax.tree.flatten(variables["params"])
    packed = {**variables, "params": [_packed(leaf, weights) for leaf in params]}
    return packed, lambda variables: {**variables, "params": tree.unflatten(map(_unpacked, variables["params"]))}


def _packed(leaf, weights):
    if weights == "float32" or leaf.ndim < 2 or leaf.size <= SMALL:
        return leaf
    return np.asarray(leaf, np.float16) if weights == "float16" else quantised(np.asarray(leaf))


def _unpacked(packed):
    if isinstance(packed, tuple):
        integers, scale = packed
        return integers * scale
    return packed.astype(jnp.float32) if packed.dtype == jnp.float16 else packed
