"""Label maps in the size of the studio's images, and what people are told of those that are squeezed into it."""
from oasis_jax.data.labels import resize_label_map
from oasis_jax.sample_labels import is_squeezed, size_like


def fitted(model, labels, size):
    """A label map in the size of the images.

    Args:
        model: family.Model that takes label maps.
        labels: integer (H, W).
        size: (H, W) of the images.

    Returns:
        (label map, resized by nearest neighbour; a sentence without subject if that changes its shape, else None).
    """
    return resize_label_map(labels, size), squeezed_note(model, labels.shape, size) if is_squeezed(labels.shape, size) else None


def squeezed_note(model, shape, size):
    """What is said of a label map of another shape; `open_file.js` says it in the same words."""
    kept = size_like(model, shape)
    restart = ", or start the studio with the size {0}x{1} (--size={0}x{1})".format(*kept) if kept else ""
    squeezed = f"is {shape[0]}x{shape[1]} and was squeezed into {size[0]}x{size[1]}, the size of the images here"
    return f"{squeezed}. To keep its shape, crop it{restart}."
