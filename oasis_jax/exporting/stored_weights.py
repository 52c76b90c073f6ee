"""How the weights of an exported model are stored. It computes in float32 whatever they are stored in."""
import jax
import jax.numpy as jnp
import numpy as np

FORMATS = ("float32", "float16", "int8")
SMALL = 256  # arrays of at most so many values, such as biases, are always stored as float32


def quantised(values, axis=-1):
    """Weights as integers and a scale for each output channel.

    Args:
        values: array of floats.
        axis: of the output channels.

    Returns:
        (int8 in -127..127 of the same shape, float32 scales to multiply by, of the same number of axes).
    """
    axes = tuple(i for i in range(values.ndim) if i != axis % values.ndim)
    scale = np.abs(values).max(axes, keepdims=True) / 127
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    return np.clip(np.round(values / scale), -127, 127).astype(np.int8), scale


def stored(variables, weights):
    """Variables with their kernels in a format, and what makes them float32 again.

    Args:
        variables: of a network, with kernels in the collection "params"; other values are left as they are, and so are all in float32.
        weights: of FORMATS.

    Returns:
        (stored variables, a pytree; the function of them that returns variables like the given ones, to be traced).
    """
    params, tree = jax.tree.flatten(variables["params"])
    if weights == "float32":
        kept, back = params, lambda leaves: leaves
    elif weights == "float16":
        kept = [np.asarray(leaf, np.float16) if _is_kernel(leaf) else leaf for leaf in params]
        back = lambda leaves: [leaf.astype(jnp.float32) if leaf.dtype == np.float16 else leaf for leaf in leaves]  # noqa: E731
    else:
        kept = [quantised(np.asarray(leaf)) if _is_kernel(leaf) else leaf for leaf in params]
        back = lambda leaves: [leaf[0] * leaf[1] if isinstance(leaf, tuple) else leaf for leaf in leaves]  # noqa: E731
    return {**variables, "params": kept}, lambda variables: {**variables, "params": tree.unflatten(back(variables["params"]))}


def _is_kernel(leaf):
    return leaf.ndim > 1 and leaf.size > SMALL
