"""Initial variables of a network."""
import math

import jax
import jax.numpy as jnp
import numpy as np

KERNEL_GAIN = 0.02  # of Xavier-normal kernels


def kernel_scale(shape, gain=KERNEL_GAIN):
    """Standard deviation of the Xavier-normal initial values of a kernel (k, k, C, D)."""
    return gain * math.sqrt(2 / (shape[0] * shape[1] * (shape[2] + shape[3])))


def kernel_init(key, shape, dtype=float):
    """Flax initialiser of one kernel; `layers.initial.initial_variables` draws all kernels of a network at once."""
    return kernel_scale(shape) * jax.random.normal(key, shape, dtype)


def initial_variables(module, gain, key, *inputs):
    """Like `module.init`, but with a gain, and with one draw for the Xavier-normal kernels of all layers.

    XLA takes as long to compile one draw as one convolution.

    Args:
        module: Linen module whose Xavier-normal parameters are called "kernel".
        gain: of these kernels.
        key: JAX key.
        *inputs: of the module.

    Returns:
        {"params", and the module's other collections "batch_stats" and "spectral_norm"}.
    """
    fresh, tree = jax.tree_util.tree_flatten_with_path(module.init(key, *inputs)["params"])
    kernels = [leaf.size if path[-1].key == "kernel" else 0 for path, leaf in fresh]
    drawn = jnp.split(jax.random.normal(key, (sum(kernels),)), np.cumsum(kernels)[:-1])
    leaves = [
        kernel_scale(leaf.shape, gain) * values.reshape(leaf.shape) if values.size else leaf
        for (_, leaf), values in zip(fresh, drawn, strict=True)
    ]
    params = jax.tree.unflatten(tree, leaves)
    _, statistics = module.apply({"params": params}, *inputs, mutable=["batch_stats", "spectral_norm"])
    return {"params": params, **statistics}
