"""Image synthesis with GANs in JAX and Flax: train, sample and evaluate."""
__version__ = "0.1.0"


def load(path, best=False):
    """Loads a generator to sample from; see `oasis_jax.sampling.load`."""
    from oasis_jax.sampling import load  # so that `import oasis_jax` is instant

    return load(path, best)
