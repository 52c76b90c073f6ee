"""Refreshes the batch statistics of the averaged generator with training batches (OASIS section 6)."""
import functools

import jax

from oasis_jax.oasis.draws import draw_noise
from oasis_jax.oasis.generator import MUTABLE_G
from oasis_jax.updates import over_parts

REFRESH = 3  # purpose of the random numbers of `refresh_once`; the purposes of a training step are in `draws.draw`


@functools.partial(jax.jit, static_argnums=(0, 5))
def refresh_once(generator, variables, batch, seed, number, parts=1):
    """One forward pass of the averaged generator in training mode (OASIS section 6).

    Args:
        generator: Generator module.
        variables: variables of the averaged generator.
        batch: {"label_map": (B, H, W) integer}, and "heatmaps" (B, 2, 7, 3) for a spatially aware generator; only those of the G update
            are used.
        seed: seed of the run.
        number: number of this batch; together with the seed it determines the noise.
        parts: number of parts of the batch, computed one after the other; the new statistics are the mean over parts.

    Returns:
        The variables with updated batch statistics and singular vectors, and the same params.
    """
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), number), REFRESH)
    label_map, heatmaps = batch["label_map"].astype("int32"), batch["heatmaps"][:, 0] if generator.spatially_aware else None
    noise = draw_noise(key, len(label_map), generator.z_dim)

    def statistics(*part):
        return generator.apply(variables, *part, train=True, mutable=MUTABLE_G)[1]

    return {**variables, **over_parts(statistics, (label_map, noise, heatmaps), parts)}
