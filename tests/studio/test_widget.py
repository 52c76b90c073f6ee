"""The studio in a cell of a notebook: its messages as the kernel receives them, and its page in a fake notebook."""
import base64
import dataclasses
import threading

import numpy as np
import pytest
from PIL import Image

from oasis_jax.data.image_files import DataError
from oasis_jax.noise import Regions
from oasis_jax.oasis import family
from oasis_jax.recipes import Recipe
from oasis_jax.studio import framing
from oasis_jax.studio import renderer as renderer_module
from oasis_jax.studio.image_request import ImageRequest, write_image
from oasis_jax.studio.opening import MAX_BYTES
from tests.eqgan import tiny_run as eqgan_run
from tests.studio.chromium import browser, fake_server, page_of
from tests.studio.gestures import choose, drag, labels, photo, values
from tests.tiny_run import CLASS_NAMES, IMAGE_SIZE, random_state, tiny_config

widgets = pytest.importorskip("oasis_jax.studio.widget", reason="needs anywidget: pip install -e '.[notebook]'", exc_type=ImportError)

LABELS = np.random.default_rng(0).integers(0, len(CLASS_NAMES), IMAGE_SIZE).astype(np.uint8)
ROAD, SKY = 1, 3


@pytest.fixture(scope="module")
def model():
    config = tiny_config(spatial_awareness=True)
    return family.model(config, random_state(config).ema, 5)


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch):
    monkeypatch.setattr(renderer_module.Renderer, "_compile", lambda self, say: say("compiling ..."))


class Notebook:
    """The other end of a widget: it sends messages and stores the answers."""

    def __init__(self, widget):
        self.widget, self.answers, self.progress, self._came, self._count = widget, {}, [], threading.Condition(), 0
        widget.comm.publish_msg = self._hear

    def _hear(self, kind, data=None, metadata=None, buffers=None, **_):
        content = (data or {}).get("content", {})
        with self._came:
            if "progress" in content:
                self.progress.append(content["progress"])
            if "number" in content:
                assert content["number"] not in self.answers, "a question is answered once"
                self.answers[content["number"]] = content.get("error") or framing.unpack(bytes(buffers[0]))
            self._came.notify_all()

    def send(self, content, *buffers):
        message = {"content": {"data": {"method": "custom", "content": content}}, "buffers": list(buffers)}
        self.widget.comm.handle_msg(message)

    def asked(self, question, body=b"", view="a", **more):
        """Sends a question and returns its number."""
        self._count += 1
        number = f"{view}.{self._count}"
        self.send({"view": view, "ask": question, "number": number, **more}, memoryview(body))
        return number

    def answer(self, number):
        """Waits for the answer to a question: an error line, or (header, bytes)."""
        with self._came:
            assert self._came.wait_for(lambda: number in self.answers, 60)
        return self.answers[number]

    def ask(self, question, body=b"", **more):
        return self.answer(self.asked(question, body, **more))


@pytest.fixture
def shown(model):
    """A function that makes a Notebook with a studio."""
    made = []

    def show(**options):
        made.append(Notebook(widgets.studio(model, **({"labels": LABELS} | options))))
        return made[-1]

    yield show
    for each in made:
        each.widget.close()


def message(model, recipe=0, ids=LABELS, **more):
    recipe = Recipe(recipe) if isinstance(recipe, int) else recipe
    header, *maps = write_image(model, ImageRequest(ids, recipe))
    return framing.pack(header | more, *maps)


def drawn(model, recipe, ids=LABELS):
    return model.images(model.inputs([recipe], {"label_map": ids[None]}))[0]


def test_questions_are_answered_as_the_server_answers_them(model, shown, tmp_path):
    notebook = shown()
    facts, _ = notebook.ask("info")
    assert (facts["height"], facts["width"]) == IMAGE_SIZE and facts["examples"] == [{"name": "labels 1"}]
    assert notebook.progress == ["compiling ..."]

    header, rgb = notebook.ask("render", message(model, 7, preview=None, tab="a"))
    assert header == dict(zip(("height", "width"), IMAGE_SIZE, strict=True)) | {"top": 0, "left": 0, "exact": True}
    np.testing.assert_array_equal(np.frombuffer(rgb, np.uint8).reshape(*IMAGE_SIZE, 3), model.sample(LABELS, seed=7)[0])

    header, ids = notebook.ask("example", name="labels 1")
    assert not header["photo"] and bytes(ids) == LABELS.tobytes()
    Image.fromarray(LABELS).save(tmp_path / "ids.png")
    _, ids = notebook.ask("open", (tmp_path / "ids.png").read_bytes(), name="ids.png")
    assert bytes(ids) == LABELS.tobytes()
    rows, _ = notebook.ask("heatmaps", b'{"seed": 3}')
    np.testing.assert_allclose(rows["heatmaps"], Recipe(3).heatmaps(), rtol=1e-6)


@pytest.mark.parametrize(
    "question, body, more, words",
    [
        ("render", b"", {}, "the message of 0 bytes should begin with the length of its header"),
        ("render", b"\xff\xff\xff\xff{}", {}, "the message of 6 bytes should begin"),
        ("render", framing.pack({"seed": -1}), {}, "height is missing"),
        ("render", b"\0" * 100_000, {}, "the message is larger than"),
        ("open", b"\x89PNG", {"name": "cut.png"}, "cut.png"),
        ("open", bytes(MAX_BYTES + 1), {"name": "large.png"}, "the message is larger than 16,777,216 bytes"),
        ("example", b"", {"name": "../../etc/passwd"}, "there is no example '../../etc/passwd'"),
        ("example", b"", {"name": ["a"]}, "there is no example"),
        ("heatmaps", b"{]", {}, "the header is not JSON"),
        ("image", b"", {}, "there is no question 'image'"),
        ("__init__", b"", {}, "there is no question"),
        (["render"], b"", {}, "there is no question"),
        (None, b"", {}, "there is no question"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_the_next_question_is_answered(model, shown, question, body, more, words):
    notebook = shown()
    line = notebook.ask(question, body, **more)
    assert isinstance(line, str) and words in line and "\n" not in line
    assert notebook.ask("heatmaps", b'{"seed": 3}')[0]["heatmaps"]


FORMLESS = [[], None, "x", {}, {"view": 1}, {"view": "a"}, {"view": "a", "number": 3}, {"view": "a", "leave_out": []}]


@pytest.mark.parametrize("content", FORMLESS)
def test_messages_of_no_form_are_passed_over(shown, content):
    notebook = shown()
    notebook.send(content)
    assert notebook.answers == {} and notebook.ask("info")


def test_an_error_of_ours_is_said_and_logged_once(model, shown, monkeypatch, caplog):
    notebook = shown()
    monkeypatch.setattr(renderer_module.Renderer, "render", lambda self, request: 1 / 0)
    for _ in range(3):
        assert "ZeroDivisionError" in notebook.ask("render", message(model))
    assert caplog.text.count("Traceback") == 1


def test_two_widgets_and_two_views_do_not_mix(model, shown):
    first, second = shown(), shown(labels=LABELS[::-1])
    asked = [(notebook, seed, view) for seed in (1, 2) for notebook in (first, second) for view in "ab"]
    numbers = [notebook.asked("render", message(model, seed), view=view) for notebook, seed, view in asked]
    for (notebook, seed, _), number in zip(asked, numbers, strict=True):
        _, rgb = notebook.answer(number)
        np.testing.assert_array_equal(np.frombuffer(rgb, np.uint8).reshape(*IMAGE_SIZE, 3), model.sample(LABELS, seed=seed)[0])
    assert len(first.answers) == len(second.answers) == 4
    first.send({"view": "a", "settled": True}, message(model, 5))
    second.send({"view": "a", "settled": True}, message(model, 6))
    assert (first.widget.recipe, second.widget.recipe) == (Recipe(5), Recipe(6))
    assert first.ask("info")[0]["beginning"] != second.ask("info")[0]["beginning"]


def test_what_a_cell_shows_is_read_back(model, shown):
    notebook = shown()
    np.testing.assert_array_equal(notebook.widget.labels, LABELS)
    assert notebook.widget.recipe == Recipe(0)
    notebook.ask("info")
    regions = np.zeros(IMAGE_SIZE, np.uint8)
    regions[3:5] = 1
    recipe = Recipe(4, {ROAD: 9}, end=(2, {}), t=0.5, regions=Regions(regions, ((3, None, 0.0),)))
    notebook.send({"view": "a", "settled": True}, message(model, recipe, LABELS[::-1]))
    widget = notebook.widget
    np.testing.assert_array_equal(widget.labels, LABELS[::-1])
    assert dataclasses.replace(widget.recipe, regions=None) == dataclasses.replace(recipe, regions=None)
    np.testing.assert_array_equal(widget.recipe.regions.map, regions)
    np.testing.assert_array_equal(widget.photo, drawn(model, recipe, LABELS[::-1]))
    assert (widget.photo != drawn(model, Recipe(4), LABELS[::-1])).any()
    notebook.send({"view": "a", "settled": True}, message(model)[:-1])
    with pytest.raises(ValueError, match="the image in the studio cannot be computed: the label map should be 16x32 uint8"):
        _ = widget.labels


def test_with_its_last_view_the_renderer_ends_and_begins_again_with_the_next(model, shown):
    notebook = shown()
    for view in "ab":
        notebook.ask("info", view=view)
    renderer = notebook.widget._renderer
    notebook.send({"view": "a", "closed": True})
    assert notebook.widget._renderer is renderer
    notebook.send({"view": "b", "closed": True})
    assert notebook.widget._renderer is None
    with pytest.raises(RuntimeError, match="shutdown"):
        renderer.submit(print)
    assert not isinstance(notebook.ask("render", message(model), view="c"), str) and len(notebook.progress) == 2
    last = notebook.widget._renderer
    notebook.widget.close()
    with pytest.raises(RuntimeError, match="shutdown"):
        last.submit(print)


def test_what_a_page_no_longer_wants_is_left_out(model, shown, monkeypatch):
    notebook, go, begun = shown(), threading.Event(), threading.Event()
    render = renderer_module.Renderer.render

    def slow(self, request):
        begun.set()
        assert go.wait(60)
        return render(self, request)

    monkeypatch.setattr(renderer_module.Renderer, "render", slow)
    first, second, third = (notebook.asked("render", message(model, seed)) for seed in range(3))
    assert begun.wait(60)
    notebook.send({"view": "a", "leave_out": second})
    go.set()
    assert notebook.answer(first) and notebook.answer(third) and second not in notebook.answers


@pytest.mark.parametrize(
    "options, words",
    [
        ({"labels": LABELS + 9}, "labels hold 9..12, but the model has classes 0..3"),
        ({"labels": LABELS / 2}, "give integer classes"),
        ({"labels": "no/such/folder"}, "there is no such file or folder"),
        ({"size": (15, 32)}, "15"),
    ],
)
def test_labels_and_sizes_that_do_not_fit_are_refused(model, options, words):
    with pytest.raises((DataError, ValueError), match=words):
        widgets.studio(model, **options)


def test_a_model_without_label_maps_has_a_recipe_alone(tmp_path):
    eqgan_run.save_run(tmp_path)
    notebook = Notebook(widgets.studio(tmp_path))
    model, widget = notebook.widget.model, notebook.widget
    assert widget.labels is None and widget.recipe == Recipe(0)
    assert notebook.ask("info")[0]["labels"] is False
    recipe = Recipe(4, truncation=0.5, style_seeds={1: 7})
    notebook.send({"view": "a", "settled": True}, message(model, recipe, None))
    assert widget.labels is None and widget.recipe == recipe
    widget.close()
    with pytest.raises(ValueError, match="this model takes no label maps: omit labels"):
        widgets.studio(model, labels=LABELS)
    with pytest.raises(ValueError, match="this model generates images of one size: omit size"):
        widgets.studio(model, size=(16, 16))


FAKE_NOTEBOOK = """async (esm) => {
    const bytes = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
    const text = (buffer) => btoa(Array.from(new Uint8Array(buffer), (each) => String.fromCharCode(each)).join(""));
    const heard = new Set();
    window.cell = {keys: []};
    const model = {
        get: (name) => ({height: 500})[name],
        on: (event, handler) => event === "msg:custom" && heard.add(handler),
        off: (event, handler) => heard.delete(handler),
        async send(content, callbacks, buffers) {
            for (const [answer, data] of await window.kernel(content, buffers.map(text))) {
                const padded = data === null ? null : new Uint8Array([9, 9, 9, ...bytes(data)]); // as in Jupyter
                const views = padded ? [new DataView(padded.buffer, 3)] : [];
                for (const handler of [...heard]) handler(answer, views);
            }
        },
    };
    const el = document.createElement("div");
    document.body.addEventListener("keydown", (event) => window.cell.keys.push(event.key));
    document.body.append(el);
    const url = URL.createObjectURL(new Blob([esm], {type: "text/javascript"}));
    const {default: {render}} = await import(url);
    window.cell.close = render({model, el});
}"""


@pytest.mark.browser
def test_the_page_of_a_cell_paints_and_tells_python_what_it_shows(model):
    street = np.full(IMAGE_SIZE, SKY, np.uint8)
    street[IMAGE_SIZE[0] // 2 :] = ROAD
    notebook = Notebook(widgets.studio(model, labels=street))
    widget = notebook.widget

    def kernel(_, content, buffers):
        notebook.send(content, *map(base64.b64decode, buffers))
        if "ask" not in content:
            return []
        answer = notebook.answer(content["number"])
        if isinstance(answer, str):
            return [[{"number": content["number"], "error": answer}, None]]
        header, rest = answer
        data = base64.b64encode(framing.pack(header) + bytes(rest)).decode()
        others = [[{"progress": "compiling ..."}, None], [{"number": "another.1", "error": "of another view"}, None]]
        return [*others, [{"number": content["number"]}, data]]

    def until_heard(page, condition):
        """Lets messages of the page arrive until a condition holds."""
        for _ in range(200):
            if condition():
                return
            page.wait_for_timeout(50)
        pytest.fail("the kernel has not heard it")

    with browser() as chromium, fake_server() as address, page_of(chromium, f"{address}/checks.html", ready="body") as page:
        page.expose_binding("kernel", kernel)
        page.add_style_tag(content=widget._css)
        page.evaluate(FAKE_NOTEBOOK, widget._esm)
        page.wait_for_selector("[data-photo]", state="attached", timeout=60_000)  # the model is compiled first
        assert page.locator(".oasis-studio").bounding_box()["height"] == 500
        before = values(page)["seed"]
        until_heard(page, lambda: widget.recipe.seed == before)
        np.testing.assert_array_equal(photo(page), widget.photo)
        np.testing.assert_array_equal(widget.labels, street)

        choose(page, CLASS_NAMES[2])
        drag(page, (4, 4), (20, 9))
        until_heard(page, lambda: (widget.labels == 2).any())
        np.testing.assert_array_equal(photo(page), widget.photo)
        np.testing.assert_array_equal(labels(page), widget.labels)
        assert widget.labels.dtype == np.uint8
        page.keyboard.press("r")
        until_heard(page, lambda: widget.recipe.seed == values(page)["seed"] != before)
        np.testing.assert_array_equal(photo(page), widget.photo)
        assert page.evaluate("cell.keys") == []

        page.locator("input[type=file]").set_input_files({"name": "cut.png", "mimeType": "image/png", "buffer": b"\x89PNG"})
        page.get_by_role("alert").get_by_text("cut.png").wait_for()
        page.evaluate("cell.close()")
        page.wait_for_function("() => !document.querySelector('canvas')")
        until_heard(page, lambda: widget._renderer is None)
    widget.close()
