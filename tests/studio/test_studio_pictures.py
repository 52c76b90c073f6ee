"""The documentation's pictures of the studio, taken with the model of the package.

`STUDIO_PICTURES=docs/pictures pytest -m slow tests/studio/test_studio_pictures.py` writes them; STUDIO_CHECKPOINT names another model.
"""
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from oasis_jax import saved
from tests.studio.chromium import browser, page_of
from tests.studio.gestures import choose, click, drag, photo, settled, until
from tests.studio.studio_server import served

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CHECKPOINT = os.environ.get("STUDIO_CHECKPOINT", "scenes")


def taken(page, folder, name):
    """A screenshot: (H, W, 3)."""
    photo(page)
    settled(page)
    page.mouse.move(1, 1)
    page.screenshot(path=folder / name)
    with Image.open(folder / name) as picture:
        rgb = picture.convert("RGB")
    rgb.save(folder / name, optimize=True)
    return np.asarray(rgb)


def test_pictures(tmp_path):
    if CHECKPOINT == "scenes" and CHECKPOINT not in saved.names():
        pytest.skip("there is no model of this name in the package")
    folder = pathlib.Path(os.environ.get("STUDIO_PICTURES", tmp_path))
    with browser() as chromium, served(CHECKPOINT) as address, page_of(chromium, address, size=(1280, 800)) as page:
        seed = page.get_by_label("Seed of the image")
        seed.fill("10")
        seed.press("Enter")
        choose(page, "car")
        page.keyboard.press("u")
        for left, top, right, bottom in ((71, 32, 94, 38), (70, 39, 95, 47), (71, 48, 73, 50), (92, 48, 94, 50)):  # cabin, body and wheels
            drag(page, (left + 0.5, top + 0.5), (right + 0.5, bottom + 0.5))
        page.keyboard.press("w")
        click(page, 64, 12)
        until(page, "desk.ui.selection")
        page.keyboard.press("v")
        page.locator(".variation:enabled").nth(5).wait_for(timeout=60_000)
        page.locator(".variation").nth(2).click()
        page.locator(".oasis-studio").focus()
        first = taken(page, folder, "studio.png")
        page.keyboard.press("Escape")
        page.keyboard.press("b")
        page.get_by_role("button", name="Image", exact=True).click()
        page.keyboard.press("c")
        page.locator(".centre.level1").wait_for()
        page.locator(".centre.level1").focus()
        for _ in range(3):  # all seven stay in the picture
            page.keyboard.press("Shift+ArrowLeft")
        page.get_by_role("button", name="Heatmaps").click()
        second = taken(page, folder, "studio_heatmaps.png")
    for picture in (first, second):
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
    assert (first != second).any(-1).mean() > 0.05
