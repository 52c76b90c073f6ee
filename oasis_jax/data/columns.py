"""The columns of an example: photos and label maps.

A column has a `name` (its key in a batch), `things` (what its files are called in messages, in the plural), the `dtype` of a batch and
`channels` (the shape of a pixel). It can `decode` an ImageFile to a stored value, `read` that value from a path, or convert it
`from_array`; return its `size`; and `fit` it: resize it and cut out a window (top, left, height, width). `remarks` names what users should
know about a file.
"""
import dataclasses
from typing import ClassVar

import numpy as np
from PIL import Image

from oasis_jax.data.image_files import DataError, open_image, white_is_zero
from oasis_jax.data.labels import LabelRule, parse_label_map, read_stored_ids, resize_label_map, stored_ids
from oasis_jax.data.palette import palette_of
from oasis_jax.data.resize import resize_photo

_NUMBERS = {"F": "floating-point numbers", "I": "integers of 32 bits"}
_DARK = 4096  # if all values are below, they are numbers of 12 bits or fewer, not a photo of 16 bits

# What the check reports about unusual files, by the names that `remarks` returns.
REMARKS = {
    "turned": "are turned or mirrored by their EXIF",
    "transparent": "have transparent pixels, which become white",
    "cmyk": "are in CMYK, converted without a colour profile",
    "slow photos": "are decoded by Pillow, which is slower than TensorFlow (plain JPEG files are fast)",
    "slow label maps": "are decoded by Pillow, which is slower than TensorFlow (PNG files of 8-bit grey are fast)",
    "dontcare": "hold no pixel to learn from: all are don't-care",
}


@dataclasses.dataclass(frozen=True)
class Photo:
    """RGB photos; batches are uint8 (B, H, W, 3).

    Attributes:
        crop: whether `fit` takes the largest centred window of the wanted aspect ratio; otherwise the whole photo is squashed to the size.
    """

    name: ClassVar = "image"
    things: ClassVar = "photos"
    dtype: ClassVar = np.dtype(np.uint8)
    channels: ClassVar = (3,)

    crop: bool = False

    def read(self, path):
        """Reads a photo as an RGB Image, upright according to its EXIF, converted by `as_rgb`. Raises DataError if it is unreadable."""
        return read_photo(path)

    def decode(self, file):
        """Like `read`, for an ImageFile."""
        return decode_photo(file)

    def remarks(self, file):
        """Returns the names of REMARKS that apply to an ImageFile."""
        found = {
            "turned": file.turned,
            "transparent": file.image.has_transparency_data and _lowest_alpha(file.image) < 255,
            "cmyk": file.image.mode == "CMYK",
        }
        return tuple(name for name, holds in found.items() if holds)

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
    """Class ids; batches are (B, H, W), uint8, or uint16 for 256 or more classes.

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
        """Reads stored ids, integers (H, W). Raises DataError if the file does not hold ids."""
        return read_stored_ids(path, self.rule)

    def decode(self, file):
        """Like `read`, for an ImageFile."""
        return stored_ids(file, self.rule)

    def remarks(self, file):
        """Returns (): anything unusual about a label map is an error."""
        return ()

    def from_array(self, array):
        """Stored ids as they are."""
        return array

    def size(self, value):
        """(height, width)."""
        return value.shape

    def fit(self, value, size, window=None, source="the label map"):
        """Classes (height, width), resized by nearest neighbour. Raises DataError, naming `source`, for ids without a class."""
        # Resizing before the lookup suffices: the check before training has already looked up all ids.
        return self.rule(resize_label_map(value, size, window), f"label map {source}")


def read_photo(path) -> Image.Image:
    """Reads a photo as an RGB Image, upright according to its EXIF, converted by `as_rgb`. Raises DataError if it is unreadable."""
    return decode_photo(open_image(path))


def decode_photo(file, turn=True) -> Image.Image:
    """Decodes an ImageFile to RGB, converted by `as_rgb`, upright if `turn`. Raises DataError if it is damaged, or as `as_rgb` does."""
    image = file.decode_upright() if turn else file.decode()
    if (file.reduced or file.stretched) and "transparency" in image.info:  # Pillow would compare it with the converted 8-bit values
        raise DataError(f"{file.source} has a transparent colour (tRNS), but not 8 bits: save it with 8 bits, or with an alpha channel")
    if file.reduced and image.mode in ("RGB", "RGBA", "LA") and max(high for _, high in image.convert("RGB").getextrema()) < _DARK >> 8:
        raise DataError(f"{file.source} has 16 bits, but its values end below {_DARK} of 65535, nearly black: scale them, or save 8 bits")
    return as_rgb(image, file.source)


def as_rgb(image, source="the photo") -> Image.Image:
    """Converts an Image to RGB: grey is repeated, transparent pixels are shown on white, 16 bits become 8, profiles of CMYK are ignored.

    Raises:
        DataError: naming `source`, if the conversion would silently change the picture: numbers of unknown range (32 bits, or 16 bits that
            would be nearly black with 8), a 16-bit TIFF in which 0 is white, or a photo that is fully transparent.
    """
    if image.mode == "I;16" and white_is_zero(image):
        raise DataError(f"{source} is a TIFF of 16 bits in which 0 is white: save it with 8 bits")  # Pillow would invert it
    image = _with_plain_alpha(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):  # Pillow would clip 16-bit grey at 255
        values = np.asarray(image)
        if 0 < (most := values.max()) < _DARK:
            raise DataError(f"{source} has 16 bits, but its values end at {most} of 65535, nearly black: scale it and save it with 8 bits")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    elif image.mode in _NUMBERS:
        raise DataError(f"{source} holds {_NUMBERS[image.mode]} (mode {image.mode}), whose range is unknown: save it with 8 or 16 bits")
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        lowest, highest = image.getextrema()[3]
        if highest == 0:
            raise DataError(f"{source} is transparent throughout: remove its alpha channel")
        if lowest < 255:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    try:
        return image if image.mode == "RGB" else image.convert("RGB")
    except ValueError as error:
        raise DataError(f"{source} is an image of mode {image.mode} ({error}): save it as RGB") from error


def _lowest_alpha(image):
    return _with_plain_alpha(image).convert("RGBA").getextrema()[3][0]


def _with_plain_alpha(image):
    """The image; grey that is multiplied by its alpha, as in some TIFFs, is divided by it: Pillow converts that to no other mode."""
    return image.convert("LA") if image.mode == "La" else image


def make_columns(spec, names, num_classes=0, class_names=()):
    """Returns those of the named columns that are read from a data set; others ("heatmaps") are drawn by the pipeline.

    Args:
        spec: DataSpec.
        names: names of columns.
        num_classes, class_names: defaults of the layout, for fields that spec leaves empty.

    Raises:
        DataError: data.fit crops label maps, or the fields for classes and palette are wrong or do not agree.
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
        raise DataError(_too_many_or_few(len(names), num_classes, spec, bool(class_names)))
    return LabelMap(rule, names or tuple(map(str, range(num_classes))))


def _too_many_or_few(names, num_classes, spec, of_layout):
    """Says that the number of class names is not that of the classes, and how to fix it, depending on where both come from."""
    wanted = f"data.num_classes is {num_classes}" if spec.num_classes else f"there are {num_classes} classes"
    if spec.class_names:
        return f"data.class_names has {names} names, but {wanted}: correct data.class_names or data.num_classes"
    source = f"data.layout={spec.layout}" if of_layout else f"data.palette {spec.palette}"
    fix = f"set data.num_classes={names}, or give the names of your classes in data.class_names"
    return f"{source} has {names} classes{'' if of_layout else ', one in each line'}, but {wanted}: {fix}"
