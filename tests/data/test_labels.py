import re
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from oasis_jax.data.labels import DataError, LabelRule, parse_label_map, read_label_map, resize_label_map

IDS = np.arange(12, dtype=np.uint8).reshape(3, 4)


def save(path, array, **kwargs):
    Image.fromarray(array).save(path, **kwargs)
    return path


def test_labels_and_scenes_import_no_tensorflow():
    code = "import sys, oasis_jax.data.labels, oasis_jax.data.scenes; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_png_holds_the_ids(tmp_path, dtype):
    stored = IDS.astype(dtype) * (1 if dtype == np.uint8 else 100)
    assert (read_label_map(save(tmp_path / "a.png", stored), LabelRule(1200)) == stored).all()


def test_indices_of_a_palette_png_are_the_ids(tmp_path):
    image = Image.new("P", (4, 3))
    image.putdata(IDS.ravel().tolist())
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    image.save(tmp_path / "a.png")
    assert (read_label_map(tmp_path / "a.png", LabelRule(12)) == IDS).all()


def test_colours_are_rows_of_the_palette(tmp_path):
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)
    ids = np.array([[0, 1], [2, 1]])
    path = save(tmp_path / "a.png", colours[ids])
    assert (read_label_map(path, LabelRule(3, palette=colours)) == ids).all()
    with pytest.raises(DataError, match="colour 0 0 255 .*row 1, column 0.*data.palette"):
        read_label_map(path, LabelRule(3, palette=colours[:2]))
    with pytest.raises(DataError, match=r"a\.png.*name a palette"):
        read_label_map(path, LabelRule(3))


def test_offset_applies_except_to_mapped_ids():
    rule = LabelRule(12, offset=1, mapping=parse_label_map("11:0, 255:3"))
    assert rule(np.array([0, 10, 11, 255], np.uint8)).tolist() == [1, 11, 0, 3]


@pytest.mark.parametrize("stored, fix", [([34], "data.num_classes=35 or map id 34"), ([40000, 1], "map id 40000"), ([-1], "map id -1")])
def test_ids_without_a_class_are_named_with_the_fix(stored, fix):
    with pytest.raises(DataError, match=f"x.png holds id .* data.num_classes is 34 .ids 0..33.: .*{fix}"):
        LabelRule(34)(np.array(stored), "x.png")


def test_sixteen_bit_ids_beyond_n_are_an_error_naming_the_file(tmp_path):
    path = save(tmp_path / "deep.png", np.full((4, 4), 300, np.uint16))
    with pytest.raises(DataError, match=r"deep\.png holds id 300.*data.num_classes=301"):
        read_label_map(path, LabelRule(256))


def test_many_ids_without_a_class_are_told_from_a_few():
    with pytest.raises(DataError, match="and 3 more.*data.num_classes=13 or map id 5 in data.label_map$"):
        LabelRule(5)(np.arange(13))
    with pytest.raises(DataError, match="resized with antialiasing"):
        LabelRule(5)(np.arange(40))


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_unreadable_files_are_named(tmp_path, content):
    path = save(tmp_path / "a.png", np.random.default_rng(0).integers(0, 9, (64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[:-1500] if content is None else content)
    with pytest.raises(DataError, match=r"a\.png cannot be read as an image"):
        read_label_map(path, LabelRule(9))


def test_a_jpeg_is_no_label_map(tmp_path):
    with pytest.raises(DataError, match="JPEG, which does not keep ids"):
        read_label_map(save(tmp_path / "a.jpg", IDS), LabelRule(12))


@pytest.mark.parametrize("stored, target, fault", [(65536, 0, "ids are -65535..65535"), (-70000, 0, "ids"), (1, 4, "classes are 0..3")])
def test_a_mapping_out_of_range_says_whether_the_id_or_the_class_is(stored, target, fault):
    with pytest.raises(DataError, match=f"data.label_map maps {stored} to {target}, but {fault}.*: correct it"):
        LabelRule(4, mapping={stored: target})


@pytest.mark.parametrize("text", ["1", "a:b", "1:2:3"])
def test_a_malformed_label_map_field_is_an_error(text):
    with pytest.raises(DataError, match="write pairs"):
        parse_label_map(text)


@pytest.mark.parametrize("size", [(3, 4), (7, 5), (2, 2), (9, 16)])
def test_label_resize_equals_pillow_nearest(size):
    pillow = Image.fromarray(IDS).resize(size[::-1], Image.Resampling.NEAREST)
    assert (resize_label_map(IDS, size) == np.asarray(pillow)).all()


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_ids_of_signed_types_may_be_negative_and_are_mapped_as_the_message_says(tmp_path, dtype):
    path = save(tmp_path / "a.tif", np.array([[-1, 0], [3, -9999]], dtype))
    with pytest.raises(DataError, match=r"a\.tif holds id -9999, -1, .*map id -9999 .*often -1 means don't-care: data.label_map=\"-1:C\""):
        read_label_map(path, LabelRule(4))
    assert read_label_map(path, LabelRule(4, mapping=parse_label_map("-1:2,-9999:0"))).tolist() == [[2, 0], [3, 0]]


def test_ids_of_signed_bytes_may_be_negative(tmp_path):
    ids, rule = np.array([[-1, 0], [3, 100]], np.int8), LabelRule(101, mapping={-1: 7})
    Image.fromarray(ids.view(np.uint8)).save(tmp_path / "signed.tif", tiffinfo={339: 2})
    assert read_label_map(tmp_path / "signed.tif", rule).tolist() == [[7, 0], [3, 100]]
    Image.fromarray(ids.view(np.uint8)).save(tmp_path / "unsigned.tif")
    with pytest.raises(DataError, match=r"unsigned.tif holds id 255, "):
        read_label_map(tmp_path / "unsigned.tif", rule)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_in_which_0_is_white_is_refused(tmp_path, dtype):
    Image.fromarray(np.full((4, 4), 3, dtype)).save(tmp_path / "a.tif")
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data.replace(struct.pack("<HHIH", 262, 3, 1, 1), struct.pack("<HHIH", 262, 3, 1, 0)))
    with pytest.raises(DataError, match=r"a.tif is a TIFF in which 0 is white, .*save the ids as PNG"):
        read_label_map(tmp_path / "a.tif", LabelRule(256))


def test_ids_of_32_bits_and_floating_point_numbers_say_what_they_are(tmp_path):
    with pytest.raises(DataError, match="a.tif holds id -2147483648, but ids are -65535..65535"):
        read_label_map(save(tmp_path / "a.tif", np.array([[-(2**31), 1]], np.int32)), LabelRule(4))
    with pytest.raises(DataError, match="b.tif holds floating-point numbers, -1 to 3: save the ids as integers"):
        read_label_map(save(tmp_path / "b.tif", np.array([[-1, 3]], np.float32)), LabelRule(4))


@pytest.mark.parametrize("offset", [300, -300, 4, -50, 60000])
@pytest.mark.parametrize("first", [0, 1, 7])
def test_an_offset_by_which_no_id_has_a_class_comes_with_one_by_which_all_have(first, offset):
    stored = np.array([first, first + 2, 255], np.uint8)
    with pytest.raises(DataError, match=f"id {first}, .*which data.label_offset={offset} makes {first + offset}, .*classes 0..3") as error:
        LabelRule(4, offset, {255: 0})(stored)
    assert "num_classes=" not in str(error.value) and ".." + str(3 - offset) not in str(error.value)
    fits = int(re.search(r"set data.label_offset=(-?\d+)", str(error.value))[1])
    assert LabelRule(4, fits, {255: 0})(stored).tolist() == [first + fits, first + 2 + fits, 0]


def test_opaque_colours_of_a_palette_png_are_read_without_a_word(tmp_path):
    image = Image.new("P", (4, 3), 1)
    image.putpalette([9, 9, 9, 20, 20, 20])
    image.save(tmp_path / "a.png", transparency=bytes([255, 255]))  # Pillow warns when it drops such transparency
    assert (read_label_map(tmp_path / "a.png", LabelRule(2, palette=np.array([[9, 9, 9], [20, 20, 20]], np.uint8))) == 1).all()


@pytest.mark.parametrize("rule, inverse", [
    (LabelRule(3), [0, 1, 2]),
    (LabelRule(12, 1, {11: 0}), [11, *range(11)]),
    (LabelRule(3, 1, {255: 0, 19: 0}), [19, 0, 1]),  # the lowest of several ids
    (LabelRule(3, 1, {-1: 0}), [-1, 0, 1]),  # a negative id cannot be stored in PNG
    (LabelRule(3, 0, {0: 1, 7: 0}), [7, 1, 2]),  # class 1 has ids 0 and 1: that of the offset is chosen
    (LabelRule(2, -65535), [65535, -1]),
])  # fmt: skip
def test_the_inverse_of_a_rule_gives_ids_of_its_classes(rule, inverse):
    assert rule.inverse.tolist() == inverse
    stored = np.flatnonzero(rule.inverse >= 0)
    np.testing.assert_array_equal(rule(rule.inverse[stored]), stored)
