"""Image decoding inside a tf.data graph, where many threads run at once without Python's interpreter lock.

Only the most common kinds of files are decoded here, for which TensorFlow's pixels exactly equal Pillow's. All others are left to Pillow.
"""
import functools

import tensorflow as tf

_JFIF = b"\xff\xd8\xff\xe0\x00\x10JFIF"
_JFIF_END = 20
_DQT = b"\xff\xdb"
_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_PNG_DEPTH = 24
_PNG_GREY_8 = b"\x08\x00"


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
    # Quantisation tables directly after the header rule out EXIF and XMP, which would come first and may rotate the photo.
    return _decoded(path, ((0, _JFIF), (_JFIF_END, _DQT)), decode, 3)


@_graph_function
def png_ids(path):
    """Ids, uint8 (H, W, 1), of a PNG file of 8-bit grey values; uint8 (0, 0, 1) for others and for no path.

    Raises:
        tf.errors.OpError: the file is missing or damaged.
    """
    return _decoded(path, ((0, _PNG), (_PNG_DEPTH, _PNG_GREY_8)), functools.partial(tf.io.decode_png, channels=1), 1)


def _decoded(path, signatures, decode, channels):
    data = tf.cond(path == "", lambda: "", lambda: tf.io.read_file(path))
    head = tf.strings.substr(data, 0, 32) + " " * 32
    known = tf.reduce_all([tf.strings.substr(head, start, len(mark)) == mark for start, mark in signatures])
    return tf.cond(known, lambda: decode(data), lambda: tf.zeros((0, 0, channels), tf.uint8))
