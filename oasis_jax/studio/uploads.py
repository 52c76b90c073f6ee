"""Files that people open in the page: label maps, as the sampling command reads them."""
from oasis_jax.data.image_files import DataError, open_bytes
from oasis_jax.data.labels import resize_label_map, stored_ids

MAX_BYTES = 16 << 20
MAX_PIXELS = 1 << 24  # decoded; a damaged or malicious file of a few kB can claim more
_FORMATS = ("PNG", "TIFF", "BMP", "GIF", "PPM", "WEBP", "JPEG", "MPO", "JPEG2000", "AVIF", "HEIF")  # decoders of others can do more than decode


def label_map_of(data, name, rule, size):
    """The classes of a label file: int32 (H, W), resized to `size` by nearest neighbour.

    Args:
        data: bytes of the file.
        name: of the file, for messages.
        rule: LabelRule.
        size: (H, W).

    Raises:
        DataError: it is no label map that `rule` can read; or it has too many pixels, which is known before they are decoded.
    """
    file = open_bytes(data, name)
    if file.image.format not in _FORMATS:
        raise DataError(f"{name} is a file of {file.image.format}: save label maps as PNG")
    height, width = file.size
    if height * width > MAX_PIXELS:
        raise DataError(f"{name} is {height}x{width}, but at most {MAX_PIXELS} pixels are read here: make it smaller by nearest neighbour")
    return resize_label_map(rule(stored_ids(file, rule), f"label map {name}"), size)
