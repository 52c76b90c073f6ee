"""Resizing and cropping of a photo in one pass with Pillow."""
import numpy as np
from PIL import Image


def resize_photo(photo, size, window=None) -> np.ndarray:
    """Antialiased bicubic resize, of which only a window is computed.

    Args:
        photo: RGB Image.
        size: (height, width) of the whole resized photo.
        window: (top, left, height, width) in the resized photo; None is all of it.

    Returns:
        uint8 (height, width, 3), equal to resizing and then cropping, up to two levels where Pillow rounds differently.
    """
    top, left, height, width = window or (0, 0, *size)
    scale_x, scale_y = photo.width / size[1], photo.height / size[0]
    box = left * scale_x, top * scale_y, min((left + width) * scale_x, photo.width), min((top + height) * scale_y, photo.height)
    return np.asarray(photo.resize((width, height), Image.Resampling.BICUBIC, box))
