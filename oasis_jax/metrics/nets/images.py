"""Image preparation for evaluation networks: Pillow's resize of a batch, and checks of sizes."""
import jax
import numpy as np
from PIL import Image

BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC


def resize_images(images, size, resampling):
    """Resizes a batch with Pillow on the host, as the networks' tools do: antialiased when shrinking, and rounded to bytes.

    Args:
        images: uint8 (B, H, W, 3).
        size: (height, width); images of this size are returned unchanged.
        resampling: BILINEAR or BICUBIC.

    Returns:
        uint8 (B, height, width, 3); JAX arrays keep their sharding.
    """
    if tuple(images.shape[1:3]) == tuple(size):
        return images
    height, width = size
    resized = np.stack([np.asarray(Image.fromarray(image).resize((width, height), resampling)) for image in np.asarray(images)])
    return jax.device_put(resized, images.sharding) if isinstance(images, jax.Array) else resized


def check_divisible(net, size, divisor=8):
    """Raises ValueError unless both sides of a size (height, width) are multiples of the divisor."""
    height, width = size
    if height % divisor or width % divisor:
        raise ValueError(f"{net} takes heights and widths divisible by {divisor}, not {height}x{width}: use images of another size")


def check_label_size(net, label_size, expected):
    """Raises ValueError unless label_size is the size at which the tool compares label maps."""
    if tuple(label_size) != tuple(expected):
        (height, width), (right_height, right_width) = label_size, expected
        raise ValueError(f"{net} compares label maps of {right_height}x{right_width}, not {height}x{width}: resize them to that")
