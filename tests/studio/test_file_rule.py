"""A label file gives the same map wherever it is opened: in the studio, as one of its examples, and in a page without a server."""
import base64
import functools
import types

import numpy as np
import pytest

import oasis_jax
from oasis_jax.data.labels import DataError, LabelRule, read_label_map
from oasis_jax.data.palette import as_field
from oasis_jax.oasis import family
from oasis_jax.sample_labels import class_colours, label_rule
from oasis_jax.studio.beginning import begin_with
from oasis_jax.studio.examples import find_examples
from oasis_jax.studio.file_rule import file_rule, written_ids
from oasis_jax.studio.model_facts import model_facts
from oasis_jax.studio.opening import open_file
from tests.studio.javascript import MARKS, run
from tests.studio.label_pngs import palette_png, png, raw_png, read_by_page
from tests.studio_client import app_of, post
from tests.tiny_run import IMAGE_SIZE, random_state, tiny_config

pytestmark = MARKS
CLASSES = np.random.default_rng(0).integers(0, 4, IMAGE_SIZE)
FOREIGN = (1, 2, 3)
OWN = np.array([(20, 20, 20), (200, 60, 40), (128, 64, 128), (70, 130, 180), (9, 9, 9)], np.uint8)
FIELDS = {
    "no palette": {},
    "no palette, shifted ids": {"label_offset": 1, "label_map": "255:0"},
    "shifted ids, and a class without one": {"label_offset": 1},
    "a palette": {"palette_colours": as_field(OWN[:4])},
    "a palette that lacks a class": {"palette_colours": as_field(OWN[:3]), "label_offset": 1},
    "a palette with two colours of a class": {"palette_colours": as_field(OWN), "label_map": "4:1"},
}
LACKED = {"shifted ids, and a class without one": 0, "a palette that lacks a class": 0}  # classes without an id or a colour in the data set


@functools.cache
def model_with(name):
    config = tiny_config()
    config.data.update(FIELDS[name])
    return family.model(config, random_state(config).ema, 5)


@pytest.fixture(params=FIELDS)
def model(request):
    return model_with(request.param)


def everywhere(model, folder, *files):
    """Opens files in the studio, as an example and in the page. Returns for each its classes (H, W), or the errors (studio, page)."""
    rule, found = label_rule(model), []
    of_files = file_rule(model, rule)
    of_page = read_by_page(folder, of_files.facts(), *files)
    app, renderer = app_of(model, rule=rule)
    for number, (file, there) in enumerate(zip(files, of_page, strict=True)):
        answer = post(app, "/open", file, "name=a.png")
        if answer.status != 200:
            found.append((answer.error, there["error"]))
            continue
        here = np.frombuffer(answer.message[1], np.uint8)
        assert here.tolist() == there["labels"], number
        (folder / "example.png").write_bytes(file)
        example = find_examples(model, IMAGE_SIZE, of_files, str(folder / "example.png")).read("example")
        np.testing.assert_array_equal(example.labels.ravel(), here)
        found.append(here.reshape(IMAGE_SIZE))
    renderer.close()
    return found


def stored(model, classes=CLASSES):
    """Returns the ids of classes in files of a model's data set, 0 if a class has none, and the classes as which these ids are read."""
    ids = label_rule(model).inverse[classes]
    return np.where(ids < 0, 0, ids).astype(np.uint8), np.where(ids < 0, label_rule(model).table[0], classes)


def test_ids_and_the_colours_of_the_studio_in_any_order_are_the_same_map_everywhere(model, tmp_path):
    colours, order = class_colours(model), [2, 0, 3, 1]
    rgb, (ids, of_ids) = colours[CLASSES], stored(model)
    opaque = np.full(IMAGE_SIZE, 255, np.uint8)
    found = everywhere(
        model, tmp_path, png(ids), png(ids.astype(np.uint16)),
        png(rgb), png(np.dstack([rgb, opaque])), palette_png(CLASSES, colours), palette_png(np.argsort(order)[CLASSES], colours[order]),
    )
    for each, expected in zip(found, [of_ids] * 2 + [CLASSES] * 4, strict=True):
        np.testing.assert_array_equal(each, expected)


_WRITE = """
    const { labelMapPng } = await import("./label_file.js");
    const [height, width] = given.size;
    const labels = (given.classes.length > 256 ? Uint16Array : Uint8Array).from(given.labels);
    const file = await labelMapPng(labels, { height, width }, given.classes);
    return btoa(String.fromCharCode(...new Uint8Array(await file.arrayBuffer())));
"""


def saved_by_page(folder, classes, facts):
    """Returns the bytes of the file in which the page saves classes (H, W); `facts` are those of the classes."""
    given = {"labels": classes.ravel().tolist(), "size": classes.shape, "classes": facts}
    return base64.b64decode(run(folder, _WRITE, given))


@pytest.mark.parametrize("classes", [CLASSES, np.full(IMAGE_SIZE, 2)], ids=["all classes", "one class"])
def test_a_label_map_that_the_page_saves_is_that_map_for_the_commands_too(model, tmp_path, classes):
    file = saved_by_page(tmp_path, classes, model_facts(model, "runs/tiny", IMAGE_SIZE)["classes"])
    (found,) = everywhere(model, tmp_path, file)
    np.testing.assert_array_equal(found, classes)
    (tmp_path / "saved.png").write_bytes(file)
    if not any(model is model_with(name) and each in classes for name, each in LACKED.items()):
        np.testing.assert_array_equal(read_label_map(tmp_path / "saved.png", label_rule(model)), classes)


@pytest.mark.parametrize("name", LACKED)
def test_a_saved_class_that_the_data_set_lacks_is_refused_by_the_commands_and_not_taken_for_another(tmp_path, name):
    model = model_with(name)
    without = np.full(IMAGE_SIZE, LACKED[name])
    file = saved_by_page(tmp_path, without, model_facts(model, "runs/tiny", IMAGE_SIZE)["classes"])
    (found,) = everywhere(model, tmp_path, file)
    np.testing.assert_array_equal(found, without)
    (tmp_path / "saved.png").write_bytes(file)
    with pytest.raises(DataError, match="saved.png holds"):
        read_label_map(tmp_path / "saved.png", label_rule(model))


@pytest.mark.parametrize("count, offset, mapping", [(300, -2, {0: 7}), (300, 1, {900: 0}), (4, -300, {})])
def test_ids_that_have_no_place_in_a_palette_are_saved_in_grey(tmp_path, count, offset, mapping):
    rule, classes = LabelRule(count, offset, mapping), np.arange(count).reshape(2, -1)
    facts = [{"color": [number % 256, number // 256, 9], "stored": stored} for number, stored in enumerate(written_ids(rule))]
    (tmp_path / "saved.png").write_bytes(saved_by_page(tmp_path, classes, facts))
    np.testing.assert_array_equal(read_label_map(tmp_path / "saved.png", rule), classes)


def test_a_colour_of_no_class_is_named_everywhere(model, tmp_path):
    rgb = class_colours(model)[CLASSES]
    rgb[3, 4] = FOREIGN
    ((here, there),) = everywhere(model, tmp_path, png(rgb))
    assert here.startswith("a.png holds the colour 1 2 3 (at row 3, column 4;") and "in 1 pixels" in here and "(1 2 3)" in there
    has_file = label_rule(model).palette is not None
    assert "nearest is " in here and ("of class" in here) == bool((classes := here.partition("of class ")[2]) and 0 <= int(classes[0]) < 4)
    assert ("data.palette lacks: add a line" in here) == has_file and ("give it the colour of a class" in here) != has_file


def test_transparent_pixels_and_ids_of_no_class_are_refused_everywhere(model, tmp_path):
    rgb, alpha = class_colours(model)[CLASSES], np.where(CLASSES == 1, 0, 255).astype(np.uint8)
    hidden = palette_png(CLASSES, class_colours(model), transparency=1)
    for here, there in everywhere(model, tmp_path, png(np.dstack([rgb, alpha])), hidden, png(np.full(IMAGE_SIZE, 99, np.uint8))):
        assert ("transparent" in here) == ("transparent" in there) == ("99" not in here) == ("99" not in there)


def test_what_decoders_would_read_differently_is_refused_everywhere(model, tmp_path):
    """2-bit and 4-bit grey, 16-bit colours, a transparent colour; for models with a palette, also indices that the file's palette lacks."""
    rgb, (ids, _) = class_colours(model)[CLASSES], stored(model)
    key = tuple(map(int, rgb[3, 4]))
    files = [raw_png(ids & 3, 2), raw_png(ids & 3, 4), raw_png(rgb.astype(np.uint16) * 257, 16), png(rgb, transparency=key)]
    if label_rule(model).palette is not None:
        files.append(raw_png(CLASSES, 8, class_colours(model)[:2]))
    for number, refusals in enumerate(everywhere(model, tmp_path, *files)):
        assert len(refusals) == 2 and all(isinstance(each, str) for each in refusals), number


@pytest.mark.parametrize("name", [name for name in FIELDS if name.startswith("no")])
def test_without_a_palette_indices_of_other_colours_and_equal_channels_are_ids(tmp_path, name):
    model = model_with(name)
    ids, _ = stored(model)
    of_pillow = np.repeat(np.arange(256)[:, None], 3, 1)
    of_data_set = np.random.default_rng(2).integers(0, 256, (256, 3))
    of_data_set[0] = 0
    mixed = of_data_set.copy()
    mixed[:3] = class_colours(model)[[2, 3, 1]]  # of the colours that pixels have, all but one are colours of classes
    files = [palette_png(ids, colours) for colours in (of_pillow, of_data_set, mixed)]
    for each in everywhere(model, tmp_path, *files, png(np.dstack([ids] * 3))):
        np.testing.assert_array_equal(each, CLASSES)


@pytest.mark.parametrize("name", [name for name in FIELDS if name.startswith("no")])
def test_one_colour_is_no_evidence_if_the_palette_has_others(tmp_path, name):
    """If the palette of a data set has black at index 0, pixels of this index are not taken as the studio's black of class 0."""
    model = model_with(name)
    blank = np.zeros(IMAGE_SIZE, np.uint8)
    of_data_set, of_studio = everywhere(model, tmp_path, palette_png(blank, [(0, 0, 0), FOREIGN]), palette_png(blank, class_colours(model)))
    assert (of_data_set == label_rule(model).table[0]).all() and (of_studio == 0).all()


@pytest.mark.parametrize("name", [name for name in FIELDS if name.startswith("a palette")])
def test_with_a_palette_images_in_colours_hold_its_colours_alone(tmp_path, name):
    model = model_with(name)
    rule = label_rule(model)
    rows = np.random.default_rng(1).integers(0, len(rule.palette), IMAGE_SIZE)
    grey = np.full(IMAGE_SIZE, 20, np.uint8)
    *found, refused = everywhere(
        model, tmp_path, png(rule.palette[rows]), palette_png(rows, rule.palette), png(np.dstack([grey] * 3)),
        palette_png(rows, np.vstack([rule.palette[:1], [FOREIGN] * 4])),
    )
    for each, expected in zip(found, [rows, rows, np.zeros_like(rows)], strict=True):
        np.testing.assert_array_equal(each, rule.table[expected])
    assert "1 2 3" in refused[0] and "empty data.palette" in refused[0] and "(1 2 3)" in refused[1]


def test_a_palette_that_the_command_is_given_is_shown_and_read(tmp_path):
    (tmp_path / "palette.txt").write_text("\n".join(" ".join(map(str, colour)) for colour in OWN[1:]))
    begun = begin_with(model_with("a palette"), changed={"palette": str(tmp_path / "palette.txt")})
    facts = begun.facts(types.SimpleNamespace(previews=None))
    np.testing.assert_array_equal([each["color"] for each in facts["classes"]], OWN[1:])
    _, labels, _ = open_file(png(OWN[1:][CLASSES]), "a.png", begun.model, begun.file_rule, IMAGE_SIZE)
    np.testing.assert_array_equal(labels, CLASSES)


def test_the_model_in_the_box_opens_what_is_drawn_in_the_colours_of_its_page():
    model = oasis_jax.load("scenes")
    classes = np.random.default_rng(0).integers(0, model.num_classes, model.image_size)
    _, labels, _ = open_file(png(class_colours(model)[classes]), "a.png", model, file_rule(model, label_rule(model)), model.image_size)
    np.testing.assert_array_equal(labels, classes)
