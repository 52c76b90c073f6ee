"""Laws of recipe.json: what is written is read back, and the worst that a file of any origin can cause is an error of one line."""
import base64
import io
import json
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from oasis_jax import id_maps, recipe_file
from oasis_jax.heatmaps import of_seed
from oasis_jax.noise import Regions
from oasis_jax.recipes import Recipe

NAMES = ("unlabelled", "road", "<script>alert(1)</script>")
LABELS = np.random.default_rng(0).integers(3, size=(4, 6))
SIZE = LABELS.shape
FULL = Recipe(
    5,
    {1: 2**32 - 1, 2: 0},
    end=(3, {1: 4}),
    t=1 / 3,
    centres=((0.5, -0.25),),
    style_seeds={0: 4},
    truncation=0.7,
    truncated_rows=2,
    base_heatmaps=tuple(map(tuple, of_seed(5).tolist())),
    shifts={0: (0.1, 0.2)},
    width_factors={6: 2.0},
    regions=Regions((LABELS == 1).astype(np.uint8), ((7, 8, 0.25), 9)),
)


def written(recipe=FULL, labels=LABELS, names=NAMES, **fields):
    file = io.BytesIO()
    recipe_file.write(file, "scenes", labels, recipe, names, **fields)
    return file.getvalue()


def test_what_is_written_is_read_again(tmp_path):
    found = recipe_file.read(written(step=12))
    assert (found.model, found.step, found.image_size, found.class_names, found.noise) == ("scenes", 12, SIZE, NAMES, None)
    assert found.recipe == FULL
    np.testing.assert_array_equal(found.labels, LABELS)
    recipe_file.write(tmp_path / "a.json", "scenes", LABELS, FULL, NAMES, step=12)
    assert (tmp_path / "a.json").read_bytes() == written(step=12)
    assert recipe_file.open_file(tmp_path / "a.json").recipe == FULL


def test_classes_of_one_name_are_called_as_in_the_model():
    """Files of models whose names were not told apart can still be opened; their class_seeds are those of the first class of a name."""
    record = json.loads(written(Recipe(5, {0: 7}), names=("void", "road", "<b>"))) | {"classes": ["void", "road", "void"]}
    found = recipe_file.read(json.dumps(record).encode())
    assert found.class_names == ("void", "road", "void (2)") and found.recipe == Recipe(5, {0: 7})


def test_a_model_without_label_maps_needs_none():
    found = recipe_file.read(written(Recipe(3, truncation=0.5), None, (), image_size=(64, 64), noise="const"))
    assert found.labels is None and found.class_names == () and found.image_size == (64, 64) and found.noise == "const"
    assert found.recipe == Recipe(3, truncation=0.5)


def test_a_label_map_is_a_png_in_the_colours_of_its_classes():
    colours = np.array([[0, 0, 0], [9, 8, 7], [1, 2, 3]], np.uint8)
    picture = Image.open(io.BytesIO(base64.b64decode(json.loads(written(palette=colours))["label_map"])))
    assert picture.mode == "P"
    np.testing.assert_array_equal(picture, LABELS)
    np.testing.assert_array_equal(picture.convert("RGB"), colours[LABELS])


def test_more_classes_than_a_palette_has_are_stored_in_16_bits():
    names, labels = tuple(map(str, range(300))), np.arange(24).reshape(4, 6) + 270
    np.testing.assert_array_equal(recipe_file.read(written(Recipe(0), labels, names)).labels, labels)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_of_few_colours_are_read_by_index(bits):
    """Some programs write such files to save space."""
    image = Image.fromarray((LABELS % 2).astype(np.uint8))
    image.putpalette([0, 0, 0, 255, 0, 0])
    file = io.BytesIO()
    image.save(file, "PNG", bits=bits)
    np.testing.assert_array_equal(id_maps.ids_of(file.getvalue()), LABELS % 2)


def png(mode="RGB", size=SIZE, **options):
    file = io.BytesIO()
    Image.new(mode, size[::-1]).save(file, "PNG", **options)
    return file.getvalue()


def bomb(width, height):
    """A small PNG whose header claims that it is large."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1 << 16))) + chunk(b"IEND", b"")


def text(data):
    return base64.b64encode(data).decode()


DELETED = object()
WRONG = [
    (("format",), 2, "its format is 2, but .* reads format 1"),
    (("format",), DELETED, "lacks the field format"),
    (("more",), 1, "more is unknown: the fields here are classes, format"),
    (("mo\nre",), 1, r"mo\\nre is unknown"),
    (("model",), "", "model is '', but should be a text"),
    (("model",), "a\nb", "in one line"),
    (("model",), "\ud800", "in one line"),
    (("model",), DELETED, "model is missing"),
    (("image_size",), [4, 6.5], r"image_size\[1\] is 6.5, but should be an integer in 1..16384"),
    (("image_size",), [4, 10**9], r"image_size\[1\] is 1000000000"),
    (("image_size",), [4], "image_size is a list of 1, but should be a list of 2"),
    (("image_size",), [6, 4], "label_map is a PNG of 4x6, but image_size is 6x4"),
    (("step",), -1, "step is -1"),
    (("step",), True, "step is True"),
    (("classes",), [], "classes is a list of 0"),
    (("classes",), ["a", 3, "b"], r"classes\[1\] is 3, but should be a text"),
    (("classes",), DELETED, "label_map and classes belong together"),
    (("classes",), ["unlabelled", "road"], "holds class 2, but there are 2 classes|no class '<script>"),
    (("label_map",), DELETED, "label_map and classes belong together"),
    (("label_map",), 5, "label_map: it is not base64"),
    (("label_map",), "ä", "label_map: it is not base64"),
    (("label_map",), text(b"GIF89a" + bytes(99)), "label_map: it is not a PNG"),
    (("label_map",), text(png()), "label_map: it is a PNG in colours"),
    (("label_map",), text(png("1")), "a palette, or grey of 8 or 16 bits"),
    (("label_map",), text(png("L")[:45]), "label_map: its PNG is damaged"),
    (("label_map",), text(png("L")[:25]), "label_map: it is not a PNG"),
    (("label_map",), text(bomb(40000, 40000)), "label_map: it is a PNG of 40000x40000, but at most"),
    (("label_map",), text(bomb(0, 4)), "it is a PNG of 0x4"),
    (("noise",), 4, "noise is 4"),
    (("recipe",), [], "recipe is a list of 0, but should be an object"),
    (("recipe", "seed"), 2**32, "recipe.seed is 4294967296, but should be an integer in 0..4294967295"),
    (("recipe", "seed"), -1, "recipe.seed is -1"),
    (("recipe", "seed"), 1.0, "recipe.seed is 1.0"),
    (("recipe", "seed"), DELETED, "recipe.seed is missing"),
    (("recipe", "sead"), 1, "recipe.sead is unknown"),
    (("recipe", "class_seeds"), {"rode": 1}, "recipe.class_seeds: there is no class 'rode'"),
    (("recipe", "class_seeds"), {"road": "1"}, "recipe.class_seeds.road is '1'"),
    (("recipe", "interpolation", "t"), 1.01, "recipe.interpolation.t is 1.01, but should be a number from 0 to 1"),
    (("recipe", "interpolation", "t"), DELETED, "recipe.interpolation.t is missing"),
    (("recipe", "interpolation", "seed"), None, "recipe.interpolation.seed is None"),
    (("recipe", "centres"), [[0, 0], [1, 1]], "recipe.centres is a list of 2, but should be a list of 1 or 7"),
    (("recipe", "centres"), [[0, 1e300]], r"recipe.centres\[0\]\[1\] is 1e\+300"),
    (("recipe", "base_heatmaps"), [[0, 0, 0]] * 7, "recipe: the width of map 0 .* should be positive"),
    (("recipe", "shifts"), {"7": [0, 0]}, "recipe.shifts: there is no heatmap '7': they are 0 to 6"),
    (("recipe", "shifts"), {"٣": [0, 0]}, "recipe.shifts: there is no heatmap"),
    (("recipe", "shifts"), {"0": [0, True]}, r"recipe.shifts.0\[1\] is True"),
    (("recipe", "width_factors"), {"0": 0}, "recipe.width_factors.0 is 0, but should be a number above 0 to 1000"),
    (("recipe", "style_seeds"), {"99999": 1}, "no style row '99999'"),
    (("recipe", "truncation"), "1", "recipe.truncation is '1'"),
    (("recipe", "truncated_rows"), -1, "recipe.truncated_rows is -1"),
    (("recipe", "regions", "seeds"), [{"seed": 1}] * 256, "recipe.regions.seeds is a list of 256"),
    (("recipe", "regions", "seeds"), [{"seed": 1, "end": 2}], r"recipe.regions.seeds\[0\] has only one of end and t"),
    (("recipe", "regions", "seeds"), [{"seed": 1, "end": -2, "t": 0}], r"recipe.regions.seeds\[0\].end is -2"),
    (("recipe", "regions", "seeds"), [], "recipe: the map of regions holds region 1, but there are seeds of 0"),
    (("recipe", "regions", "map"), text(png("L", (9, 9))), "recipe.regions.map is a PNG of 9x9, but image_size is 4x6"),
    (("recipe", "regions", "map"), text(png("I;16")), "recipe.regions.map is a PNG of 16 bits"),
]


@pytest.mark.parametrize(("place", "value", "message"), WRONG)
def test_what_is_wrong_is_named_in_one_line(place, value, message):
    record = json.loads(written())
    *outer, last = place
    inner = record
    for name in outer:
        inner = inner[name]
    inner[last] = value
    if value is DELETED:
        del inner[last]
    with pytest.raises(ValueError, match=message) as error:
        recipe_file.read(json.dumps(record).encode())
    assert len(str(error.value).splitlines()) == 1 and len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is no recipe.json"),
        (b"[]", "lacks the field format"),
        (b"\xff\xfe\xfa", "it is no recipe.json"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"format": NaN}', "NaN is no number"),
        (b'{"format": 1, "format": 1}', "the same field twice"),
        (b'{"format": ' + b"1" * 5000 + b"}", "it is no recipe.json"),
        (bytes(recipe_file.MAX_BYTES + 1), "at most 8388608"),
    ],
)
def test_files_that_are_something_else_are_told(data, message):
    with pytest.raises(ValueError, match=message):
        recipe_file.read(data)


def test_regions_need_a_label_map():
    record = json.loads(written())
    del record["label_map"], record["classes"], record["recipe"]["class_seeds"], record["recipe"]["interpolation"]
    with pytest.raises(ValueError, match="recipe.regions.map needs a label_map: leave out the regions"):
        recipe_file.read(json.dumps(record).encode())


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")  # nobody writes to it
    for path in (tmp_path, tmp_path / "none.json", tmp_path / "pipe.json"):
        with pytest.raises(ValueError, match=f"{path} cannot be read .*: name a recipe.json"):
            recipe_file.open_file(path)
    (tmp_path / "a.json").write_bytes(b"{}")
    with pytest.raises(ValueError, match="a.json: it is no recipe.json"):
        recipe_file.open_file(tmp_path / "a.json")
