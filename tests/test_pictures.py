"""Laws of colours and grids."""
import numpy as np
import pytest
from PIL import Image

from oasis_jax import pictures
from oasis_jax.data.labels import LabelRule, read_label_map


@pytest.mark.parametrize("num_classes", [1, 2, 12, 35, 183, 604])
def test_every_class_has_its_own_colour_and_dontcare_is_black(num_classes):
    table = pictures.colours(num_classes)
    assert table.shape == (num_classes, 3) and table.dtype == np.uint8
    assert len({tuple(colour) for colour in table.tolist()}) == num_classes
    assert not table[0].any()


def test_colours_of_few_classes_are_far_apart():
    table = pictures.colours(35).astype(float)
    distances = np.linalg.norm(table[:, None] - table[None], axis=-1)
    assert distances[~np.eye(35, dtype=bool)].min() > 50


def test_a_class_keeps_its_colour_when_classes_are_added():
    np.testing.assert_array_equal(pictures.colours(12), pictures.colours(151)[:12])


def test_callers_cannot_change_the_palette():
    pictures.colours(12)[:] = 7
    assert not pictures.colours(12)[0].any()


def test_colour_label_map_looks_ids_up():
    ids = np.array([[[0, 3], [2, 1]]], np.int32)
    coloured = pictures.colour_label_map(ids, 4)
    assert coloured.shape == (1, 2, 2, 3) and coloured.dtype == np.uint8
    np.testing.assert_array_equal(coloured[0, 0, 1], pictures.colours(4)[3])


@pytest.mark.parametrize("bad", [-1, 4])
def test_ids_out_of_range_are_an_error_that_names_them(bad):
    with pytest.raises(ValueError, match=f"{bad}.*num_classes is 4"):
        pictures.colour_label_map(np.array([[1, bad]]), 4)


def test_grid_keeps_every_pixel_of_every_image():
    rows = [[np.full((10, 20, 3), value, np.uint8) for value in row] for row in ((1, 2, 3), (4, 5))]
    page = pictures.grid(rows, gap=2)
    assert page.shape == (2 + 2 * 12, 2 + 3 * 22, 3) and page.dtype == np.uint8
    for value in range(1, 6):
        assert np.sum(page == value) == 10 * 20 * 3


def test_an_empty_cell_of_a_grid_is_paper_and_moves_nothing():
    image = np.full((4, 6, 3), 7, np.uint8)
    page, whole = pictures.grid([[None, image], [image, None]], gap=1), pictures.grid([[image, image], [image, image]], gap=1)
    np.testing.assert_array_equal(page[1:5, 8:14], image)
    assert page.shape == whole.shape and np.all(page[1:5, 1:7] == page[0, 0]) and np.all(page[6:10, 8:14] == page[0, 0])


def test_captions_lie_above_the_images():
    rows = [[np.zeros((10, 40, 3), np.uint8)] * 2]
    plain, captioned = pictures.grid(rows), pictures.grid(rows, captions=["photo", "a caption far too long for its column"])
    head = captioned.shape[0] - plain.shape[0]
    np.testing.assert_array_equal(captioned[head:], plain)
    assert captioned[:head].min() < 100


def test_notes_lie_below_each_image_and_change_no_pixel_of_it():
    rows = [[np.full((10, 40, 3), value, np.uint8) for value in row] for row in ((1, 2), (3, 4))]
    noted = pictures.grid(rows, notes=[["seed 0", "seed 1"], ["", "seed 3"]], gap=2)
    line = (noted.shape[0] - pictures.grid(rows, gap=2).shape[0]) // 2
    for i in range(2):
        top = 2 + i * (10 + line + 2)
        np.testing.assert_array_equal(noted[top : top + 10, 44:84], rows[i][1])
        below = noted[top + 10 : top + 10 + line]
        assert below[:, 44:84].min() < 100 and (below[:, 2:42].min() < 100) == (i == 0)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "latin\udce9", "a\u200bb", "\u202eb"])
def test_any_name_of_a_file_is_a_caption_of_one_line(name):
    rows = [[np.zeros((10, 90, 3), np.uint8)]]
    page = pictures.grid(rows, captions=[name], notes=[[name]])
    assert page.shape == pictures.grid(rows, captions=["a"], notes=[["a"]]).shape and page[:14].min() < 100


@pytest.mark.parametrize("rows", [[], [[np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)]]])
def test_grid_refuses_images_that_do_not_fit(rows):
    with pytest.raises(ValueError, match="images of one size"):
        pictures.grid(rows)


def test_saved_png_reads_back_and_leaves_nothing_else(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    for content in (image, image[..., 0]):  # the second overwrites the first
        pictures.save_png(tmp_path / "deep" / "picture.png", content)
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "deep" / "picture.png")), content)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["picture.png"]


@pytest.mark.parametrize("dtype, lowest, highest", [
    ("uint8", 0, 255), ("uint16", 0, 65535), ("int8", -1, 100), ("int32", 0, 3), ("int32", -1, 65535), ("int64", 0, 300),
    ("int64", -65535, 0),
])
def test_ids_of_any_type_are_saved_as_a_file_that_is_read_as_the_same_classes(tmp_path, dtype, lowest, highest):
    ids = np.array([[lowest, highest], [0, 1]])
    pictures.save_ids(tmp_path / "labels" / "a.b", ids.astype(dtype))
    (file,) = (tmp_path / "labels").iterdir()
    assert file.stem == "a.b"
    rule = LabelRule(5, mapping={lowest: 2, highest: 3})
    np.testing.assert_array_equal(read_label_map(file, rule), rule(ids))
