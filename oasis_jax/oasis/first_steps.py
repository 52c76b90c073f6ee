"""What the first steps of a short training do instead of the whole step."""
import jax.numpy as jnp

from oasis_jax.layers.resampling import downsample
from oasis_jax.oasis import losses


def halved(batch):
    """A batch at half the height and width: photos are averaged, of label maps every second row and column is taken.

    Args:
        batch: {"image": (B, H, W, 3) uint8, "label_map": (B, H, W) integer, and others, which stay as they are}.

    Returns:
        {"image": (B, H/2, W/2, 3) float32 in 0..255, "label_map": (B, H/2, W/2), and the others}.
    """
    return batch | {"image": downsample(batch["image"].astype(jnp.float32)), "label_map": batch["label_map"][:, ::2, ::2]}


def segmentation_loss(discriminator, variables, mutable, params, image, label_map, weights):
    """The loss of real photos by class (section 3, first term of L_D), for D alone.

    Args:
        discriminator: Discriminator.
        variables: its variables.
        mutable: its collections that a pass updates.
        params: those to be differentiated by, instead of those of `variables`.
        image: (B, H, W, 3) in [-1, 1].
        label_map, weights: as of `losses.real_target_loss`.

    Returns:
        (loss, (loss, new collections)).
    """
    logits, statistics = discriminator.apply({**variables, "params": params}, image, train=True, mutable=mutable)
    loss = losses.real_target_loss(logits, label_map, weights)
    return loss, (loss, statistics)
