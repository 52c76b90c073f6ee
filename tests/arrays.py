"""Arrays for tests."""
import jax.numpy as jnp
import numpy as np


def normal(seed, shape):
    """Normally distributed values, the same ones for a seed; float32, or float64 where it is enabled."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))
