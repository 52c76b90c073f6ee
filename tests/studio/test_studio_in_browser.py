"""The page with its server and a small model: it shows the images of the sampling command, and the messages of the file reader."""
import contextlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from oasis_jax import sample
from tests.eqgan import tiny_run as eqgan_run
from tests.sample_options import sample_options
from tests.studio.chromium import browser, page_of
from tests.studio.gestures import centre, choose, click, drag, labels, photo, place, saved, steps, until, values
from tests.studio.studio_server import half_and_half, served
from tests.tiny_run import IMAGE_SIZE

pytestmark = pytest.mark.browser
ROAD, CAR, SKY = 1, 2, 3
TOKEN = "only-for-this-test"


def studio(run, token=None):
    return served(run, {"street": half_and_half(IMAGE_SIZE, SKY, ROAD)}, token=token)


@pytest.fixture(scope="module")
def address(run):
    with studio(run) as address:
        yield address


@pytest.fixture(scope="module")
def chromium():
    with browser() as chromium:
        yield chromium


def test_what_is_painted_resampled_and_moved_is_drawn_again_by_the_command(chromium, address, tmp_path):
    with page_of(chromium, address) as page:
        first = photo(page)
        choose(page, "car")
        drag(page, (8, 10), (20, 12))
        page.keyboard.press("f")
        choose(page, "unlabelled")
        click(page, 2, 2)
        page.keyboard.press("Control+Z")
        page.get_by_role("button", name="Class", exact=True).click()
        choose(page, "car")
        page.keyboard.press("r")
        page.keyboard.press("s")
        drag(page, (1, 1), (14, 1), (14, 7), (1, 7), (1, 1))
        until(page, "desk.ui.selection")
        page.keyboard.press("r")
        page.get_by_label("Blend", exact=True).fill("0.4")
        page.keyboard.press("k")
        page.get_by_role("button", name="Image", exact=True).click()
        page.keyboard.press("r")
        page.get_by_label("Blend", exact=True).fill("0.3")
        page.keyboard.press("c")
        x, y = centre(page)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 60, y + 25, steps=3)
        page.mouse.up()
        shown, painted = photo(page), labels(page)
        assert (shown != first).any() and values(page)["heatmaps"] and len(values(page)["regions"]) == 1
        for kind, name in (("Photo", "photo.png"), ("Label map", "labels.png"), ("Recipe", "recipe.json")):
            (tmp_path / name).write_bytes(saved(page, kind))
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "photo.png")), shown)
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "labels.png")), painted)

        sample.run(sample_options(None, tmp_path / "out", recipe=str(tmp_path / "recipe.json")))
        (record,) = json.loads((tmp_path / "out" / "samples.json").read_text())["images"]
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / record["file"])), shown)

        for file in ("labels.png", "recipe.json"):
            page.keyboard.press("Control+O")
            page.get_by_role("button", name="Blank", exact=True).click()
            until(page, "new Set(desk.session.state.labels).size === 1")
            page.locator("input[type=file]").set_input_files(tmp_path / file)
            until(page, f"desk.session.history.steps.at(-1).name === '{file}'")
            np.testing.assert_array_equal(labels(page), painted)
        np.testing.assert_array_equal(photo(page), shown)


def test_a_model_without_label_maps_is_seeded_truncated_mixed_and_moved_and_drawn_again_by_the_command(chromium, tmp_path):
    eqgan_run.save_run(tmp_path / "run")
    with served(tmp_path / "run") as address, page_of(chromium, address) as page:
        images = [photo(page)]

        def is_new():
            images.append(photo(page))
            return all((images[-1] != before).any() for before in images[:-1])

        seed = page.get_by_label("Seed of the image")
        seed.fill("5")
        seed.press("Enter")
        assert is_new()
        page.get_by_label("Truncation").fill("0.7")
        assert is_new() and values(page)["truncation"] == 0.7
        page.get_by_label("Mix from row").fill("4")
        assert is_new() and list(values(page)["style_seeds"]) == ["4", "5"]
        page.get_by_role("button", name="Another second seed").click()
        assert is_new() and len(set(values(page)["style_seeds"].values())) == 1
        for follow, moved in (("One", [0]), ("Level", [1, 2]), ("All", range(7))):
            page.get_by_role("button", name=follow, exact=True).click()
            centre(page, f".centre.level{2 if follow == 'Level' else 1}")
            before = np.array(page.evaluate("document.querySelector('.oasis-studio').studio.rows"))
            page.locator(f".centre.level{2 if follow == 'Level' else 1}").first.focus()
            page.keyboard.press("Shift+ArrowRight")
            now = np.array(values(page)["heatmaps"])
            np.testing.assert_array_equal(np.flatnonzero((now != before).any(1)), moved)
            assert is_new()
        (tmp_path / "recipe.json").write_bytes(saved(page, "Recipe"))
        page.keyboard.press("r")
        assert is_new()
        page.locator("input[type=file]").set_input_files(tmp_path / "recipe.json")
        until(page, "desk.session.history.steps.at(-1).name === 'recipe.json'")
        np.testing.assert_array_equal(photo(page), images[-2])
        sample.run(sample_options(None, tmp_path / "out", recipe=str(tmp_path / "recipe.json")))
        (record,) = json.loads((tmp_path / "out" / "samples.json").read_text())["images"]
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / record["file"])), images[-2])
        page.get_by_label("Mix from row").fill("6")
        assert values(page)["style_seeds"] == {} and is_new()


def test_the_readers_message_is_shown(chromium, address):
    broken = io.BytesIO()
    Image.fromarray(np.full(IMAGE_SIZE, 9, np.uint8)).save(broken, "PNG")
    files = {"nine.png": broken.getvalue(), "cut.png": broken.getvalue()[:40], "odd.json": b'{"format": 1}'}
    expected = {"nine.png": "9", "cut.png": "cut.png", "odd.json": "image_size is missing"}
    with page_of(chromium, address, allowed=["status of 422"]) as page:
        before = labels(page)
        for name, data in files.items():
            page.locator("input[type=file]").set_input_files({"name": name, "mimeType": "image/png", "buffer": data})
            page.get_by_role("alert").get_by_text(name).wait_for()
            message = page.get_by_role("alert").inner_text()
            assert expected[name] in message and "Traceback" not in message
        np.testing.assert_array_equal(labels(page), before)
        assert steps(page) == []


def test_a_server_with_another_model_is_told_and_the_work_is_kept(chromium, address):
    """The page learns of a model when it is opened; here, the facts that it gets are those of another step."""
    with page_of(chromium, address, allowed=["status of 409"]) as page:
        photo(page)
        page.route("**/info", lambda route: route.fulfill(json=route.fetch().json() | {"model_id": "0" * 16, "step": 6}))
        page.reload()
        page.get_by_role("alert").get_by_text("reload the page").wait_for()
        page.unroute("**/info")
        page.keyboard.press("2")
        drag(page, (4, 4), (12, 4))
        page.reload()
        photo(page)
        assert len(steps(page)) == 1 and page.get_by_role("alert").count() == 0


def test_every_stroke_is_answered_while_one_paints(chromium, address):
    with page_of(chromium, address) as page:
        photo(page)
        page.keyboard.press("3")
        version = int(page.locator("[data-photo]").get_attribute("data-photo"))
        page.mouse.move(*place(page, 4, 4))
        page.mouse.down()
        page.mouse.move(*place(page, 12, 4), steps=4)
        until(page, f"desk.photos.version > {version}")  # before the pen is lifted
        page.mouse.up()
        photo(page)


def test_a_studio_with_a_token_is_used_by_its_address(chromium, run):
    with studio(run, TOKEN) as address, page_of(chromium, address) as page:
        page.keyboard.press("r")
        photo(page)
        page.reload()
        page.wait_for_selector("[data-photo]")
        assert steps(page) == ["New noise for the image"]


def test_a_server_that_has_ended_is_told_and_the_work_is_kept(chromium, run):
    with contextlib.ExitStack() as ending:
        address = ending.enter_context(studio(run))
        with page_of(chromium, address, allowed=["ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE"]) as page:
            photo(page)
            ending.close()
            page.keyboard.press("r")
            page.get_by_role("alert").get_by_text("does not answer").wait_for()
            assert steps(page) == ["New noise for the image"]
