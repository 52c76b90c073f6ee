"""Batches at half the resolution, for the first steps of a short training run."""
import jax.numpy as jnp

from oasis_jax.layers.resampling import downsample


def halved(batch):
    """Halves the height and width of a batch: photos are average-pooled; every second row and column of label maps is kept.

    Args:
        batch: {"image": (B, H, W, 3) uint8, "label_map": (B, H, W) integer, and other entries, which are not changed}.

    Returns:
        {"image": (B, H/2, W/2, 3) float32 in 0..255, "label_map": (B, H/2, W/2), and the other entries}.
    """
    return batch | {"image": downsample(batch["image"].astype(jnp.float32)), "label_map": batch["label_map"][:, ::2, ::2]}
