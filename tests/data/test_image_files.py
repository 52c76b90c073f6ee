"""An image file is read as it looks, or refused with an error that names it: no pixel changes its value silently."""
import io
import struct
import sys
import types
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from oasis_jax.data.columns import Photo, read_photo
from oasis_jax.data.decode import jpeg_photo, png_ids
from oasis_jax.data.image_files import DataError, open_bytes, open_image
from oasis_jax.data.labels import LabelRule, read_stored_ids

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 8), np.uint8)
RGB = RNG.integers(0, 256, (6, 8, 3), np.uint8)
IDS = RNG.integers(0, 4, (6, 8), np.uint8)
COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255], [90, 90, 90]], np.uint8)
RULE, COLOUR_RULE = LabelRule(4), LabelRule(4, palette=COLOURS)


def save(path, image, **options):
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


def turned_by(orientation):
    tags = Image.Exif()
    tags[274] = orientation
    return {"exif": tags}


def refused(path, message, read=read_photo):
    with pytest.raises(DataError, match=message) as error:
        read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


# photos


@pytest.mark.parametrize(
    "array",
    [GREY.astype(np.float32), GREY.astype(np.float32) / 255, GREY.astype(np.int32) * 1000, GREY.astype(np.int32)],
    ids=["float", "unit", "int", "small_int"],
)
def test_numbers_of_32_bits_are_no_photo(tmp_path, array):
    refused(save(tmp_path / "a.tif", array), "32 bits|floating-point")


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bits_become_8_unless_that_is_all_but_black(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    assert (np.asarray(read_photo(save(path, GREY.astype(np.uint16) * 257))) == GREY[..., None]).all()
    refused(save(path, GREY.astype(np.uint16) * 16), "16 bits, but its values end at .* of 65535")


def with_alpha(kind):
    """(image of a mode, options of `save`): the left half of the image is transparent."""
    alpha = np.where(np.arange(8) < 4, 0, 255).astype(np.uint8) * np.ones((6, 1), np.uint8)
    if kind == "RGBA":
        return Image.fromarray(np.dstack([RGB, alpha])), {}
    if kind == "LA":
        return Image.fromarray(np.dstack([GREY, alpha])), {}
    image = Image.fromarray(np.where(alpha, IDS, 7).astype(np.uint8)).convert("P")
    image.putpalette(RNG.integers(0, 200, 768).tolist())
    return image, {"transparency": 7}


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_white_and_remarked(tmp_path, kind):
    image, options = with_alpha(kind)
    path = save(tmp_path / "a.png", image, **options)
    found = np.asarray(read_photo(path))
    assert (found[:, :4] == 255).all() and (found[:, 4:] == np.asarray(image.convert("RGB"))[:, 4:]).all()
    assert Photo().remarks(open_image(path)) == ("transparent",)


def test_grey_that_is_multiplied_by_its_alpha_is_divided_by_it(tmp_path):
    alpha = np.full((6, 8), 128, np.uint8)
    path = save(tmp_path / "a.tif", Image.fromarray(np.dstack([alpha // 2, alpha])))  # half transparent, of grey 127 or 128
    of_alpha = struct.pack("<HHI", 338, 3, 1)
    path.write_bytes(path.read_bytes().replace(of_alpha + b"\2", of_alpha + b"\1"))
    file = open_image(path)
    assert file.image.mode == "La" and Photo().remarks(file) == ("transparent",)
    assert np.abs(np.asarray(Photo().decode(file)).astype(int) - 191).max() <= 1


def write_png(path, values, bits, colour_type, transparent=None):
    """Writes a PNG of the samples (H, W * channels), with a tRNS chunk of one sample per channel. Pillow cannot write most such files."""
    height, (width, channels) = len(values), (values.shape[1] // (3 if colour_type == 2 else 1), 3 if colour_type == 2 else 1)
    weights = 1 << np.arange(bits)[::-1]
    rows = [np.packbits((row[:, None] & weights > 0).ravel()).tobytes() for row in values.astype(int)]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))]
    if transparent is not None:
        chunks += [(b"tRNS", struct.pack(">H", transparent) * channels)]
    chunks += [(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), (b"IEND", b"")]
    whole = (struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(whole))
    return path


@pytest.mark.parametrize("bits, colour_type", [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2)])
def test_a_transparent_colour_becomes_white_or_is_refused_whatever_its_bits(tmp_path, bits, colour_type):
    most = 2**bits - 1
    values = np.where(np.arange(24).reshape(2, 12) // 3 % 2, 0, most)  # runs of three, so that RGB pixels are black or white too
    path = write_png(tmp_path / "a.png", values, bits, colour_type)
    assert np.unique(np.asarray(read_photo(path))).tolist() == [0, 255] and not Photo().remarks(open_image(path))
    write_png(path, values, bits, colour_type, transparent=0)
    if bits in (1, 8):
        assert (np.asarray(read_photo(path)) == 255).all() and Photo().remarks(open_image(path)) == ("transparent",)
    else:
        refused(path, "a transparent colour .*tRNS.*, but not 8 bits: save it with 8 bits")


@pytest.mark.parametrize("bits", [2, 4])
def test_ids_of_few_bits_which_programs_read_differently_are_refused(tmp_path, bits):
    refused(
        write_png(tmp_path / "a.png", IDS, bits, 0),
        "grey of 2 or 4 bits, .*save the ids with 8 bits",
        lambda path: read_stored_ids(path, RULE),
    )
    assert (read_stored_ids(write_png(tmp_path / "b.png", IDS > 1, 1, 0), RULE) == (IDS > 1)).all()


def test_an_alpha_channel_that_hides_nothing_changes_nothing_and_one_that_hides_all_is_refused(tmp_path):
    path = tmp_path / "a.png"
    save(path, np.dstack([RGB, np.full_like(GREY, 255)]))
    assert (np.asarray(read_photo(path)) == RGB).all() and not Photo().remarks(open_image(path))
    refused(save(path, np.dstack([RGB, np.zeros_like(GREY)])), "transparent throughout")


def test_the_exif_of_any_format_turns_a_photo_and_is_remarked(tmp_path):
    for ending in ("png", "webp", "tif"):
        path = save(tmp_path / f"a.{ending}", RGB, **turned_by(6), **({"lossless": True} if ending == "webp" else {}))
        assert (np.asarray(read_photo(path)) == np.rot90(RGB, -1)).all()
        file = open_image(path)
        assert file.size == (8, 6) and Photo().remarks(file) == ("turned",)
        assert np.asarray(Photo().decode(file)).shape == (8, 6, 3) and Photo().remarks(file) == ("turned",)


def test_exif_behind_the_pixels_turns_a_png_too(tmp_path):
    data = save(tmp_path / "a.png", RGB, **turned_by(3)).read_bytes()
    start, end = data.index(b"eXIf") - 4, data.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(data[:start] + data[end:-12] + data[start:end] + data[-12:])
    file = open_image(tmp_path / "a.png")
    assert (np.asarray(Photo().decode(file)) == RGB[::-1, ::-1]).all() and Photo().remarks(file) == ("turned",)


def damaged_exif(path):
    save(path, RGB, quality=95, **turned_by(6))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"MM\0*", b"MM\0?").replace(b"II*\0", b"II?\0"))


def test_damaged_exif_turns_nothing(tmp_path):
    damaged_exif(tmp_path / "a.jpg")
    assert read_photo(tmp_path / "a.jpg").size == (8, 6)


def segment(marker, data):
    return bytes([255, marker]) + (len(data) + 2).to_bytes(2, "big") + data


def jpeg(mode="RGB", strip_adobe=False, late=b""):
    """A JPEG file that begins as JFIF; `late` is inserted after its quantisation tables."""
    file = io.BytesIO()
    Image.fromarray(RGB).convert(mode).save(file, "JPEG", quality=90)
    data = file.getvalue()
    if strip_adobe or mode == "CMYK":
        header = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
        end = data.index(b"\xff\xee") + 16
        data = data[:2] + header + (b"" if strip_adobe else data[end - 16 : end]) + data[end:]
    place = data.index(b"\xff\xc0")
    return data[:place] + late + data[place:]


EXIF = segment(0xE1, b"Exif\0\0" + b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0")


@pytest.mark.parametrize(
    "data, remarks",
    [(jpeg("CMYK"), ("cmyk",)), (jpeg("CMYK", strip_adobe=True), ("cmyk",)), (jpeg(late=EXIF), ("turned",)), (jpeg(), ()), (jpeg("L"), ())],
    ids=["adobe", "no_adobe", "late_exif", "colour", "grey"],
)
def test_the_graph_decodes_only_jpeg_files_that_it_reads_like_pillow(tmp_path, data, remarks):
    (tmp_path / "a.jpg").write_bytes(data)
    found, photo = jpeg_photo(str(tmp_path / "a.jpg")).numpy(), np.asarray(read_photo(tmp_path / "a.jpg"))
    assert Photo().remarks(open_image(tmp_path / "a.jpg")) == remarks
    assert found.size == 0 if remarks else (found == photo).all()


@pytest.mark.parametrize("ending", ["png", "gif", "tif", "webp"])
@pytest.mark.parametrize("read", [read_photo, lambda path: read_stored_ids(path, RULE)], ids=["photo", "label_map"])
def test_several_pages_or_frames_are_refused(tmp_path, ending, read):
    pages = [Image.fromarray(np.full((6, 8), value, np.uint8)) for value in (1, 100, 200)]
    refused(save(tmp_path / f"a.{ending}", pages[0], save_all=True, append_images=pages[1:]), "holds 3 images", read)


# label maps


def palette_png(path, colours=COLOURS, order=(0, 1, 2, 3), **options):
    """A palette PNG of IDS whose index i has the colour order[i]."""
    image = Image.fromarray(np.argsort(order).astype(np.uint8)[IDS])
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette(colours[list(order)].ravel().tolist())
    return save(path, image, **options)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 3, 1)])
def test_with_a_palette_file_the_colours_of_a_palette_png_count_and_not_its_indices(tmp_path, order):
    path = palette_png(tmp_path / "a.png", order=order)
    assert (read_stored_ids(path, COLOUR_RULE) == IDS).all()
    assert (read_stored_ids(path, RULE) == np.argsort(order)[IDS]).all()


def test_other_colours_of_a_palette_png_are_refused_with_the_way_to_use_its_indices(tmp_path):
    refused(palette_png(tmp_path / "a.png", 255 - COLOURS), "empty data.palette", lambda path: read_stored_ids(path, COLOUR_RULE))


@pytest.mark.parametrize("channels", ["RGB", "RGBA", "LA"])
def test_equal_channels_hold_the_id(tmp_path, channels):
    arrays = {"RGB": [IDS] * 3, "RGBA": [IDS] * 3 + [np.full_like(IDS, 255)], "LA": [IDS, np.full_like(IDS, 255)]}
    path = save(tmp_path / "a.png", np.dstack(arrays[channels]))
    assert (read_stored_ids(path, RULE) == IDS).all()


def test_transparent_pixels_have_no_class(tmp_path):
    path = save(tmp_path / "a.png", np.dstack([COLOURS[IDS], np.where(IDS == 0, 0, 255).astype(np.uint8)]))
    refused(path, f"has {(IDS == 0).sum()} transparent pixels", lambda path: read_stored_ids(path, COLOUR_RULE))


@pytest.mark.parametrize("ending, options", [("jpg", {}), ("webp", {"quality": 90}), ("tif", {"compression": "jpeg"})])
def test_compression_with_loss_keeps_no_ids(tmp_path, ending, options):
    path = save(tmp_path / f"a.{ending}", np.dstack([IDS] * 3), **options)
    refused(path, "does not keep ids", lambda path: read_stored_ids(path, RULE))


@pytest.mark.parametrize("ending, options", [("png", {}), ("bmp", {}), ("gif", {}), ("webp", {"lossless": True}), ("tif", {})])
def test_every_format_without_loss_holds_ids(tmp_path, ending, options):
    path = save(tmp_path / f"a.{ending}", IDS if ending != "webp" else np.dstack([IDS] * 3), **options)
    rule = LabelRule(4, palette=np.arange(4, dtype=np.uint8)[:, None].repeat(3, 1)) if ending == "gif" else RULE
    assert (read_stored_ids(path, rule) == IDS).all()


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_a_label_map_is_not_turned_by_its_own_exif(tmp_path, ending):
    path = save(tmp_path / f"a.{ending}", IDS, **turned_by(3))
    refused(path, r"turned by its own EXIF \(orientation 3\)", lambda path: read_stored_ids(path, RULE))


def test_colours_of_16_bits_are_no_ids(tmp_path):
    def chunk(name, data):
        file = io.BytesIO()
        PngImagePlugin.putchunk(file, name, data)
        return file.getvalue()

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in np.dstack([IDS] * 3))
    header = (8).to_bytes(4, "big") + (6).to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(data)
    refused(tmp_path / "a.png", "colours of 16 bits", lambda path: read_stored_ids(path, RULE))
    assert png_ids(str(tmp_path / "a.png")).shape == (0, 0, 1)


def blended(ids, antialiased=True):
    """A label map in colour (48, 64, 3), enlarged as by a drawing program."""
    image = Image.fromarray(COLOURS[ids]).resize((64, 48), Image.Resampling.BICUBIC if antialiased else Image.Resampling.NEAREST)
    return np.asarray(image)


def test_blended_borders_are_recognised_and_counted(tmp_path):
    path = save(tmp_path / "a.png", blended(IDS))
    message = r"\d+ colours in \d+ pixels \(\d+\.\d%\) that data.palette lacks, such as .*; nearest is [\d ]+ of class [0-3]\).*antialiased"
    refused(path, message, lambda path: read_stored_ids(path, COLOUR_RULE))
    save(path, blended(IDS, antialiased=False))
    assert read_stored_ids(path, COLOUR_RULE).shape == (48, 64)
    refused(path, "the colour 90 90 90 .*add a line for it", lambda path: read_stored_ids(path, LabelRule(3, palette=COLOURS[:3])))
    refused(path, "2 colours .*add a line for each", lambda path: read_stored_ids(path, LabelRule(2, palette=COLOURS[[0, 3]])))


@pytest.mark.parametrize("ignored", [255, 65535])
@pytest.mark.parametrize("offset", [0, -1, 1])
def test_an_ignored_id_comes_with_advice_that_works(ignored, offset):
    stored = np.array([1, ignored], np.uint8 if ignored == 255 else np.uint16)
    with pytest.raises(DataError, match=rf"holds id {ignored}, .*map id {ignored} in data.label_map") as error:
        LabelRule(4, offset)(stored)
    assert "num_classes=0" not in str(error.value) and "num_classes=-" not in str(error.value)
    assert LabelRule(4, offset, {ignored: 0})(stored).tolist() == [1 + offset, 0]
    if "set data.num_classes=" in str(error.value):
        count = int(str(error.value).split("set data.num_classes=")[1].split()[0])
        assert LabelRule(count, offset)(stored)[1] == ignored + offset


# files that are no images


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "empty, 0 bytes"),
        (b"<html>", "6 bytes of a type or variant .*<html>"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\0\0\0\x18ftypheic\0\0\0\0heic" + bytes(40), "pip install pillow-heif"),
        (jpeg()[:-200], "Truncated"),
    ],
)
def test_what_cannot_be_read_is_said_in_words(tmp_path, data, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # not installed
    (tmp_path / "a.jpg").write_bytes(data)
    refused(tmp_path / "a.jpg", f"cannot be read as an image .*{message}")
    with pytest.raises(DataError) as error:
        read_photo(tmp_path / "a.jpg")
    assert "BytesIO" not in str(error.value)


def test_heic_is_read_by_the_optional_library(tmp_path, monkeypatch):
    data = b"\0\0\0\x18ftypheic\0\0\0\0heic" + bytes(40)
    (tmp_path / "a.heic").write_bytes(data)

    opened = []

    def open_heif(_file, name):
        opened.append(name)
        image = Image.fromarray(RGB)
        image.format = "HEIF"
        return image

    def register():
        Image.register_open("HEIF", open_heif, lambda head: head[4:8] == b"ftyp")

    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    monkeypatch.setitem(sys.modules, "pillow_heif", types.SimpleNamespace(register_heif_opener=register))
    assert (np.asarray(read_photo(tmp_path / "a.heic")) == RGB).all() and opened


def test_a_link_to_nowhere_is_named(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    refused(tmp_path / "a.png", "a link to .*gone.png, which does not exist")


@pytest.mark.parametrize("side", [100, 150])
def test_too_many_pixels_are_not_decoded(tmp_path, monkeypatch, side):
    path = save(tmp_path / "a.png", np.zeros((side, side), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9999)  # Pillow only warns up to twice this number
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    refused(path, "too many pixels")


@pytest.mark.parametrize("mode", ["RGB", "LA"])
def test_colours_of_16_bits_that_would_be_black_are_refused(tmp_path, mode):
    channels = {"RGB": (2, 3), "LA": (4, 2)}[mode]
    values = np.full((4, 5, channels[1]), 4095, ">u2")
    if mode == "LA":
        values[..., 1] = 65535
    lines = b"".join(b"\0" + row.tobytes() for row in values)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 5, 4, 16, channels[0], 0, 0, 0)
    path = tmp_path / "dark.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))
    with pytest.raises(DataError, match="dark.png has 16 bits, but its values end below 4096 .* nearly black"):
        read_photo(path)


def test_a_file_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("oasis_jax.data.image_files._read_bytes", refuse)  # root may read everything
    refused(tmp_path / "a.png", "cannot be read .Permission denied.: correct its permissions")


def test_a_format_whose_decoder_starts_programs_is_refused_whatever_the_name_says():
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "EPS")
    with pytest.raises(DataError, match="street.png is a file of the format EPS, whatever its name says: save it as PNG"):
        open_bytes(stream.getvalue(), "street.png")
