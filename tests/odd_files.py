"""Image files of every kind, made from an array, each with the expected result: the pixels, or that the file must be refused.

The expected results are computed here by simple rules (docs/data.md), with Pillow alone.
"""
import dataclasses
import io
import zlib

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin, features

NUM_CLASSES = 4
PALETTE = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255], [90, 90, 90]], np.uint8)
REFUSED, UNKNOWN = "refused", "unknown"  # unknown: bytes that were damaged at random, which Pillow may or may not read


@dataclasses.dataclass(frozen=True)
class File:
    """The bytes of a file, the file name ending that suits them, and the expected result: an array, REFUSED or UNKNOWN."""

    data: bytes
    ending: str
    expected: np.ndarray | str

    @property
    def refused(self):
        return isinstance(self.expected, str) and self.expected == REFUSED

    @property
    def unknown(self):
        return isinstance(self.expected, str) and self.expected == UNKNOWN

    @property
    def size(self):
        """(height, width); None if the file is not read."""
        return None if isinstance(self.expected, str) else self.expected.shape[:2]


def encoded(image, kind, **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def plain(data):
    """The pixels of a photo as Pillow alone reads them, upright and in RGB."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif}


def indexed(indices, colours):
    image = Image.frombytes("P", indices.shape[::-1], indices.astype(np.uint8).tobytes())
    image.putpalette(np.asarray(colours, np.uint8).ravel().tolist())
    return image


def png_of_16_bits(rgb):
    """A PNG of 16 bits per channel, which Pillow cannot write; the low bytes are not 0."""

    def chunk(name, data):
        file = io.BytesIO()
        PngImagePlugin.putchunk(file, name, data)
        return file.getvalue()

    rows = b"".join(b"\0" + (row.astype(">u2") * 256 + 77).astype(">u2").tobytes() for row in rgb)
    header = rgb.shape[1].to_bytes(4, "big") + rgb.shape[0].to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def on_white(rgb, alpha):
    """Replaces transparent pixels with white; the alpha values here are 0 or 255."""
    return np.where(alpha[..., None] == 255, rgb, 255).astype(np.uint8)


def pages(image, kind):
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    other = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).point(lambda value: 255 - value)
    return encoded(image, kind, save_all=True, append_images=[other])


# Kinds of photos: (ending, function of an array uint8 (H, W, 3) and a number -> (bytes, expected)). Grey photos show the first channel.


def _grey(rgb):
    return np.repeat(rgb[..., :1], 3, -1)


def _alpha(rgb):
    alpha = np.where(np.arange(rgb.shape[1]) % 2, 0, 255).astype(np.uint8)
    return np.broadcast_to(alpha, rgb.shape[:2]).copy()  # the first column is opaque


def _lossy(encode):
    def make(rgb, number):
        data = encode(rgb, number)
        return data, plain(data)

    return make


def _wide(rgb):
    grey = rgb[..., 0].astype(np.uint16) * 257
    grey.flat[0] = 65535  # bright enough not to be a picture of 12 bits
    return grey


def _wide_seen(rgb):
    return np.repeat((_wide(rgb) >> 8).astype(np.uint8)[..., None], 3, -1)


def _palette_photo(rgb):
    indices, colours = rgb[..., 0] % 7, rgb.reshape(-1, 3)[np.arange(7) % (rgb.size // 3)]
    return indices, colours


def _palette_seen(rgb):
    indices, colours = _palette_photo(rgb)
    return colours[indices]


def _transparent_palette(rgb, _):
    indices, colours = _palette_photo(rgb)
    indices = np.where(_alpha(rgb) == 255, indices, 6)
    indices[:, 0] %= 6
    seen = np.where(indices[..., None] == 6, 255, colours[indices]).astype(np.uint8)
    return encoded(indexed(indices, colours), "PNG", transparency=6), seen


PHOTOS = {
    "jpeg": (".jpg", _lossy(lambda rgb, n: encoded(rgb, "JPEG", quality=60 + n % 40))),
    "jpeg grey": (".jpeg", _lossy(lambda rgb, n: encoded(rgb[..., 0], "JPEG"))),
    "jpeg progressive": (".jpg", _lossy(lambda rgb, n: encoded(rgb, "JPEG", progressive=True, subsampling=n % 3))),
    "jpeg cmyk": (".jpg", _lossy(lambda rgb, n: encoded(Image.fromarray(rgb).convert("CMYK"), "JPEG"))),
    "jpeg turned": (".jpg", _lossy(lambda rgb, n: encoded(rgb, "JPEG", **turned(1 + n % 8)))),
    "jpeg comment": (".jfif", _lossy(lambda rgb, n: encoded(rgb, "JPEG", comment=b"made by hand", dpi=(72, 72)))),
    "jpeg keeps rgb": (".jpg", _lossy(lambda rgb, n: encoded(rgb, "JPEG", keep_rgb=True))),
    "jpeg restarts": (".jpg", _lossy(lambda rgb, n: encoded(rgb, "JPEG", restart_marker_blocks=1, optimize=True))),
    "png": (".png", lambda rgb, n: (encoded(rgb, "PNG"), rgb)),
    "png grey": (".png", lambda rgb, n: (encoded(rgb[..., 0], "PNG"), _grey(rgb))),
    "png 1 bit": (".png", lambda rgb, n: (encoded(Image.fromarray(rgb[..., 0] > 99), "PNG"), _grey(rgb > 99) * np.uint8(255))),
    "png palette": (".png", lambda rgb, n: (encoded(indexed(*_palette_photo(rgb)), "PNG"), _palette_seen(rgb))),
    "png palette transparent": (".png", _transparent_palette),
    "png palette opaque": (
        ".png", lambda rgb, n: (encoded(indexed(*_palette_photo(rgb)), "PNG", transparency=b"\xff" * 7), _palette_seen(rgb)),
    ),
    "png opaque": (".png", lambda rgb, n: (encoded(np.dstack([rgb, np.full_like(rgb[..., 0], 255)]), "PNG"), rgb)),
    "png transparent": (".png", lambda rgb, n: (encoded(np.dstack([rgb, _alpha(rgb)]), "PNG"), on_white(rgb, _alpha(rgb)))),
    "png grey transparent": (
        ".png", lambda rgb, n: (encoded(np.dstack([rgb[..., 0], _alpha(rgb)]), "PNG"), on_white(_grey(rgb), _alpha(rgb))),
    ),
    "png 16 bits grey": (".png", lambda rgb, n: (encoded(_wide(rgb), "PNG"), _wide_seen(rgb))),
    "png 16 bits": (".png", lambda rgb, n: (png_of_16_bits(rgb), rgb)),
    "png turned": (".png", _lossy(lambda rgb, n: encoded(rgb, "PNG", **turned(1 + n % 8)))),
    "tiff": (".tif", lambda rgb, n: (encoded(rgb, "TIFF", compression=(None, "tiff_lzw", "packbits")[n % 3]), rgb)),
    "tiff grey": (".tiff", lambda rgb, n: (encoded(rgb[..., 0], "TIFF"), _grey(rgb))),
    "tiff 16 bits": (".tif", lambda rgb, n: (encoded(_wide(rgb), "TIFF"), _wide_seen(rgb))),
    "tiff cmyk": (".tif", _lossy(lambda rgb, n: encoded(Image.fromarray(rgb).convert("CMYK"), "TIFF"))),
    "tiff jpeg": (".tif", _lossy(lambda rgb, n: encoded(rgb, "TIFF", compression="jpeg"))),
    "tiff turned": (".tif", _lossy(lambda rgb, n: encoded(rgb, "TIFF", **turned(1 + n % 8)))),
    "webp": (".webp", _lossy(lambda rgb, n: encoded(rgb, "WEBP"))),
    "webp transparent": (
        ".webp",
        lambda rgb, n: (encoded(np.dstack([rgb, _alpha(rgb)]), "WEBP", lossless=True, exact=True), on_white(rgb, _alpha(rgb))),
    ),
    "gif": (".gif", _lossy(lambda rgb, n: encoded(rgb, "GIF"))),
    "bmp": (".bmp", lambda rgb, n: (encoded(rgb, "BMP"), rgb)),
    "tiff float": (".tif", lambda rgb, n: (encoded(rgb[..., 0].astype(np.float32) / 255, "TIFF"), REFUSED)),
    "tiff 32 bits": (".tif", lambda rgb, n: (encoded(rgb[..., 0].astype(np.int32), "TIFF"), REFUSED)),
    "png 12 bits": (".png", lambda rgb, n: (encoded(rgb[..., 0].astype(np.uint16) * 15 + 1, "PNG"), REFUSED)),
    "png invisible": (".png", lambda rgb, n: (encoded(np.dstack([rgb, np.zeros_like(rgb[..., 0])]), "PNG"), REFUSED)),
    "gif pages": (".gif", lambda rgb, n: (pages(rgb, "GIF"), REFUSED)),
    "tiff pages": (".tif", lambda rgb, n: (pages(rgb, "TIFF"), REFUSED)),
    "webp pages": (".webp", lambda rgb, n: (pages(rgb, "WEBP"), REFUSED)),
    "png pages": (".png", lambda rgb, n: (pages(rgb, "PNG"), REFUSED)),
}
if features.check("avif"):
    PHOTOS["avif"] = (".avif", _lossy(lambda rgb, n: encoded(rgb, "AVIF")))


# Kinds of label maps: (ending, function of ids (H, W) below NUM_CLASSES, a number, and whether there is a palette -> (bytes, expected)).


def _equal(ids):
    return np.repeat(ids[..., None], 3, -1)


def _if(condition, ids):
    return ids if condition else REFUSED


def _with(ids, value):
    changed = ids.astype(np.uint16 if value > 255 else np.uint8)
    changed.flat[-1] = value
    return changed


def _own_palette(ids, n, colours):
    """A palette PNG whose indices are not the rows of PALETTE."""
    order = np.roll(np.arange(NUM_CLASSES), n)
    return encoded(indexed(ids, PALETTE[order]), "PNG"), order[ids].astype(np.uint8) if colours else ids


def _shown_as(ids, rgb, colours):
    """The expected result for an image of the colours `rgb`: `ids` without a palette file; with one, rows of PALETTE, or REFUSED."""
    if not colours:
        return ids
    same = (rgb[:, :, None] == PALETTE).all(-1)
    return same.argmax(-1).astype(np.uint8) if same.any(-1).all() else REFUSED


def _equal_channels(kind, extra=None, **options):
    def make(ids, n, colours):
        channels = [_equal(ids)] if extra != "LA" else [ids]
        opaque = [np.full_like(ids, 255)] if extra else []
        return encoded(np.dstack([*channels, *opaque]), kind, **options), _shown_as(ids, _equal(ids), colours)

    return make


def _gif(ids, n, colours):
    data = encoded(indexed(ids, PALETTE), "GIF", optimize=False)
    with Image.open(io.BytesIO(data)) as image:
        return data, _shown_as(np.asarray(image), np.asarray(image.convert("RGB")), colours) if colours else np.asarray(image)


LABELS = {
    "png": (".png", lambda ids, n, _: (encoded(ids, "PNG"), ids)),
    "png 1 bit": (".png", lambda ids, n, _: (encoded(Image.fromarray(ids > 1), "PNG"), (ids > 1).astype(np.uint8))),
    "png 16 bits": (".png", lambda ids, n, _: (encoded(ids.astype(np.uint16), "PNG"), ids)),
    "png palette": (".png", _own_palette),
    "png palette transparent": (
        ".png", lambda ids, n, colours: (encoded(indexed(ids, PALETTE), "PNG", transparency=0), _if(not colours or ids.all(), ids)),
    ),
    "png palette opaque": (
        ".png", lambda ids, n, colours: (encoded(indexed(ids, PALETTE), "PNG", transparency=b"\xff" * NUM_CLASSES), ids),
    ),
    "png other palette": (".png", lambda ids, n, colours: (encoded(indexed(ids, 254 - PALETTE), "PNG"), _if(not colours, ids))),
    "png rgb": (".png", _equal_channels("PNG")),
    "png rgba": (".png", _equal_channels("PNG", "RGBA")),
    "png la": (".png", _equal_channels("PNG", "LA")),
    "webp": (".webp", _equal_channels("WEBP", lossless=True)),
    "bmp": (".bmp", lambda ids, n, _: (encoded(ids, "BMP"), ids)),
    "gif": (".gif", _gif),
    "tiff": (".tif", lambda ids, n, _: (encoded(ids, "TIFF", compression=(None, "tiff_lzw")[n % 2]), ids)),
    "tiff 16 bits": (".tif", lambda ids, n, _: (encoded(ids.astype(np.uint16), "TIFF"), ids)),
    "tiff 32 bits": (".tif", lambda ids, n, _: (encoded(ids.astype(np.int32), "TIFF"), ids)),
    "nothing but don't-care": (".png", lambda ids, n, _: (encoded(ids * 0, "PNG"), ids * 0)),
    "png colours": (".png", lambda ids, n, colours: (encoded(PALETTE[ids], "PNG"), _if(colours or not ids.any(), ids))),
    "tiff colours": (".tif", lambda ids, n, colours: (encoded(PALETTE[ids], "TIFF"), _if(colours or not ids.any(), ids))),
    "png id beyond": (".png", lambda ids, n, _: (encoded(_with(ids, NUM_CLASSES + n % 99), "PNG"), REFUSED)),
    "png ignored id": (".png", lambda ids, n, _: (encoded(_with(ids, 255), "PNG"), REFUSED)),
    "png ignored id of 16 bits": (".png", lambda ids, n, _: (encoded(_with(ids, 65535), "PNG"), REFUSED)),
    "tiff negative": (".tif", lambda ids, n, _: (encoded(ids.astype(np.int32) - 9, "TIFF"), REFUSED)),
    "tiff negative of 16 bits": (".tif", lambda ids, n, _: (encoded(ids.astype(np.int16) - 9, "TIFF"), REFUSED)),
    "tiff 16 bits signed": (".tif", lambda ids, n, _: (encoded(ids.astype(np.int16), "TIFF"), ids)),
    "tiff huge": (".tif", lambda ids, n, _: (encoded(ids.astype(np.int32) + 70000, "TIFF"), REFUSED)),
    "tiff float": (".tif", lambda ids, n, _: (encoded(ids.astype(np.float32), "TIFF"), REFUSED)),
    "jpeg": (".jpg", lambda ids, n, _: (encoded(ids, "JPEG"), REFUSED)),
    "webp lossy": (".webp", lambda ids, n, _: (encoded(_equal(ids), "WEBP", quality=80), REFUSED)),
    "tiff jpeg": (".tif", lambda ids, n, _: (encoded(ids, "TIFF", compression="jpeg"), REFUSED)),
    "png turned": (".png", lambda ids, n, _: (encoded(ids, "PNG", **turned(2 + n % 7)), REFUSED)),
    "png transparent": (".png", lambda ids, n, _: (encoded(np.dstack([_equal(ids), ids * 0 + n % 255]).astype(np.uint8), "PNG"), REFUSED)),
    "png colours of 16 bits": (".png", lambda ids, n, _: (png_of_16_bits(PALETTE[ids]), REFUSED)),
    "tiff pages": (".tif", lambda ids, n, _: (pages(ids, "TIFF"), REFUSED)),
}


def photo(kind, size, number):
    """A File of the kind PHOTOS[kind]; `size` is (height, width), for turned photos after they are made upright."""
    ending, make = PHOTOS[kind]
    sides = size[::-1] if kind.endswith("turned") and 1 + number % 8 > 4 else size
    rgb = np.random.default_rng(number).integers(0, 256, (*sides, 3), np.uint8)
    return File(*make(rgb, number)[:1], ending, make(rgb, number)[1])


def label_map(kind, size, number, colours):
    """A File of the kind LABELS[kind]; `colours`: whether PALETTE is given in data.palette."""
    ending, make = LABELS[kind]
    ids = np.random.default_rng(number).integers(0, NUM_CLASSES, size, np.uint8)
    data, expected = make(ids, number, colours)
    return File(data, ending, expected)


def damaged(file, how, number):
    """The File with bytes missing or changed."""
    rng = np.random.default_rng(number)
    if how == "empty":
        return dataclasses.replace(file, data=b"", expected=REFUSED)
    if how == "noise":
        return dataclasses.replace(file, data=b"\1\2" + rng.bytes(number % 300), expected=REFUSED)
    if how == "half":
        return dataclasses.replace(file, data=file.data[: len(file.data) // 2], expected=UNKNOWN)
    if how == "cut" or b"\xff\xc2" in file.data:  # decoders differ in how they conceal changed scans of progressive files
        return dataclasses.replace(file, data=file.data[: rng.integers(1, len(file.data))], expected=UNKNOWN)
    data = bytearray(file.data)
    for place in rng.integers(0, len(data), 1 + number % 3):
        data[place] = rng.integers(256)
    return dataclasses.replace(file, data=bytes(data), expected=UNKNOWN)


DAMAGES = ("empty", "noise", "half", "cut", "changed")
