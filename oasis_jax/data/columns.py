"""What an example holds: its columns.

A column has a `name` (its key in a batch), `things` (what its files are called in messages, in the plural), the `dtype` of a batch and
`channels` (the shape of a pixel). It can `read` a file as a stored value, or make one `from_array`, tell its `size`, and `fit` it: resize
it and cut a window (top, left, height, width) out of it.
"""
import dataclasses
from typing import ClassVar

import numpy as np
from PIL import Image, ImageOps

from oasis_jax.data.labels import DataError, LabelRule, parse_label_map, read_image, read_stored_ids, resize_label_map
from oasis_jax.data.palette import palette_of
from oasis_jax.data.resize import resize_photo


@dataclasses.dataclass(frozen=True)
class Photo:
    """RGB photos; batches are uint8 (B, H, W, 3).

    Attributes:
        crop: whether `fit` takes the largest centred window of the wanted aspect ratio; if not, the whole photo is squashed.
    """

    name: ClassVar = "image"
    things: ClassVar = "photos"
    dtype: ClassVar = np.dtype(np.uint8)
    channels: ClassVar = (3,)

    crop: bool = False

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
        return resize_photo(value, size, window, self.crop)

    @property
    def fitting(self):
        """What `fit` does, in words."""
        return f"{'largest centred window of photos' if self.crop else 'photos'} to image_size by Pillow, bicubic"


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
    return upright_rgb(read_image(path))


def upright_rgb(image) -> Image.Image:
    """A decoded image file as RGB Image, upright as its EXIF says."""
    if image.format != "JPEG" or image.info.keys() & {"exif", "xmp"}:
        ImageOps.exif_transpose(image, in_place=True)
    return as_rgb(image)


def as_rgb(image) -> Image.Image:
    """An Image of any mode as RGB: grey is repeated, transparency is dropped, 16 bits become 8."""
    if image.mode.startswith("I;16"):  # Pillow would clip 16-bit grey at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


def make_columns(spec, names, num_classes=0, class_names=()):
    """The columns of these names that are read from a data set; others ("heatmaps") are drawn by the pipeline.

    Args:
        spec: DataSpec.
        names: of the columns.
        num_classes, class_names: what the layout implies where spec is silent.

    Raises:
        DataError: a field says what label maps cannot be: cropped, or of no classes.
    """
    crop = spec.fit == "crop"
    if crop and "label_map" in names:
        raise DataError('data.fit is "crop", which is for photos without label maps: set data.fit=resize')
    known = {"image": lambda: Photo(crop), "label_map": lambda: _label_column(spec, num_classes, class_names)}
    return tuple(known[name]() for name in names if name in known)


def _label_column(spec, num_classes, class_names):
    palette, palette_names = palette_of(spec.palette, spec.palette_colours)
    num_classes = spec.num_classes or num_classes or (0 if palette is None else len(palette))
    rule = LabelRule(num_classes, spec.label_offset, parse_label_map(spec.label_map), palette)
    names = tuple(spec.class_names or class_names or palette_names)
    if names and len(names) != num_classes:
        raise DataError(f"{len(names)} class names are given for {num_classes} classes: correct data.class_names or data.num_classes")
    return LabelMap(rule, names or tuple(map(str, range(num_classes))))
