"""The random numbers of a training step: a function of (seed, step, purpose) only, independent of the sharding."""
import flax.struct
import jax

from oasis_jax.layers.initial import standard_normal
from oasis_jax.oasis import losses


@flax.struct.dataclass
class Draws:
    """The random numbers of one step.

    Attributes:
        noise_g, noise_d: (B, z_dim), for the fakes of the G update and of the D update; None without noise.
        labelmix_mask: (B, H, W) of 0 and 1, 1 where the mixed image is real.
        heatmaps_g, heatmaps_d: (B, 7, 3), for the two updates; None without spatial awareness.
    """

    noise_g: jax.Array | None
    noise_d: jax.Array | None
    labelmix_mask: jax.Array
    heatmaps_g: jax.Array | None = None
    heatmaps_d: jax.Array | None = None


def draw(seed, step, label_map, num_classes, z_dim, heatmaps=None):
    """The Draws of a step, a function of (seed, step, purpose) only. `heatmaps`, (B, 2, 7, 3) for the two updates, come with the batch."""
    keys = [jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), step), purpose) for purpose in range(3)]
    batch = label_map.shape[0]
    noise = [draw_noise(key, batch, z_dim) for key in keys[:2]]
    bits = jax.random.bernoulli(keys[2], shape=(batch * num_classes,)).reshape(batch, num_classes)
    of_updates = (None, None) if heatmaps is None else (heatmaps[:, 0], heatmaps[:, 1])
    return Draws(*noise, losses.labelmix_mask(label_map, bits), *of_updates)


def draw_noise(key, batch, z_dim):
    """(batch, z_dim) standard normal, or None if z_dim is 0."""
    return standard_normal(key, (batch, z_dim)) if z_dim else None
