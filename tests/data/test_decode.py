import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps, PngImagePlugin

from oasis_jax.data.columns import read_photo
from oasis_jax.data.decode import jpeg_photo, png_ids

SIZE = (37, 51)


def photo(mode="RGB"):
    """Noise on a smooth gradient, whose chroma shows the subsampling of JPEG and its interpolation."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:37, :51]
    smooth = np.stack([4 * x, 5 * y, 250 - 3 * x - 2 * y], -1)
    return Image.fromarray((smooth + rng.integers(-20, 20, smooth.shape)).clip(0, 255).astype(np.uint8)).convert(mode)


def ids(high=256, dtype=np.uint8):
    return Image.fromarray(np.random.default_rng(1).integers(0, high, SIZE).astype(dtype))


@pytest.mark.parametrize("quality", [50, 95])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jfif_photos_have_the_pixels_of_pillow(tmp_path, quality, subsampling, progressive, mode):
    path = str(tmp_path / "photo.jpg")
    photo(mode).save(path, quality=quality, subsampling=subsampling, progressive=progressive)
    found = jpeg_photo(path).numpy()
    assert found.shape == (*SIZE, 3) and (found == np.asarray(read_photo(path))).all()


def gamma_chunk():
    chunks = PngImagePlugin.PngInfo()
    chunks.add(b"gAMA", (45000).to_bytes(4, "big"))
    return chunks


@pytest.mark.parametrize("options", [{}, {"compress_level": 0}, {"optimize": True}, {"transparency": 3}, {"pnginfo": gamma_chunk()}])
def test_grey_label_maps_have_the_ids_of_pillow(tmp_path, options):
    path = str(tmp_path / "ids.png")
    ids().save(path, **options)
    assert (png_ids(path).numpy()[..., 0] == np.asarray(ids())).all()


def exif(orientation=6):
    tags = Image.Exif()
    tags[274] = orientation
    return tags


@pytest.mark.parametrize(
    "name, image, options",
    [
        ("turned.jpg", photo(), {"exif": exif()}),
        ("profile.jpg", photo(), {"icc_profile": b"colours" * 20}),
        ("comment.jpg", photo(), {"comment": b"hello"}),
        ("cmyk.jpg", photo("CMYK"), {}),
        ("png_inside.jpg", photo(), {"format": "PNG"}),
    ],
)
def test_other_photos_are_left_to_pillow(tmp_path, name, image, options):
    image.save(tmp_path / name, **options)
    assert jpeg_photo(str(tmp_path / name)).shape == (0, 0, 3)


@pytest.mark.parametrize(
    "name, image, options",
    [
        ("wide.png", ids(60000, np.uint16), {}),
        ("palette.png", photo().convert("P"), {}),
        ("two.png", ids(2).convert("1"), {}),
        ("few.png", photo().convert("P", palette=Image.Palette.ADAPTIVE, colors=4), {}),
        ("colours.png", photo(), {}),
        ("alpha.png", photo("RGBA"), {}),
        ("jpeg_inside.png", ids(), {"format": "JPEG"}),
    ],
)
def test_other_label_maps_are_left_to_pillow(tmp_path, name, image, options):
    image.save(tmp_path / name, **options)
    assert png_ids(str(tmp_path / name)).shape == (0, 0, 1)


@pytest.mark.parametrize("decoder, channels", [(jpeg_photo, 3), (png_ids, 1)])
def test_what_is_no_image_is_left_to_pillow(tmp_path, decoder, channels):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "short").write_bytes(b"\xff\xd8\xff\xe0")
    for path in ("", str(tmp_path / "empty"), str(tmp_path / "short")):
        assert decoder(path).shape == (0, 0, channels)


def test_damaged_and_missing_files_are_errors(tmp_path):
    ids().save(tmp_path / "ids.png")
    photo().save(tmp_path / "photo.jpg")
    for name, decoder in (("ids.png", png_ids), ("photo.jpg", jpeg_photo)):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:200] if name.endswith("png") else path.read_bytes()[:700])
        with pytest.raises(tf.errors.InvalidArgumentError):
            decoder(str(path))
    with pytest.raises(tf.errors.NotFoundError):
        jpeg_photo(str(tmp_path / "none.jpg"))


def segments(options):
    """(segments between the start of a JPEG file and its scan, the rest of the file)."""
    file = io.BytesIO()
    photo().save(file, "JPEG", **options)
    data, place, found = file.getvalue(), 2, []
    while data[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        found, place = [*found, data[place:end]], end
    return found, data[place:]


@pytest.mark.parametrize("options", [{}, {"restart_marker_blocks": 2, "optimize": True}, {"progressive": True}])
def test_in_whatever_order_segments_come_the_pixels_are_those_of_pillow_upright(tmp_path, options):
    """Restart intervals and Huffman tables may follow the frame header, and so may EXIF that turns the photo."""
    known, scan = segments(options)
    extra = segments({"exif": exif(), "comment": b"x", "icc_profile": b"colours" * 20})[0]
    extra = [each for each in extra if each[1] in (0xE1, 0xE2, 0xFE)]
    assert len(extra) == 3
    orders = [known, *([*known[:place], each, *known[place:]] for each in extra for place in range(len(known) + 1))]
    rng = np.random.default_rng(0)
    orders += [[known[0], *(known[1:][i] for i in rng.permutation(len(known) - 1))] for _ in range(8)]
    path, decoded = tmp_path / "photo.jpg", []
    for order in orders:
        path.write_bytes(b"\xff\xd8" + b"".join(order) + scan)
        with Image.open(path) as image:
            expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        found = jpeg_photo(str(path)).numpy()
        decoded.append(found.size > 0)
        assert (np.asarray(read_photo(path)) == expected).all() and (found.size == 0 or np.array_equal(found, expected))
    assert decoded[0] and not any(decoded[1 : -8])
