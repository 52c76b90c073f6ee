"""Resizing and cropping of a photo in one pass with Pillow."""
import numpy as np
from PIL import Image


def resize_photo(photo, size, window=None, crop=False) -> np.ndarray:
    """Resizes a photo with an antialiased bicubic filter, and computes only a window of the result.

    Args:
        photo: RGB Image.
        size: (height, width) of the whole resized photo.
        window: (top, left, height, width) in the resized photo; None is all of it.
        crop: whether to resize only the largest centred part of the photo that has the aspect ratio of `size`, to whole pixels.

    Returns:
        uint8 (height, width, 3), equal to resizing and then cropping, up to two grey levels where Pillow rounds differently.
    """
    top, left, height, width = window or (0, 0, *size)
    first_x, first_y, part_width, part_height = _centred(photo, size) if crop else (0, 0, photo.width, photo.height)
    scale_x, scale_y = part_width / size[1], part_height / size[0]
    last_x, last_y = first_x + part_width, first_y + part_height
    box = (
        first_x + left * scale_x,
        first_y + top * scale_y,
        min(first_x + (left + width) * scale_x, last_x),
        min(first_y + (top + height) * scale_y, last_y),
    )
    return np.asarray(photo.resize((width, height), Image.Resampling.BICUBIC, box))


def _centred(photo, size):
    """Returns (left, top, width, height) of the part, in whole pixels, so that a part that already has `size` is not interpolated."""
    scale = min(photo.width / size[1], photo.height / size[0])
    width, height = (max(1, round(side * scale)) for side in size[::-1])
    return (photo.width - width) // 2, (photo.height - height) // 2, width, height
