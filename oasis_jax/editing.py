"""Editing with heatmaps: the same label map and noise with other heatmap centres (the editing operations of EqGAN-SA)."""
import jax.numpy as jnp
import numpy as np

from oasis_jax.heatmaps import of_seed, with_centres
from oasis_jax.layers.spatial import render


def strip(model, labels, path, seed=0, noise=None, heatmaps=None):
    """Generates images of one label map while the heatmap centres move along a path; label map, noise and widths are fixed.

    Args:
        model: spatially aware Model (`oasis_jax.load`).
        labels: (H, W) integer.
        path: (K, 2), positions (y, x) of the coarse centre, which the others follow; or (K, 7, 2), positions of all centres.
        seed: seed of noise and heatmaps.
        noise: replaces the noise of the seed; in a form that `Model.sample` takes for one image.
        heatmaps: (7, 3) to start from instead of those of the seed; their widths are kept.

    Returns:
        (images (K, H, W, 3) uint8, heatmaps (K, 7, 3)).

    Raises:
        ValueError: as `Model.sample` and `heatmaps.with_centres` do.
    """
    start = of_seed(seed) if heatmaps is None else heatmaps
    frames = np.stack([with_centres(start, centres) for centres in path])
    return np.concatenate([model.sample(labels, seed, noise, frame) for frame in frames]), frames


def straight(start, end, count):
    """`count` evenly spaced positions (count, 2) from one (y, x) to another, both included."""
    return np.linspace(start, end, count)


def mean_absolute_change(images):
    """Mean absolute change of each pixel along a strip (K, H, W, 3), over neighbouring images and channels: (H, W) float in 0..255."""
    images = np.asarray(images, np.float64)
    return np.abs(np.diff(images, axis=0)).mean((0, 3))


def picture(heatmaps, size, isotropic=False):
    """Heatmaps (7, 3) as a picture: uint8 (H, W, 3), the coarse level in red, the middle one in green, the fine one in blue."""
    maps = np.asarray(render(jnp.asarray(heatmaps)[None], size, isotropic))[0]
    levels = np.stack([maps[..., :1].max(-1), maps[..., 1:3].max(-1), maps[..., 3:].max(-1)], axis=-1)
    return np.clip(255 * levels, 0, 255).round().astype(np.uint8)
