"""A preview equals the exact image where nothing has changed, and shows a stroke where it was painted."""
import numpy as np
import pytest

from oasis_jax.oasis import family
from oasis_jax.oasis.windows import HALO, MARGIN, MOST_WINDOWS, STRIDE, joined, sides_for, windows_of
from oasis_jax.recipes import Recipe
from tests.tiny_run import random_state, tiny_config

SIZE = (128, 160)


@pytest.fixture(scope="module", params=["dense", pytest.param("regions", marks=pytest.mark.slow)])
def model(request):
    config = tiny_config(conditioning=request.param, spatial_awareness=True, pixel_noise=2)
    config.data.image_size = SIZE
    return family.model(config, random_state(config).ema, 5)


def inputs_of(model, labels):
    return model.inputs([Recipe(3)], {"label_map": labels[None]})


def blocks():
    return np.kron(np.random.default_rng(0).integers(0, 4, (8, 10)), np.ones((16, 16), np.int64))


def test_a_preview_shows_what_a_stroke_changes_and_leaves_the_rest_exact(model):
    previews, labels = family.previews(model, SIZE), blocks()
    exact = previews.image("tab", inputs_of(model, labels))
    np.testing.assert_array_equal(exact, model.images(inputs_of(model, labels))[0])
    for box in ((40, 60, 10, 10), (0, 0, 20, 20), (100, 130, 28, 30), (50, 10, 30, 120)):
        part, top, left = previews.part("tab", inputs_of(model, labels), box)
        height, width, _ = part.shape
        np.testing.assert_allclose(part.astype(int), exact[top : top + height, left : left + width], atol=1)

    stroke, (top, left, height, width) = labels.copy(), (40, 60, 10, 10)
    stroke[top : top + height, left : left + width] = 3
    part, first, start = previews.part("tab", inputs_of(model, stroke), (top, left, height, width))
    after = model.images(inputs_of(model, stroke))[0]
    inner = np.s_[top : top + height, left : left + width]
    shown = exact.astype(int)
    shown[first : first + part.shape[0], start : start + part.shape[1]] = part
    left_out, error = (np.abs(image.astype(int) - after)[inner].mean() for image in (exact, shown))
    assert error < 0.5 * left_out, (error, left_out)


def test_a_preview_needs_an_exact_image_of_its_tab_and_few_are_kept(model):
    previews, inputs = family.previews(model, SIZE), inputs_of(model, blocks())
    assert previews.part("a", inputs, (0, 0, 4, 4)) is None
    for tab in "abcdefghi":
        previews.image(tab, inputs)
    assert previews.part("a", inputs, (0, 0, 4, 4)) is None and previews.part("b", inputs, (0, 0, 4, 4)) is not None
    previews.image("", inputs)  # of no tab: nothing is kept, and nothing is left out for it
    assert previews.part("", inputs, (0, 0, 4, 4)) is None and previews.part("b", inputs, (0, 0, 4, 4)) is not None
    assert windows_of((0, 0, 200, 200), (256, 512)) is None  # the exact image is as fast


def test_small_images_and_shallow_generators_have_no_previews(model):
    assert family.previews(model, (64, 128)) is None
    config = tiny_config(num_blocks=2)
    assert family.previews(family.model(config, random_state(config).ema, 5), SIZE) is None


def test_windows_cover_any_box_and_its_margin_with_pixels_that_no_edge_of_theirs_reaches():
    rng = np.random.default_rng(0)
    for size in ((128, 160), (256, 512), (64, 512), (132, 132), (1024, 2048)):
        for _ in range(200):
            height, width = rng.integers(1, 120), rng.integers(1, 120)
            height, width = min(height, size[0]), min(width, size[1])
            box = (rng.integers(0, size[0] - height + 1), rng.integers(0, size[1] - width + 1), height, width)
            windows = windows_of(box, size)
            if windows is None:
                assert max(height, width) > sides_for(size)[-1][0] - 2 * (HALO + MARGIN + STRIDE)
                continue
            assert len(windows) <= MOST_WINDOWS and {(h, w) for _, _, h, w in windows} <= set(sides_for(size))
            assert all(top % STRIDE == left % STRIDE == 0 <= min(top, left) for top, left, _, _ in windows)
            assert all(top + h <= size[0] and left + w <= size[1] for top, left, h, w in windows)
            parts = [np.full((h, w, 3), 1 + number, np.uint8) for number, (_, _, h, w) in enumerate(windows)]
            part, first, start = joined(parts, windows, size)
            assert part.min() > 0
            assert first <= max(box[0] - MARGIN, 0) and first + part.shape[0] >= min(box[0] + height + MARGIN, size[0])
            assert start <= max(box[1] - MARGIN, 0) and start + part.shape[1] >= min(box[1] + width + MARGIN, size[1])
            if len(windows) == 1:
                assert (windows[0][0] == 0 or first == windows[0][0] + HALO) and (windows[0][1] == 0 or start == windows[0][1] + HALO)
