"""The studio as one HTML file, from disk or any web server, shows the images of the sampling command to within one grey level."""
import io
import json
import pathlib
import types
import urllib.request

import numpy as np
import pytest
from PIL import Image

from oasis_jax import export, sample, sampling
from oasis_jax.checkpoint import CheckpointError
from oasis_jax.studio.fitting import squeezed_note
from oasis_jax.studio.frame import page_frame
from tests.sample_options import sample_options
from tests.studio.chromium import browser, fake_server, file_server, page_of
from tests.studio.gestures import choose, click, drag, labels, photo, saved, steps, until, values
from tests.tiny_run import IMAGE_SIZE

pytestmark = pytest.mark.browser
pytest.importorskip("onnx")
ROAD, CAR, SKY = 1, 2, 3


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A folder with a label map: sky above a road."""
    folder = tmp_path_factory.mktemp("labels")
    ids = np.full(IMAGE_SIZE, SKY, np.uint8)
    ids[IMAGE_SIZE[0] // 2 :] = ROAD
    Image.fromarray(ids).save(folder / "street.png")
    return folder


@pytest.fixture(scope="module")
def address(run, examples, tmp_path_factory):
    """The address of the page."""
    file = tmp_path_factory.mktemp("page") / "studio.html"
    options = dict.fromkeys(export._family_options()) | {"best": False, "weights": "float32"}
    export.run(types.SimpleNamespace(checkpoint=str(run), format="page", output=str(file), labels=str(examples), **options))
    return file.as_uri()


@pytest.fixture(scope="module")
def chromium():
    with browser() as chromium:
        yield chromium


def assert_same(image, expected):
    difference = np.abs(image.astype(int) - expected)
    assert image.shape == expected.shape and difference.max() <= 1 and difference.mean() < 0.05 and expected.std() > 0


def test_the_images_are_those_of_the_sampling_command(chromium, address, run, tmp_path):
    with page_of(chromium, address) as page:
        first = photo(page)
        choose(page, "car")
        drag(page, (8, 10), (20, 12))
        page.keyboard.press("s")
        drag(page, (1, 1), (14, 1), (14, 7), (1, 7), (1, 1))
        until(page, "desk.ui.selection")
        page.keyboard.press("r")
        page.get_by_label("Blend", exact=True).fill("0.4")
        page.keyboard.press("k")
        page.get_by_role("button", name="Image", exact=True).click()
        page.keyboard.press("r")
        page.get_by_label("Blend", exact=True).fill("0.3")
        shown, painted = photo(page), labels(page)
        assert (shown != first).any() and len(values(page)["regions"]) == 1 and (painted == CAR).any()

        recipe = tmp_path / "recipe.json"
        recipe.write_bytes(saved(page, "Recipe"))
        assert json.loads(recipe.read_text())["model"] == run.name  # not its path on this machine
        with pytest.raises(CheckpointError, match=f"the model {run.name}, which is not found here: give its run as --checkpoint"):
            sample.run(sample_options(None, tmp_path / "out", recipe=str(recipe)))
        sample.run(sample_options(run, tmp_path / "out", recipe=str(recipe)))
        (record,) = json.loads((tmp_path / "out" / "samples.json").read_text())["images"]
        assert_same(np.asarray(Image.open(tmp_path / "out" / record["file"])), shown)

        page.keyboard.press("Control+O")
        page.get_by_role("button", name="Blank", exact=True).click()
        until(page, "new Set(desk.session.state.labels).size === 1")
        page.locator("input[type=file]").set_input_files(recipe)
        until(page, "desk.session.history.steps.at(-1).name === 'recipe.json'")
        np.testing.assert_array_equal(labels(page), painted)
        np.testing.assert_array_equal(photo(page), shown)


def test_a_seed_has_the_noise_and_the_heatmaps_that_it_has_in_python(chromium, address, run):
    model = sampling.load(str(run))
    with page_of(chromium, address) as page:
        for seed in (0, 4_294_967_295):
            page.get_by_label("Seed of the image").fill(str(seed))
            page.keyboard.press("Enter")
            until(page, f"desk.session.state.values.seed === {seed}")
            assert_same(photo(page), model.sample(labels(page), seed=seed)[0])


def test_examples_undo_reload_and_files_of_another_size(chromium, address, run):
    with page_of(chromium, address) as page:
        before = photo(page)
        assert set(np.unique(labels(page))) == {SKY, ROAD}
        page.keyboard.press("f")
        choose(page, "car")
        click(page, 2, 2)
        assert (photo(page) != before).any()
        page.keyboard.press("Control+Z")
        np.testing.assert_array_equal(photo(page), before)
        page.keyboard.press("Control+Shift+Z")
        done = steps(page)
        page.reload()
        page.wait_for_selector("[data-photo]", state="attached")
        assert steps(page) == done and (labels(page) == CAR).any()
        large, stream = np.kron(labels(page), np.ones((2, 2), np.uint8)), io.BytesIO()
        Image.fromarray(large).save(stream, "PNG")
        page.locator("input[type=file]").set_input_files({"name": "large.png", "mimeType": "image/png", "buffer": stream.getvalue()})
        until(page, "desk.session.history.steps.at(-1).name === 'large.png'")
        np.testing.assert_array_equal(labels(page), large[::2, ::2])
        assert page.get_by_role("alert").count() == 0
        square, stream = np.full((20, 20), ROAD, np.uint8), io.BytesIO()
        Image.fromarray(square).save(stream, "PNG")
        page.locator("input[type=file]").set_input_files({"name": "square.png", "mimeType": "image/png", "buffer": stream.getvalue()})
        page.get_by_role("alert").get_by_text("square.png is 20x20 and was squeezed into 16x32").wait_for()
        assert page.locator(".alert.notice").count() == 1
        assert squeezed_note(sampling.load(str(run)), square.shape, IMAGE_SIZE) in page.get_by_role("alert").inner_text()
        assert (labels(page) == ROAD).all()


def test_a_static_host_is_asked_for_the_file_alone(chromium, address, run):
    file = pathlib.Path(urllib.request.url2pathname(address.removeprefix("file://")))
    with file_server(file.parent) as host, page_of(chromium, f"{host}/{file.name}") as page:
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.reload()
        page.wait_for_selector("[data-photo]", state="attached")
        choose(page, "car")
        drag(page, (8, 10), (20, 12))
        seed = values(page)["seed"]
        assert_same(photo(page), sampling.load(str(run)).sample(labels(page), seed=seed)[0])
        assert (labels(page) == CAR).any() and len(saved(page, "Photo")) > 100
        assert [url for url in asked if not url.startswith(("blob:", "data:"))] == [f"{host}/{file.name}"]


def test_what_cannot_be_read_is_said_and_changes_nothing(chromium, address):
    beyond = io.BytesIO()
    Image.fromarray(np.full(IMAGE_SIZE, 9, np.uint8)).save(beyond, "PNG")
    files = {"nine.png": (beyond.getvalue(), "9"), "cut.png": (beyond.getvalue()[:40], "damaged"), "odd.json": (b'{"format": 1}', "recipe")}
    with page_of(chromium, address) as page:
        before = labels(page)
        for name, (data, words) in files.items():
            page.locator("input[type=file]").set_input_files({"name": name, "mimeType": "image/png", "buffer": data})
            page.get_by_role("alert").get_by_text(name).wait_for()
            assert words in page.get_by_role("alert").inner_text()
        np.testing.assert_array_equal(labels(page), before)
        assert steps(page) == []


def test_a_page_works_in_a_frame_of_a_notebook_without_its_kernel(chromium, address, run):
    file = urllib.request.url2pathname(address.removeprefix("file://"))
    markup = page_frame(file, height=500)._repr_html_()
    with fake_server() as host, page_of(chromium, f"{host}/checks.html", ready="body") as page:
        page.evaluate("(markup) => { document.body.innerHTML = markup; }", markup)
        frame = page.frame_locator("iframe")
        frame.locator("[data-photo]").wait_for(state="attached", timeout=60_000)
        assert page.locator("iframe").bounding_box()["height"] == 500
        inside = page.frames[1]
        assert_same(photo(inside), sampling.load(str(run)).sample(labels(inside), seed=values(inside)["seed"])[0])
