"""Laws of the renderer: painting compiles nothing, images are those of the library, and tabs do not mix."""
import contextlib

import jax
import numpy as np
import pytest

import oasis_jax
from oasis_jax.noise import Regions
from oasis_jax.oasis import family
from oasis_jax.recipes import Recipe
from oasis_jax.studio import renderer as renderer_module
from oasis_jax.studio.image_request import ImageRequest
from oasis_jax.studio.renderer import Renderer
from tests.eqgan import tiny_run as eqgan_run
from tests.studio_client import app_of, get, image_message, post
from tests.tiny_run import CLASS_NAMES, random_state, tiny_config

SIZE = (64, 256)  # large enough for previews


@contextlib.contextmanager
def compilations(caplog):
    """Yields a list which, at the end, is filled with the messages of what JAX has compiled, in any thread."""
    found = []
    jax.config.update("jax_log_compiles", True)
    try:
        with caplog.at_level("WARNING", "jax"):
            caplog.clear()
            yield found
            found += [message for message in caplog.messages if message.startswith(("Compiling", "Finished XLA compilation"))]
    finally:
        jax.config.update("jax_log_compiles", False)


def oasis_model(size=SIZE, **fields):
    config = tiny_config(spatial_awareness=True, **fields)
    config.data.image_size = size
    return family.model(config, random_state(config).ema, 5)


def started(model, slow):
    """Returns a compiled Renderer; it has previews if `slow`, whatever time an image really takes."""
    renderer, lines = Renderer(model, model.image_size), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(renderer_module, "SLOW_SECONDS", 0.0)
        if not slow:
            patch.setattr(family, "previews", lambda model, size: None)
        renderer.compile(lines.append)
    assert lines[0] == "compiling for {}x{} (1 of 6) ...".format(*model.image_size) and (renderer.previews is not None) == slow
    return renderer


def random_request(rng, size):
    """Returns a random ImageRequest, of any kind that a page can send for images of this size."""

    def seed():
        return int(rng.integers(2**32))

    patch = rng.integers(1, 17)
    labels = np.kron(rng.integers(0, len(CLASS_NAMES), size), np.ones((patch, patch), int))[: size[0], : size[1]].astype(np.uint8)
    class_seeds = {int(each): seed() for each in rng.choice(4, rng.integers(0, 4), replace=False)}
    regions = None
    if rng.random() < 0.5:
        count = int(rng.integers(1, 14))
        region_map = np.zeros(size, np.uint8)
        for region in range(1, count + 1):
            top, left = rng.integers(0, size[0]), rng.integers(0, size[1])
            region_map[top : top + 20, left : left + 30] = region
        regions = Regions(region_map, tuple((seed(), seed(), float(rng.random())) for _ in range(count)))
    end = (seed(), class_seeds) if rng.random() < 0.3 else None
    recipe = Recipe(seed(), class_seeds, end=end, t=float(rng.random()), regions=regions)
    height, width = rng.integers(1, size[0]), rng.integers(1, min(100, size[1]))
    box = (int(rng.integers(0, size[0] - height + 1)), int(rng.integers(0, size[1] - width + 1)), int(height), int(width))
    return ImageRequest(labels, recipe, box if rng.random() < 0.6 else None, tab=str(rng.integers(12)))


WITH_PREVIEWS = pytest.param(SIZE, "regions", id="on regions, with previews", marks=pytest.mark.slow)


@pytest.mark.parametrize("size, conditioning", [pytest.param((16, 32), "dense", id="dense"), WITH_PREVIEWS])
def test_nothing_is_compiled_while_one_paints_and_every_exact_image_is_that_of_the_library(size, conditioning, caplog):
    model, rng, slow = oasis_model(size, conditioning=conditioning), np.random.default_rng(0), size == SIZE
    renderer, requests = started(model, slow), [random_request(rng, size) for _ in range(25)]
    with compilations(caplog) as found:
        pictures = [renderer.submit(renderer.render, request).result() for request in requests]
    assert found == []
    exact = [picture.exact for picture in pictures]
    assert any(exact) and all(exact) != slow
    for request, picture in zip(requests, pictures, strict=True):
        top, left, (height, width, _) = picture.top, picture.left, picture.rgb.shape
        expected = model.images(model.inputs([request.recipe], {"label_map": request.labels[None]}))[0]
        if picture.exact:
            np.testing.assert_array_equal(picture.rgb, expected)
        else:
            box = request.box
            assert top <= box[0] and left <= box[1] and top + height >= box[0] + box[2] and left + width >= box[1] + box[3]
    renderer.close()


def test_something_that_was_not_foreseen_would_be_counted_as_a_compilation(caplog):
    """Checks the count of the test above: a function that has not been compiled yet is counted."""
    with compilations(caplog) as found:
        jax.jit(lambda x: x * 3 + 1)(np.zeros(7))
    assert found


@pytest.mark.slow
def test_a_tab_s_preview_begins_with_its_own_last_image(caplog):
    model = oasis_model(conditioning="dense")
    renderer, labels = started(model, slow=True), np.zeros(SIZE, np.uint8)
    stroke = labels.copy()
    stroke[20:26, 30:40] = 2
    for tab, seed in (("a", 1), ("b", 2)):
        renderer.render(ImageRequest(labels, Recipe(seed), tab=tab))
    alone = Renderer(model, SIZE)
    alone.previews = family.previews(model, SIZE)
    alone.render(ImageRequest(labels, Recipe(1), tab="a"))
    box = (20, 30, 6, 10)
    part, expected = (each.render(ImageRequest(stroke, Recipe(1), box, "a")) for each in (renderer, alone))
    np.testing.assert_array_equal(part.rgb, expected.rgb)
    assert not part.exact
    other = renderer.render(ImageRequest(stroke, Recipe(1), box, "b"))
    assert np.any(other.rgb != part.rgb)
    assert renderer.render(ImageRequest(stroke, Recipe(1), box, "never seen")).exact
    renderer.close()
    alone.close()


@pytest.fixture(scope="module")
def unconditional(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("unconditional")
    eqgan_run.save_run(workdir)
    return oasis_jax.load(workdir)


@pytest.mark.slow
def test_an_unconditional_model_takes_seed_truncation_styles_and_centres_and_compiles_once(unconditional, caplog):
    model = unconditional
    app, renderer = app_of(model)
    renderer.compile()
    facts = get(app, "/info").json
    assert (facts["labels"], facts["classes"], facts["styles"]) == (False, [], model.num_styles)
    side, rng = model.image_size[0], np.random.default_rng(0)
    requests = []
    with compilations(caplog) as found:
        for _ in range(8):
            rows = rng.choice(model.num_styles, rng.integers(0, model.num_styles + 1), replace=False).tolist()
            fields = {"seed": int(rng.integers(2**32)), "truncation": 0.5, "style_seeds": {str(row): int(rng.integers(9)) for row in rows}}
            heatmaps = Recipe(fields["seed"]).heatmaps() + np.float32([0.1, 0.1, 0])
            answer = post(app, "/render", image_message(height=side, width=side, heatmaps=heatmaps.tolist(), **fields))
            styles = {int(row): seed for row, seed in fields["style_seeds"].items()}
            base = tuple(map(tuple, heatmaps.tolist()))
            recipe = Recipe(fields["seed"], truncation=0.5, style_seeds=styles, base_heatmaps=base)
            requests.append((answer, recipe))
    assert found == []
    for answer, recipe in requests:
        np.testing.assert_array_equal(answer.rgb, model.images(model.inputs([recipe], {}))[0])
    assert post(app, "/render", image_message(height=side, width=side, regions=[])).status == 422
    renderer.close()
