"""Editing with heatmaps: the same image at other heatmap centres, for any spatially aware model (the editing operations of EqGAN-SA)."""
import jax.numpy as jnp
import numpy as np

from oasis_jax.heatmaps import with_centres
from oasis_jax.layers.spatial import render
from oasis_jax.recipes import as_recipes


def strip(model, labels, path, seed=0, heatmaps=None):
    """Generates one image for each position of its heatmap centres along a path; all else, such as noise and widths, is fixed.

    Args:
        model: spatially aware Model (`oasis_jax.load`).
        labels: (H, W) integer; None for a model that takes no label maps.
        path: (K, 2), positions (y, x) of the coarse centre, which the others follow; or (K, 7, 2), positions of all centres.
        seed: of the image, or its Recipe.
        heatmaps: (7, 3) to start from, instead of those of the seed; their widths are kept.

    Returns:
        (images (K, H, W, 3) uint8, heatmaps (K, 7, 3)).

    Raises:
        ValueError: the model takes no heatmaps, or as `Model.inputs` and `heatmaps.with_centres` do.
    """
    if not model.spatially_aware:
        raise ValueError("this model was trained without model.spatial_awareness, so it has no heatmaps to move")
    (recipe,) = as_recipes([seed])
    start = recipe.heatmaps() if heatmaps is None else heatmaps
    frames = np.stack([with_centres(start, centres) for centres in path])
    batch = {} if labels is None else {"label_map": np.asarray(labels)[None]}
    return np.concatenate([model.images(model.inputs([recipe.with_heatmaps(frame)], batch)) for frame in frames]), frames


def straight(start, end, count):
    """`count` evenly spaced positions (count, 2) from one (y, x) to another, both included."""
    return np.linspace(start, end, count)


def mean_absolute_change(images):
    """Mean absolute change of each pixel along a strip (K, H, W, 3), over neighbouring images and channels: (H, W) float in 0..255.

    Raises:
        ValueError: the strip has fewer than two images.
    """
    images = np.asarray(images, np.float64)
    if images.ndim != 4 or len(images) < 2:
        raise ValueError(f"images are {images.shape}, but should be a strip (K, H, W, 3) of two images or more, between which they change")
    return np.abs(np.diff(images, axis=0)).mean((0, 3))


def change_picture(change):
    """A change (H, W) as a picture: uint8 (H, W, 3), scaled so that the largest change is white."""
    return np.repeat((255 * change / max(change.max(), 1e-9)).astype(np.uint8)[..., None], 3, axis=-1)


def picture(heatmaps, size, isotropic=False):
    """Heatmaps (7, 3) as a picture: uint8 (H, W, 3), the coarse level in red, the middle one in green, the fine one in blue."""
    maps = np.asarray(render(jnp.asarray(heatmaps)[None], size, isotropic))[0]
    levels = np.stack([maps[..., :1].max(-1), maps[..., 1:3].max(-1), maps[..., 3:].max(-1)], axis=-1)
    return np.clip(255 * levels, 0, 255).round().astype(np.uint8)
