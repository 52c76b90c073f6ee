"""Image decoding inside a tf.data graph, where many threads run at once without Python's interpreter lock.

Only the most common kinds of files are decoded here, for which TensorFlow's pixels exactly equal Pillow's. All others are left to Pillow.
"""
import functools
import os

import tensorflow as tf

_JFIF = b"\xff\xd8\xff\xe0\x00\x10JFIF"
_JFIF_END = 20
_DQT = b"\xff\xdb"
_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_PNG_DEPTH = 24
_PNG_GREY_8 = b"\x08\x00"
_HEAD = 32  # bytes that tell the kind of a file
# Quantisation tables directly after the header of a JPEG rule out EXIF and XMP, which would come first and may rotate the photo.
_SIGNATURES = {"image": ((0, _JFIF), (_JFIF_END, _DQT)), "label_map": ((0, _PNG), (_PNG_DEPTH, _PNG_GREY_8))}
# Endings of the files of a column that are decoded here, if they are what these say.
ENDINGS = {"image": (".jpg", ".jpeg"), "label_map": (".png",)}


def _graph_function(decode):
    """`decode`, a function of a path, traced once."""
    return tf.function(decode, input_signature=[tf.TensorSpec((), tf.string)], autograph=False)


@_graph_function
def jpeg_photo(path):
    """RGB photo, uint8 (H, W, 3), of a JFIF file without EXIF, XMP, colour profile or comment; uint8 (0, 0, 3) for others and for no path.

    Raises:
        tf.errors.OpError: the file is missing or damaged.
    """
    decode = functools.partial(tf.io.decode_jpeg, channels=3, dct_method="INTEGER_ACCURATE")  # as in Pillow
    return _decoded(path, _SIGNATURES["image"], decode, 3)


@_graph_function
def png_ids(path):
    """Ids, uint8 (H, W, 1), of a PNG file of 8-bit grey values; uint8 (0, 0, 1) for others and for no path.

    Raises:
        tf.errors.OpError: the file is missing or damaged.
    """
    return _decoded(path, _SIGNATURES["label_map"], functools.partial(tf.io.decode_png, channels=1), 1)


def is_decoded_here(column, path):
    """Whether the file of a column is of a kind that is decoded here; a local path. False if it cannot be read."""
    if not os.fspath(path).lower().endswith(ENDINGS[column]):
        return False
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return all(head[start : start + len(mark)] == mark for start, mark in _SIGNATURES[column])


def _decoded(path, signatures, decode, channels):
    data = tf.cond(path == "", lambda: "", lambda: tf.io.read_file(path))
    head = tf.strings.substr(data, 0, _HEAD) + " " * _HEAD
    known = tf.reduce_all([tf.strings.substr(head, start, len(mark)) == mark for start, mark in signatures])
    return tf.cond(known, lambda: decode(data), lambda: tf.zeros((0, 0, channels), tf.uint8))
