"""Maps of ids as text for JSON files: base64 of a PNG, which is checked before it is decoded."""
import base64
import binascii
import io
import struct

import numpy as np
from PIL import Image

MAX_PIXELS = 1 << 22  # of a map; larger ones are not decoded
_SIGNATURE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"  # of a PNG, and the beginning of its first chunk
_HEADER = struct.Struct(">IIBB")  # width, height, bits, colour type
_GREY, _PALETTE = 0, 3  # colour types


def png_of(ids, colours=None):
    """Encodes ids as the bytes of a PNG.

    Args:
        ids: integer (H, W).
        colours: uint8 (K, 3), colours of the ids in 0..K-1. If K is at most 256, they are the palette of the PNG; otherwise it is grey.

    Raises:
        ValueError: an id is not in 0..65535.
    """
    ids = np.asarray(ids)
    if ids.min() < 0 or ids.max() > 65535:
        raise ValueError(f"ids {ids.min()}..{ids.max()} do not fit in a PNG, which holds 0..65535")
    image = Image.fromarray(ids.astype(np.uint8 if ids.max() < 256 and (colours is None or len(colours) <= 256) else np.uint16))
    if colours is not None and image.mode == "L":
        image.putpalette(np.asarray(colours, np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def ids_of(data):
    """Decodes the ids of a PNG: palette indices or grey values, uint8 or uint16 (H, W).

    Args:
        data: bytes from any source.

    Raises:
        ValueError: they are not a PNG of ids, it is damaged, or it has more than MAX_PIXELS pixels, which is checked before decoding.
    """
    if not data.startswith(_SIGNATURE) or len(data) < len(_SIGNATURE) + _HEADER.size:
        raise ValueError("it is not a PNG")
    width, height, depth, colour_type = _HEADER.unpack_from(data, len(_SIGNATURE))
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError(f"it is a PNG of {width}x{height}, but at most {MAX_PIXELS} pixels are decoded")
    if colour_type != _PALETTE and (colour_type, depth) not in ((_GREY, 8), (_GREY, 16)):
        raise ValueError("it is a PNG in colours, but should hold ids: a palette, or grey of 8 or 16 bits")
    try:
        image = Image.open(io.BytesIO(data), formats=["PNG"])
        image.load()
    except Exception as error:  # decoders may raise anything for a damaged file
        raise ValueError(f"its PNG is damaged ({' '.join(str(error).split())[:100]})") from None
    return np.asarray(image).astype(np.uint16 if (colour_type, depth) == (_GREY, 16) else np.uint8)


def as_text(ids, colours=None):
    """Encodes ids as the base64 text of `png_of`."""
    return base64.b64encode(png_of(ids, colours)).decode()


def from_text(text):
    """Decodes the ids of a base64 text; raises ValueError as `ids_of` does, and for text that is not base64."""
    try:
        data = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise ValueError("it is not base64") from None
    return ids_of(data)
