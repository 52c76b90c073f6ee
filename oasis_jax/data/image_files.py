"""Opens, inspects and decodes one image file with Pillow. Every problem is a DataError that names the file."""
import dataclasses
import importlib.util
import io
import os
import re

from etils import epath
from PIL import Image, ImageOps, UnidentifiedImageError, features

_UPRIGHT = 1  # EXIF orientation
_TURNING = {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}  # keys of Image.info that may hold an orientation
_SWAPS_SIDES = (5, 6, 7, 8)
# Formats with safe decoders. Those of other formats, such as EPS, may start programs, and a file's name may hide its format.
_FORMATS = ("PNG", "TIFF", "BMP", "DIB", "GIF", "PPM", "WEBP", "JPEG", "MPO", "JPEG2000", "AVIF", "HEIF")
_LOSSY_FORMATS = ("JPEG", "MPO", "JPEG2000", "AVIF", "HEIF")
_WITH_PREVIEWS = ("MPO", "HEIF")  # all images after the first are derived from it: previews, depth, brightness
HEAD = 1024  # first bytes of a file, from which its kind is recognised if it comes from a common encoder
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


class DataError(Exception):
    """Data that cannot be used; the message names the file, the value and how to fix it."""


@dataclasses.dataclass(eq=False)
class ImageFile:
    """An image file whose header has been read.

    Attributes:
        source: the file, for messages.
        head: its first HEAD bytes.
        image: Image, not decoded before `decode`.
        lossy: whether it was compressed with loss, so that it cannot hold ids.
        reduced: whether Pillow reduces its 16 bits per channel to 8.
        stretched: whether Pillow stretches its grey of 2 or 4 bits to 8.
        orientation: from EXIF or XMP: 1 is upright, 2 to 8 are turned or mirrored. If it is stored after the pixels, `decode` sets it.
    """

    source: str
    head: bytes
    image: Image.Image
    lossy: bool
    reduced: bool
    stretched: bool
    orientation: int = _UPRIGHT

    @property
    def turned(self) -> bool:
        """Whether EXIF turns or mirrors the image."""
        return self.orientation != _UPRIGHT

    @property
    def size(self) -> tuple[int, int]:
        """(height, width), upright, before the file is decoded."""
        swapped = self.orientation in _SWAPS_SIDES and self.image.format != "TIFF"  # for TIFF, Pillow reports the upright size
        return self.image.size[:: 1 if swapped else -1]

    def decode(self) -> Image.Image:
        """The image as stored (TIFF: upright), in any of Pillow's modes. Raises DataError if it is damaged."""
        try:
            self.image.load()
        except Exception as error:  # on damaged files, decoders raise many kinds of exceptions
            raise _unreadable(self.source, error) from error
        if not self.turned:
            self.orientation = _orientation(self.image)
        return self.image

    def decode_upright(self) -> Image.Image:
        """The image as its EXIF turns it. Raises DataError if it is damaged."""
        image = self.decode()
        try:
            if self.turned:
                ImageOps.exif_transpose(image, in_place=True)
        except Exception as error:
            raise _unreadable(self.source, f"damaged EXIF: {error}") from error
        return image


def open_image(path) -> ImageFile:
    """Reads an image file (any path etils.epath knows; `~` works) and its header.

    Raises:
        DataError: the file is missing, empty, not an image, of a kind that Pillow does not read, or has several pages or more than
            Image.MAX_IMAGE_PIXELS pixels.
    """
    try:
        path = os.path.expanduser(os.fspath(path))
        data = _read_bytes(path)  # one read, because decoders request small pieces
    except OSError as error:
        if isinstance(error, PermissionError):
            raise DataError(f"{path} cannot be read ({error.strerror}): correct its permissions, or those of its folder") from error
        broken = os.path.islink(path) and not os.path.exists(path)
        raise _unreadable(path, f"a link to {os.readlink(path)}, which does not exist" if broken else error.strerror or error) from error
    return open_bytes(data, path)


def open_bytes(data, source) -> ImageFile:
    """Returns the ImageFile for the bytes of a file; `source` is its name for messages. Raises DataError as `open_image` does."""
    source = os.fspath(source)
    if not data:
        raise _unreadable(source, "it is empty, 0 bytes")
    try:
        image = _identify(data)
        if image.format not in _FORMATS:
            raise DataError(f"{source} is a file of the format {image.format}, whatever its name says: save it as PNG")
        count = getattr(image, "n_frames", 1)
    except UnidentifiedImageError as error:
        raise _unidentified(source, data) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(source) from error
    except DataError:
        raise
    except Exception as error:
        raise _unreadable(source, error) from error
    if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        raise _too_large(source, f" ({image.width}x{image.height})")
    if count > 1 and image.format not in _WITH_PREVIEWS:
        raise DataError(f"{source} holds {count} images (pages or frames): save the one you need as a separate file")
    stored = " ".join(str(tile.args) for tile in getattr(image, "tile", ()))  # Pillow's names, such as L;4 and RGB;16B
    stretched = re.search("L;[24]", stored) is not None
    return ImageFile(source, data[:HEAD], image, _is_lossy(image, data), ";16" in stored, stretched, _orientation(image))


def white_is_zero(image):
    """Whether an Image is a TIFF in which 0 is white; Pillow inverts those of 8 bits."""
    return image.format == "TIFF" and image.tag_v2.get(262) == 0


def _identify(data):
    try:
        return Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        if not _is_heif(data):
            raise
        try:
            import pillow_heif  # optional
        except ImportError:
            raise UnidentifiedImageError from None
        pillow_heif.register_heif_opener()
        return Image.open(io.BytesIO(data))


def _orientation(image):
    """Returns the EXIF orientation, 1 to 8; 1 if there is none or it is damaged."""
    if image.format in ("JPEG", "PNG") and not image.info.keys() & _TURNING:  # asking a PNG for its EXIF would decode it
        return _UPRIGHT
    try:
        orientation = image.getexif().get(0x0112, _UPRIGHT)
    except Exception:
        return _UPRIGHT
    return orientation if orientation in range(1, 9) else _UPRIGHT


def _is_heif(data):
    return data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS


def _is_lossy(image, data):
    if image.format == "WEBP":  # RIFF chunks: "VP8 " is lossy, "VP8L" is not
        place = 12
        while place < len(data) and data[place : place + 4] not in (b"VP8 ", b"VP8L"):
            place += 8 + (int.from_bytes(data[place + 4 : place + 8], "little") + 1) // 2 * 2
        return data[place : place + 4] == b"VP8 "
    return image.format in _LOSSY_FORMATS or image.info.get("compression") in ("jpeg", "tiff_jpeg", "webp")  # inside a TIFF


def _unidentified(source, data):
    if _is_heif(data) and importlib.util.find_spec("pillow_heif") is None:
        fix = "install pillow-heif (pip install pillow-heif) or save the photo as JPEG or PNG"
        return DataError(f"{source} cannot be read as an image (it is HEIC, which needs an optional package): {fix}")
    if data[4:11] == b"ftypavi" and not features.check("avif"):
        fix = "update Pillow (pip install -U pillow), or save the photo as JPEG or PNG"
        return DataError(f"{source} cannot be read as an image (it is AVIF, which this Pillow does not read): {fix}")
    if data.startswith(b"version https://git-lfs"):
        return DataError(f"{source} cannot be read as an image (it is a Git LFS pointer): fetch the files with git lfs pull")
    return _unreadable(source, f"{len(data)} bytes of a type or variant that Pillow does not read, beginning with {data[:8]!r}")


def _unreadable(source, reason):
    return DataError(f"{source} cannot be read as an image ({reason}): replace or remove it")


def _too_large(source, size=""):
    return DataError(f"{source} has too many pixels{size}; at most {Image.MAX_IMAGE_PIXELS} are decoded: crop or resize it")


def _read_bytes(path):
    if "://" in path:
        return epath.Path(path).read_bytes()
    with open(path, "rb", buffering=0) as file:  # few system calls, because the interpreter lock is reacquired after each
        return file.read()
