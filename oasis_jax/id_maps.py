"""Maps of ids as text, in files of JSON: base64 of a PNG, which is read with care."""
import base64
import binascii
import io
import struct

import numpy as np
from PIL import Image

MAX_PIXELS = 1 << 22  # of a map that is decoded
_SIGNATURE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"  # of the file, and what must come first
_HEADER = struct.Struct(">IIBB")  # width, height, bits, colour type
_GREY, _PALETTE = 0, 3  # colour types


def png_of(ids, colours=None):
    """A PNG of ids: bytes.

    Args:
        ids: integer (H, W).
        colours: uint8 (K, 3) of the ids in 0..K-1. The PNG then has a palette of them, if K is at most 256; otherwise it is grey.

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
    """The ids of a PNG: indices of its palette or values of grey, uint8 or uint16 (H, W).

    Args:
        data: bytes, of whatever origin.

    Raises:
        ValueError: they are no PNG of ids, it is damaged, or it has more than MAX_PIXELS pixels, which is known before it is decoded.
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
    except Exception as error:  # a damaged file makes decoders raise anything
        raise ValueError(f"its PNG is damaged ({' '.join(str(error).split())[:100]})") from None
    return np.asarray(image).astype(np.uint16 if (colour_type, depth) == (_GREY, 16) else np.uint8)


def as_text(ids, colours=None):
    """`png_of` as base64."""
    return base64.b64encode(png_of(ids, colours)).decode()


def from_text(text):
    """`ids_of` base64; raises ValueError as it does, and for text that is not base64."""
    try:
        data = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise ValueError("it is not base64") from None
    return ids_of(data)
