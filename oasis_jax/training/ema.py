"""The averaged generator that samples: its running batch statistics are renewed before it is used or saved (OASIS section 6)."""
import functools

import jax

from oasis_jax.training.step import MUTABLE_G

REFRESH = 3  # purpose of these random numbers; a step uses 0 to 2


@functools.partial(jax.jit, static_argnums=0)
def refresh_once(generator, variables, batch, seed, index):
    """One training-mode forward of the EMA generator: new variables with renewed statistics and singular vectors, the same parameters.

    Args:
      generator: Generator module.
      variables: the EMA generator's variables.
      batch: {"label_map": (B, H, W) integer}, and "heatmaps" (B, 2, 7, 3) for a spatially aware generator, of which those of the G update
        are taken.
      seed: of the run.
      index: of this forward; together with the seed it determines the noise.
    """
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), index), REFRESH)
    label_map, heatmaps = batch["label_map"].astype("int32"), batch["heatmaps"][:, 0] if generator.spatially_aware else None
    noise = jax.random.normal(key, (label_map.shape[0] * generator.z_dim,)).reshape(-1, generator.z_dim) if generator.z_dim else None
    _, statistics = generator.apply(variables, label_map, noise, heatmaps, train=True, mutable=MUTABLE_G)
    return {**variables, **statistics}
