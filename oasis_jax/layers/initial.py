"""Initial variables of a network."""
import math

import jax
import jax.numpy as jnp
import numpy as np

KERNEL_GAIN = 0.02  # gain of Xavier-normal kernels


def kernel_scale(shape, gain=KERNEL_GAIN):
    """Standard deviation of the Xavier-normal initial values of a kernel (k, k, C, D)."""
    return gain * math.sqrt(2 / (shape[0] * shape[1] * (shape[2] + shape[3])))


def kernel_init(key, shape, dtype=float):
    """Flax initialiser of one kernel; `layers.initial.initial_variables` draws all kernels of a network at once."""
    return kernel_scale(shape) * jax.random.normal(key, shape, dtype)


def standard_normal(key, shape, dtype=float):
    """Standard normal values, drawn as a flat array: XLA takes twenty times as long to compile a draw along several axes."""
    return jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)


def drawn_at_once(tree, key, scale):
    """Redraws all normally distributed leaves of a tree in one draw: XLA takes as long to compile a draw as a convolution.

    Args:
        tree: pytree of nested dicts.
        key: JAX key.
        scale: (names of the path, leaf) -> standard deviation of a leaf, or None to keep it.
    """
    fresh, structure = jax.tree_util.tree_flatten_with_path(tree)
    scales = [scale([part.key for part in path], leaf) for path, leaf in fresh]
    sizes = [0 if each is None else leaf.size for each, (_, leaf) in zip(scales, fresh, strict=True)]
    drawn = jnp.split(jax.random.normal(key, (sum(sizes),)), np.cumsum(sizes)[:-1])
    leaves = [
        leaf if each is None else each * values.reshape(leaf.shape) for each, (_, leaf), values in zip(scales, fresh, drawn, strict=True)
    ]
    return jax.tree.unflatten(structure, leaves)


def initial_variables(module, gain, key, *inputs):
    """Like `module.init`, but with a gain, and with a single draw for the Xavier-normal kernels of all layers.

    Args:
        module: Linen module whose Xavier-normal parameters are called "kernel".
        gain: gain of these kernels.
        key: JAX key.
        *inputs: inputs of the module.

    Returns:
        {"params", and the module's other collections "batch_stats" and "spectral_norm"}.
    """

    def scale(path, leaf):
        return kernel_scale(leaf.shape, gain) if path[-1] == "kernel" else None

    params = drawn_at_once(module.init(key, *inputs)["params"], key, scale)
    _, statistics = module.apply({"params": params}, *inputs, mutable=["batch_stats", "spectral_norm"])
    return {"params": params, **statistics}
