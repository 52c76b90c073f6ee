"""Resizes label maps to the size of the studio's images, with a notice for those whose aspect ratio changes."""
from oasis_jax.data.labels import resize_label_map
from oasis_jax.sample_labels import is_squeezed, size_like


def fitted(model, labels, size):
    """Resizes a label map to the size of the images.

    Args:
        model: family.Model that takes label maps.
        labels: integer (H, W).
        size: (H, W) of the images.

    Returns:
        (label map, resized by nearest neighbour; `squeezed_note` if that changes its aspect ratio noticeably, else None).
    """
    return resize_label_map(labels, size), squeezed_note(model, labels.shape, size) if is_squeezed(labels.shape, size) else None


def squeezed_note(model, shape, size):
    """The notice for a label map of another aspect ratio, a sentence without subject; `open_file.js` has the same words."""
    kept = size_like(model, shape)
    restart = ", or start the studio with the size {0}x{1} (--size={0}x{1})".format(*kept) if kept else ""
    squeezed = f"is {shape[0]}x{shape[1]} and was squeezed into {size[0]}x{size[1]}, the size of the images here"
    return f"{squeezed}. To keep its shape, crop it{restart}."
