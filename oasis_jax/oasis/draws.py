"""The random numbers of a training step: a function of (seed, step, purpose) only, independent of the sharding."""
import flax.struct
import jax

from oasis_jax.layers.initial import standard_normal
from oasis_jax.oasis import losses
from oasis_jax.oasis.translation import draw_offsets

PURPOSES = 0, 1, 2, 7, 8  # noise of the two updates, LabelMix, translation in the two updates; 3, 5 and 6 are used elsewhere


@flax.struct.dataclass
class Draws:
    """The random numbers of one step.

    Attributes:
        noise_g, noise_d: (B, z_dim), for the fakes of the G update and of the D update; None without noise.
        labelmix_mask: (B, H, W) of 0 and 1, 1 where the mixed image is real.
        heatmaps_g, heatmaps_d: (B, 7, 3), for the two updates; None without spatial awareness.
        offsets_g, offsets_d: (B, 2) int32, rows and columns, the translations of what D sees in the two updates; None without translation.
    """

    noise_g: jax.Array | None
    noise_d: jax.Array | None
    labelmix_mask: jax.Array
    heatmaps_g: jax.Array | None = None
    heatmaps_d: jax.Array | None = None
    offsets_g: jax.Array | None = None
    offsets_d: jax.Array | None = None


def draw(seed, step, label_map, num_classes, z_dim, heatmaps=None, translation=0):
    """The Draws of a step, a function of (seed, step, purpose) only.

    Args:
        seed, step: of the run, and the number of updates before this one.
        label_map: (B, H, W) int32.
        num_classes, z_dim: of the generator.
        heatmaps: (B, 2, 7, 3) for the two updates, which come with the batch; None without spatial awareness.
        translation: largest translation of what D sees, in pixels; 0 for none.
    """
    keys = [jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), step), purpose) for purpose in PURPOSES]
    batch = label_map.shape[0]
    noise = [draw_noise(key, batch, z_dim) for key in keys[:2]]
    bits = jax.random.bernoulli(keys[2], shape=(batch * num_classes,)).reshape(batch, num_classes)
    of_updates = (None, None) if heatmaps is None else (heatmaps[:, 0], heatmaps[:, 1])
    offsets = [draw_offsets(key, batch, translation) for key in keys[3:]]
    return Draws(*noise, losses.labelmix_mask(label_map, bits), *of_updates, *offsets)


def draw_noise(key, batch, z_dim):
    """(batch, z_dim) standard normal, or None if z_dim is 0."""
    return standard_normal(key, (batch, z_dim)) if z_dim else None
