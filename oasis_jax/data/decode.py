"""Pixels of files decoded inside a tf.data graph, where many threads work at once: Python's interpreter lock does not bind them.

Only of files of the most common kinds, whose pixels TensorFlow gives exactly as Pillow does. All others are left to Pillow.
"""
import functools

import tensorflow as tf

_JFIF = b"\xff\xd8\xff\xe0\x00\x10JFIF"
_JFIF_LENGTH = 20
_JPEG_TABLES = b"\xff\xdb"
_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_PNG_DEPTH = 24
_PNG_GREY_8 = b"\x08\x00"


def _in_graph(decode):
    """`decode` of path and kind, traced once for all."""
    return tf.function(decode, input_signature=[tf.TensorSpec((), tf.string)], autograph=False)


@_in_graph
def jpeg_photo(path):
    """RGB photo, uint8 (H, W, 3), of a JFIF file; uint8 (0, 0, 3) of any other file, and for the empty path.

    Raises:
        tf.errors.OpError: the file is missing or damaged.
    """
    decode = functools.partial(tf.io.decode_jpeg, channels=3, dct_method="INTEGER_ACCURATE")  # the method of Pillow
    # The tables follow at once: what turns a photo (EXIF, XMP) would stand before them.
    return _decoded(path, ((0, _JFIF), (_JFIF_LENGTH, _JPEG_TABLES)), decode, 3)


@_in_graph
def png_ids(path):
    """Ids, uint8 (H, W, 1), of a PNG file of 8 bit grey values; uint8 (0, 0, 1) of any other file, and for the empty path.

    Raises:
        tf.errors.OpError: the file is missing or damaged.
    """
    return _decoded(path, ((0, _PNG), (_PNG_DEPTH, _PNG_GREY_8)), functools.partial(tf.io.decode_png, channels=1), 1)


def _decoded(path, marks, decode, channels):
    data = tf.cond(path == "", lambda: "", lambda: tf.io.read_file(path))
    head = tf.strings.substr(data, 0, 32) + " " * 32
    known = tf.reduce_all([tf.strings.substr(head, start, len(mark)) == mark for start, mark in marks])
    return tf.cond(known, lambda: decode(data), lambda: tf.zeros((0, 0, channels), tf.uint8))
