"""The protocol between page and server: images are those of the library, and errors are reported in one line."""
import asyncio
import dataclasses
import io
import json
import math

import numpy as np
import pytest
from PIL import Image

import oasis_jax
from oasis_jax import recipe_file
from oasis_jax.data.labels import LabelRule
from oasis_jax.noise import Regions
from oasis_jax.oasis import family
from oasis_jax.recipes import Recipe
from oasis_jax.studio import framing
from oasis_jax.studio.examples import find_examples
from oasis_jax.studio.file_rule import file_rule
from oasis_jax.studio.image_request import MAX_PAIRS, SEED, ImageRequest, read_request, schema, write_image
from oasis_jax.studio.json_fields import Named, OrNull, Real, Record, Row, Several, Text, Whole
from oasis_jax.studio.model_facts import model_facts, name_of_run
from tests.eqgan import tiny_run as eqgan_run
from tests.studio_client import app_of, ask, get, image_message, post
from tests.tiny_run import CLASS_NAMES, IMAGE_SIZE, random_state, tiny_config

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, len(CLASS_NAMES), IMAGE_SIZE).astype(np.uint8)
REGION_MAP = RNG.integers(0, 3, IMAGE_SIZE).astype(np.uint8)
HEATMAPS = [[0.1 * i, -0.1 * i, 0.5] for i in range(7)]


@pytest.fixture(scope="module")
def model():
    config = tiny_config(spatial_awareness=True)
    return family.model(config, random_state(config).ema, 5)


@pytest.fixture(scope="module")
def app(model):
    photo = RNG.integers(0, 256, (*IMAGE_SIZE, 3)).astype(np.uint8)
    readers = {"with photo": lambda: (LABELS, photo), "<script>alert(1)</script>": lambda: (LABELS, None)}
    found, renderer = app_of(model, readers=readers, rule=LabelRule(len(CLASS_NAMES), fixed=True))
    yield found
    renderer.close()


@pytest.fixture(scope="module")
def unconditional(tmp_path_factory):
    """An EqGAN-SA, and its application."""
    workdir = tmp_path_factory.mktemp("eqgan")
    eqgan_run.save_run(workdir)
    found, renderer = app_of(oasis_jax.load(workdir))
    yield renderer.model, found
    renderer.close()


@pytest.fixture(params=["label maps", "unconditional"])
def asked(request):
    """(model, application, arrays of an image, names of all its fields), for one model of each family."""
    if request.param == "label maps":
        return request.getfixturevalue("model"), request.getfixturevalue("app"), (LABELS, REGION_MAP), {*SIZED, *FULL, "model_id"}
    both = {"end", "t", "heatmaps", "preview", "tab", "model_id"}
    return *request.getfixturevalue("unconditional"), (), {*SIZED, *both, "truncation", "style_seeds"}


SIZED = ("height", "width", "seed")
FULL = {
    "class_seeds": {"car": 5},
    "end": {"seed": 7, "class_seeds": {"sky": 8}},
    "t": 0.25,
    "regions": [{"seed": 3}, {"seed": 4, "end": 9, "t": 0.5}],
    "heatmaps": HEATMAPS,
    "preview": {"top": 0, "left": 0, "height": 4, "width": 4},
    "tab": "a",
}


@pytest.mark.parametrize("names", [[], ["class_seeds"], ["end", "t"], ["heatmaps"], ["regions"], list(FULL)])
def test_an_image_is_the_one_that_the_library_makes(app, model, names):
    fields = {name: FULL[name] for name in names}
    region_map = REGION_MAP if "regions" in names else None
    answer = post(app, "/render", image_message(LABELS, region_map, **fields))
    recipe = Recipe(
        0,
        {2: 5} if "class_seeds" in names else {},
        end=(7, {3: 8}) if "end" in names else None,
        t=fields.get("t", 0.0),
        base_heatmaps=tuple(map(tuple, HEATMAPS)) if "heatmaps" in names else None,
        regions=Regions(REGION_MAP, (3, (4, 9, 0.5))) if "regions" in names else None,
    )
    expected = model.images(model.inputs([recipe], {"label_map": LABELS[None]}))[0]
    np.testing.assert_array_equal(answer.rgb, expected)
    assert [answer.headers[f"x-{name}"] for name in ("top", "left", "exact")] == ["0", "0", "1"]


def test_information_says_what_the_model_is(app):
    found = get(app, "/info").json
    assert [each["name"] for each in found["classes"]] == list(CLASS_NAMES)
    assert (found["height"], found["width"], found["multiple"]) == (*IMAGE_SIZE, 4)
    assert found["levels"] == [[0], [1, 2], [3, 4, 5, 6]] and found["spatial"] and found["labels"] and not found["styles"]
    assert [each["dont_care"] for each in found["classes"]] == [True, False, False, False]
    assert found["examples"] == [{"name": "with photo"}, {"name": "<script>alert(1)</script>"}]


def test_a_page_that_was_opened_with_another_model_is_told_to_reload(app, model):
    """The command may be ended and run with another model, of any size, while the page stays open."""
    own = get(app, "/info").json["model_id"]
    facts = [model_facts(model, *changed) for changed in (("runs/tiny", IMAGE_SIZE), ("runs/other", IMAGE_SIZE), ("runs/tiny", (8, 8)))]
    facts.append(model_facts(dataclasses.replace(model, step=model.step + 1), "runs/tiny", IMAGE_SIZE))
    assert facts[0]["model_id"] == own and len({each["model_id"] for each in facts}) == 4
    assert model_facts(model, "runs/tiny", IMAGE_SIZE, ["a"], True)["model_id"] == own
    assert post(app, "/render", image_message(LABELS, model_id=own)).status == 200
    for each in facts[1:]:
        labels = np.zeros((each["height"], each["width"]), np.uint8)
        answer = post(app, "/render", image_message(labels, model_id=each["model_id"]))
        assert answer.status == 409 and answer.error.endswith(f"(tiny, step {model.step}): reload the page")


def test_examples_are_messages_with_or_without_a_photo(app):
    header, data = get(app, "/example", "name=with%20photo").message
    labels, photo = framing.array_of(data, np.uint8, IMAGE_SIZE, "labels")
    np.testing.assert_array_equal(labels, LABELS)
    assert header["photo"] and len(photo) == 3 * LABELS.size and header["model_id"] == get(app, "/info").json["model_id"]
    header, data = get(app, "/example", "name=%3Cscript%3Ealert(1)%3C%2Fscript%3E").message
    assert not header["photo"] and len(data) == LABELS.size


def test_heatmaps_of_a_seed_are_those_of_its_recipe(app):
    found = post(app, "/heatmaps", json.dumps({"seed": 4}).encode()).json["heatmaps"]
    np.testing.assert_array_equal(np.float32(found), Recipe(4).heatmaps())


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def test_a_label_file_is_opened_and_brought_to_the_size_of_the_images(app):
    header, data = post(app, "/open", png(np.repeat(np.repeat(LABELS, 2, 0), 2, 1)), "name=a.png").message
    assert header.pop("model_id") == get(app, "/info").json["model_id"]
    assert header == {"height": IMAGE_SIZE[0], "width": IMAGE_SIZE[1]} and bytes(data) == LABELS.tobytes()


def test_a_label_file_of_another_shape_is_squeezed_and_that_is_said(app, model):
    header, data = post(app, "/open", png(np.ones((20, 20), np.uint8)), "name=a.png").message
    assert set(data) == {1} and len(data) == LABELS.size
    assert header["notice"].startswith("is 20x20 and was squeezed into 16x32") and "--size=16x16" in header["notice"]


def test_an_example_of_another_shape_is_squeezed_and_that_is_said(model, tmp_path):
    for name, shape in (("square", (20, 20)), ("wide", (8, 16))):
        Image.fromarray(np.ones(shape, np.uint8)).save(tmp_path / f"{name}.png")
    examples = find_examples(model, IMAGE_SIZE, file_rule(model, LabelRule(4, fixed=True)), str(tmp_path))
    app, renderer = app_of(model, readers=examples.readers)
    header, data = get(app, "/example", "name=square").message
    assert "squeezed" in header["notice"] and len(data) == LABELS.size
    assert "notice" not in get(app, "/example", "name=wide").message[0]
    renderer.close()


@pytest.mark.parametrize(
    "data, words",
    [
        (png(np.full(IMAGE_SIZE, 9, np.uint8)), "label map a.png holds id 9, but data.num_classes is 4"),
        (b"", "a.png cannot be read as an image (it is empty"),
        (b"\x89PNG\r\n\x1a\n damaged", "a.png cannot be read as an image"),
        (png(RNG.integers(0, 256, (4, 4, 3)).astype(np.uint8)), "a.png holds 16 colours in 16 pixels (100.0%) that the palette of the"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n%%EOF\n", "a.png is a file of the format EPS"),
        (b"{}", "a.png: it is no recipe.json"),
    ],
)
def test_a_file_that_cannot_be_opened_is_told_in_the_reader_s_own_words(app, data, words):
    answer = post(app, "/open", data, "name=a.png")
    assert answer.status == 422 and answer.error.startswith(words) and "\n" not in answer.error


RECIPE = Recipe(3, {2: 5}, end=(7, {3: 8}), t=0.25, regions=Regions(REGION_MAP, (3, (4, 9, 0.5))), shifts={0: (0.1, 0.2)})


def test_an_opened_recipe_is_the_image_that_it_reproduces(app, model):
    file = io.BytesIO()
    recipe_file.write(file, "runs/a", LABELS, RECIPE, CLASS_NAMES)
    opened = post(app, "/open", file.getvalue(), "name=recipe.json")
    expected = model.images(model.inputs([RECIPE], {"label_map": LABELS[None]}))[0]
    np.testing.assert_array_equal(post(app, "/render", opened.body).rgb, expected)


@pytest.mark.parametrize(
    "labels, names, words",
    [
        (np.zeros((8, 8), np.uint8), CLASS_NAMES, "its image is 8x8, but this studio shows 16x32: start it with --size=8x8"),
        (LABELS, ("a", "b", "c", "d"), "it is for a model of 4 classes (a, b, c, ...), but this one has 4 classes (unlabelled, road, car"),
    ],
)
def test_a_recipe_of_another_model_is_refused(app, labels, names, words):
    file = io.BytesIO()
    recipe_file.write(file, "runs/a", labels, Recipe(0), names)
    answer = post(app, "/open", file.getvalue(), "name=r.json")
    assert answer.status == 422 and answer.error.startswith(f"r.json: {words}")


def test_what_is_written_of_an_image_is_read_as_the_same_image(model):
    for recipe in (Recipe(0), Recipe(1, {0: 2}), RECIPE):
        header, *maps = write_image(model, ImageRequest(LABELS, recipe))
        data = b"".join(each.tobytes() for each in maps if each is not None)
        found = read_request(model, IMAGE_SIZE, header, data)
        np.testing.assert_array_equal(found.labels, LABELS)
        as_drawn = dataclasses.replace(recipe, shifts={}, base_heatmaps=found.recipe.base_heatmaps)
        assert found.recipe == as_drawn
        np.testing.assert_allclose(found.recipe.heatmaps(), recipe.heatmaps(), atol=1e-7)


# Wrong values are made from the schema itself, so that new fields are covered. These are wrong for every number.
NOWHERE = ["text", True, [], {}, None, math.nan, math.inf, -math.inf]


def wrong_values(kind):
    """Yields values that are wrong for a kind of `json_fields`, including every wrong value of the kinds within it."""
    match kind:
        case Whole(least, most):
            yield from (*NOWHERE, least - 1, most + 1, 10**30, 0.5)
        case Real(least, most):
            yield from (*NOWHERE, least - 1, most + 1, 1e300, 10**400)
        case Text():
            yield from (1, 0.5, True, [], {}, None, math.nan, "x" * 5000)
        case Several(each, least, most):
            yield from (1, "text", True, {}, None, math.nan)
            good = right_value(each)
            yield [good] * (most + 1)
            if least:
                yield [good] * (least - 1)
            for wrong in wrong_values(each):
                yield [wrong] * max(least, 1)
        case Row(kinds):
            good = [right_value(each) for each in kinds]
            yield from (1, "text", True, {}, None, math.nan, good[:-1], [*good, 0])
            for i, each in enumerate(kinds):
                yield from ([*good[:i], wrong, *good[i + 1 :]] for wrong in wrong_values(each))
        case Named(names, each):
            yield from (1, "text", True, [], None, math.nan, {"no such name": right_value(each)}, {"__proto__": right_value(each)})
            yield from ({next(iter(names)): wrong} for wrong in wrong_values(each))
        case OrNull(inner):
            yield from (wrong for wrong in wrong_values(inner) if wrong is not None)
        case Record(fields, unset):
            good = {name: right_value(each) for name, each in fields.items()}
            yield from (1, "text", True, [], None, math.nan, good | {"unknown": 1})
            for name, each in fields.items():
                yield from (good | {name: wrong} for wrong in wrong_values(each))
                if name not in unset:
                    yield {key: value for key, value in good.items() if key != name}
        case _:
            raise TypeError(f"say which values are wrong for {kind}")


def right_value(kind):
    match kind:
        case Whole(least, _) | Real(least, _):
            return least
        case Text():
            return ""
        case Several(each, least, _):
            return [right_value(each)] * least
        case Row(kinds):
            return [right_value(each) for each in kinds]
        case Named():
            return {}
        case OrNull():
            return None
        case Record(fields, _):
            return {name: right_value(each) for name, each in fields.items()}


async def refuses_all(app, path, wrong, body_of):
    """Checks that an application refuses each value in one line, as an error of the client."""
    for value in wrong:
        answer = await ask(app, "POST", path, [body_of(json.dumps(value).encode())])
        assert answer.status in (400, 422), value
        assert set(answer.json) == {"error"} and "\n" not in answer.error and len(answer.error) < 500, answer.error


def test_every_wrong_value_of_every_field_is_refused_in_one_line_and_the_next_request_is_answered(asked):
    model, app, arrays, names = asked
    record = schema(model, model.image_size)
    wrong, good = list(wrong_values(record)), right_value(record)
    changed = {name for header in wrong if isinstance(header, dict) for name in good if header.get(name) != good[name]}
    assert changed == record.fields.keys() == names and len(wrong) > 200

    async def all_of_them():
        behind = b"".join(each.tobytes() for each in arrays)
        await refuses_all(app, "/render", wrong, lambda text: len(text).to_bytes(4, "little") + text + behind)
        return await ask(app, "POST", "/render", [framing.pack(good, *arrays[:1])])

    assert asyncio.run(all_of_them()).status == 200  # all values are right: each of the others was refused for its wrong value


def test_every_wrong_value_of_a_request_for_heatmaps_is_refused_and_the_next_request_is_answered(asked):
    _, app, _, _ = asked

    async def all_of_them():
        await refuses_all(app, "/heatmaps", wrong_values(Record({"seed": SEED})), lambda text: text)
        return await ask(app, "POST", "/heatmaps", [json.dumps({"seed": SEED.most}).encode()])

    assert asyncio.run(all_of_them()).status == 200


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 60_000, b'{"seed": 1, "seed": 2}', b'{"seed": 1} 2', b'{"seed": ' + b"9" * 5000 + b"}"]
)
def test_a_request_for_heatmaps_that_is_no_json_is_refused(asked, body):
    answer = post(asked[1], "/heatmaps", body)
    assert answer.status in (400, 422) and "\n" not in answer.error and len(answer.error) < 500


@pytest.mark.parametrize(
    "body, status, words",
    [
        (b"", 400, "the message of 0 bytes should begin with the length of its header"),
        (b"\xff\xff\xff\xff{}", 400, "the message of 6 bytes should begin"),
        (framing.pack({}), 422, "height is missing"),
        ((2).to_bytes(4, "little") + b"[]", 400, "the header is JSON, but not an object"),
        ((2).to_bytes(4, "little") + b"{]", 400, "the header is not JSON"),
        (image_message(LABELS)[:-1], 400, "the label map should be 16x32 uint8, but 511 bytes are left"),
        (image_message(LABELS) + b"x", 400, "the message has 1 bytes after its last array"),
        (image_message(LABELS, regions=[{"seed": 1}]), 400, "the map of regions should be 16x32"),
        (image_message(LABELS, REGION_MAP, regions=[{"seed": 1}]), 422, "the map of regions holds region 2"),
        (image_message(np.full(IMAGE_SIZE, 4, np.uint8)), 422, "the label map holds class 4, but the model has classes 0..3"),
        (image_message(LABELS, preview={"top": 15, "left": 0, "height": 2, "width": 1}), 422, "preview is"),
    ],
)
def test_a_message_that_cannot_be_taken_apart_says_where(app, body, status, words):
    answer = post(app, "/render", body)
    assert (answer.status, answer.error[: len(words)]) == (status, words)


def test_lists_nested_without_end_are_refused(app):
    text = b'{"regions": ' + b"[" * 20000 + b"}"
    answer = post(app, "/render", len(text).to_bytes(4, "little") + text)
    assert answer.status == 400 and "nested" in answer.error


def test_more_pairs_of_region_and_class_than_programs_have_room_for_are_refused(app):
    region_map = np.arange(LABELS.size, dtype=np.uint16).reshape(IMAGE_SIZE) % 64
    answer = post(app, "/render", image_message(LABELS, region_map.astype(np.uint8), regions=[{"seed": i} for i in range(63)]))
    assert answer.status == 422 and f"at most {MAX_PAIRS} are computed" in answer.error


def test_a_model_is_called_like_the_folder_of_its_run():
    for path in ("runs/mine", "runs/mine/", "runs/mine/checkpoints", "/runs/mine/checkpoints/1200", "gs://bucket/mine/checkpoints/1200"):
        assert name_of_run(path) == "mine"
    assert name_of_run("runs/42") == name_of_run("runs/42/checkpoints/7") == "42" and name_of_run("scenes") == "scenes"
