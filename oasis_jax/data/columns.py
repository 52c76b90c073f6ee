"""What an example holds: its columns.

A column has a `name` (its key in a batch), `things` (what its files are called in messages, in the plural), the `dtype` of a batch and
`channels` (the shape of a pixel). It can `read` a file as a stored value, or make one `from_array`, tell its `size`, and `fit` it: resize
it and cut a window (top, left, height, width) out of it.
"""
import dataclasses
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from PIL import Image, ImageOps

from oasis_jax.data.labels import DataError, LabelRule, parse_label_map, read_image, read_palette, read_stored_ids, resize_label_map
from oasis_jax.data.resize import resize_photo


class Photo:
    """RGB photos; batches are uint8 (B, H, W, 3)."""

    name: ClassVar = "image"
    things: ClassVar = "photos"
    dtype: ClassVar = np.dtype(np.uint8)
    channels: ClassVar = (3,)

    def read(self, path):
        """An RGB Image, upright as its EXIF says; grey becomes RGB. Raises DataError if the file is unreadable."""
        return read_photo(path)

    def from_array(self, array):
        """uint8 (H, W, 3) as an Image."""
        return Image.fromarray(array)

    def size(self, value):
        """(height, width)."""
        return value.size[::-1]

    def fit(self, value, size, window=None, source=""):
        """uint8 (height, width, 3), resized by Pillow with an antialiased bicubic filter."""
        return resize_photo(value, size, window)


@dataclasses.dataclass(frozen=True, eq=False)
class LabelMap:
    """Class ids; batches are (B, H, W), uint8, or uint16 for 256 classes and more.

    Attributes:
        rule: what stored ids mean.
        class_names: one name for each of rule.num_classes classes.
    """

    name: ClassVar = "label_map"
    things: ClassVar = "label maps"
    channels: ClassVar = ()

    rule: LabelRule
    class_names: tuple[str, ...]

    @property
    def dtype(self):
        """The smallest unsigned type that holds all classes."""
        return np.dtype(np.uint8 if self.rule.num_classes < 256 else np.uint16)

    def read(self, path):
        """Stored ids, uint8 or uint16 (H, W). Raises DataError if the file holds none."""
        return read_stored_ids(path, self.rule)

    def from_array(self, array):
        """Stored ids as they are."""
        return array

    def size(self, value):
        """(height, width)."""
        return value.shape

    def fit(self, value, size, window=None, source="the label map"):
        """Classes (height, width), resized by nearest neighbour. Raises DataError, naming `source`, for ids without a class."""
        # Resized before the ids are looked up: the check before training has already looked them all up.
        return self.rule(resize_label_map(value, size, window), f"label map {source}")


def read_photo(path) -> Image.Image:
    """Reads a photo as RGB Image, upright as its EXIF says; grey becomes RGB. Raises DataError if it is unreadable."""
    image = read_image(path)
    if image.format != "JPEG" or image.info.keys() & {"exif", "xmp"}:
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I;16"):  # Pillow would clip 16-bit grey at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


def make_columns(names, make_label_map: Callable[[], LabelMap]):
    """The columns of these names that are read from a data set; others ("heatmaps") are drawn by the pipeline."""
    known = {"image": Photo, "label_map": make_label_map}
    return tuple(known[name]() for name in names if name in known)


def make_label_column(spec, num_classes=0, class_names=()) -> LabelMap:
    """The label maps' column; `num_classes` and `class_names` are what the layout implies where spec is silent."""
    palette, palette_names = read_palette(spec.palette) if spec.palette else (None, ())
    num_classes = spec.num_classes or num_classes or len(palette_names)
    rule = LabelRule(num_classes, spec.label_offset, parse_label_map(spec.label_map), palette)
    names = tuple(spec.class_names or class_names or palette_names)
    if names and len(names) != num_classes:
        raise DataError(f"{len(names)} class names are given for {num_classes} classes: correct data.class_names or data.num_classes")
    return LabelMap(rule, names or tuple(map(str, range(num_classes))))
