"""Image decoding inside a tf.data graph, where many threads run in parallel without Python's interpreter lock.

For a damaged photo that can still be read, TensorFlow prints libjpeg's warning ("Corrupt JPEG data") directly to stderr, which no option
turns off. Silencing it would require redirecting the file descriptor, and with it the output of all other threads.

Only the most common kinds of files are decoded here, for which TensorFlow's pixels exactly equal Pillow's. All others are left to Pillow.
"""
import functools
import re

import tensorflow as tf

from oasis_jax.data.image_files import HEAD

# JFIF header, quantisation tables, frame header of grey or of three components, Huffman tables (none contains the byte 255) and restart
# interval, start of scan. This leaves no place before the scan for EXIF and XMP, which may turn the photo, and after it they are ignored.
# CMYK is excluded, because decoders read it differently. The pattern is for bytes decoded as Latin-1.
_JPEG = (
    r"(?s)\xff\xd8\xff\xe0\x00\x10JFIF.{10}"
    r"(\xff\xdb\x00(\x43.{65}|\x84.{130}|\xc5.{195}))+"
    r"\xff[\xc0-\xc2]\x00(\x0b\x08.{4}\x01.{3}|\x11\x08.{4}\x03.{9})"
    r"(\xff\xc4[\x00-\xfe]+|\xff\xdd\x00\x04..)*"
    r"\xff\xda.*"
)
_PNG_MARKS = ((0, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), (24, b"\x08\x00"))  # the second: 8 bits of grey
_PNG_HEAD = 32  # bytes that hold both
# File endings, by column, of files that are decoded here if their content matches.
ENDINGS = {"image": (".jpg", ".jpeg"), "label_map": (".png",)}


def _graph_function(decode):
    """`decode`, a function of a path, traced once."""
    return tf.function(decode, input_signature=[tf.TensorSpec((), tf.string)], autograph=False)


@_graph_function
def jpeg_photo(path):
    """RGB photo, uint8 (H, W, 3), of a JFIF file in grey or three components, without EXIF, XMP, colour profile or comment.

    For other files and for an empty path, uint8 (0, 0, 3).

    Raises:
        tf.errors.OpError: the file is missing or damaged.
    """
    decode = functools.partial(tf.io.decode_jpeg, channels=3, dct_method="INTEGER_ACCURATE")  # as in Pillow

    def is_plain(data):
        head = tf.strings.unicode_transcode(tf.strings.substr(data, 0, HEAD), "ISO-8859-1", "UTF-8")
        return tf.strings.regex_full_match(head, _JPEG)

    return _decoded(path, is_plain, decode, 3)


@_graph_function
def png_ids(path):
    """Ids, uint8 (H, W, 1), of a PNG file of 8-bit grey values; uint8 (0, 0, 1) for other files and for an empty path.

    Raises:
        tf.errors.OpError: the file is missing or damaged.
    """

    def is_grey(data):
        head = tf.strings.substr(data, 0, _PNG_HEAD) + " " * _PNG_HEAD
        return tf.reduce_all([tf.strings.substr(head, start, len(mark)) == mark for start, mark in _PNG_MARKS])

    return _decoded(path, is_grey, functools.partial(tf.io.decode_png, channels=1), 1)


def is_decoded_here(column, path, head):
    """Whether a file of this column is of a kind that is decoded here, from its path and its first bytes (`image_files.HEAD` or more)."""
    if not path.lower().endswith(ENDINGS[column]):
        return False
    if column == "image":
        return re.fullmatch(_JPEG.encode(), head[:HEAD]) is not None
    return all(head[start : start + len(mark)] == mark for start, mark in _PNG_MARKS)


def _decoded(path, is_known, decode, channels):
    data = tf.cond(path == "", lambda: "", lambda: tf.io.read_file(path))
    return tf.cond(is_known(data), lambda: decode(data), lambda: tf.zeros((0, 0, channels), tf.uint8))
