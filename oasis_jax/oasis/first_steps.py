"""What the first steps of a short training learn from instead of whole images."""
import jax.numpy as jnp

from oasis_jax.layers.resampling import downsample


def halved(batch):
    """A batch at half the height and width: photos are averaged, of label maps every second row and column is taken.

    Args:
        batch: {"image": (B, H, W, 3) uint8, "label_map": (B, H, W) integer, and others, which stay as they are}.

    Returns:
        {"image": (B, H/2, W/2, 3) float32 in 0..255, "label_map": (B, H/2, W/2), and the others}.
    """
    return batch | {"image": downsample(batch["image"].astype(jnp.float32)), "label_map": batch["label_map"][:, ::2, ::2]}
