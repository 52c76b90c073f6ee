"""Arrays for tests."""
import jax.numpy as jnp
import numpy as np


def normal(seed, shape):
    """Normally distributed values, always the same for a seed; float32, or float64 if that is enabled."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))
