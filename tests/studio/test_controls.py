"""Sliders of the page, the mouse wheel, and the brush at the cursor, in a browser with a fake model, a few lines of JavaScript."""
import numpy as np
import pytest

from tests.studio.gestures import DESK, array, centre, choose, click, drag, labels, photo, place, settled, shown, steps, until, values

pytestmark = pytest.mark.browser
BUILDING, TREE = 2, 5


def colours(page):
    """The colours of all classes (N, 3)."""
    return np.array(page.evaluate(f"{DESK}.info.classes.map((each) => each.color)"))


def widths(page):
    return np.array(page.evaluate(f"{DESK}.rows"))[:, 2]


def turn(page, selector, *turns, then=""):
    """Turns the wheel over the first element of a selector, and then runs the JavaScript `then` before any other event is handled."""
    page.locator(selector).first.evaluate(
        f"""(element, turns) => {{
            const {{ session }} = {DESK};
            for (const deltaY of turns) element.dispatchEvent(new WheelEvent("wheel", {{ deltaY, bubbles: true, cancelable: true }}));
            if (!session.isLive) throw new Error("the wheel has changed nothing");
            {then}
        }}""",
        turns,
    )


def test_the_label_map_lies_over_the_photo_as_opaque_as_the_slider_says(page):
    slider = page.get_by_role("slider", name="Label map", exact=True)
    assert slider.count() == 0  # while label map and photo are side by side
    page.keyboard.press("o")
    slider.fill("0")
    bare, of_classes = shown(page, "photo"), colours(page)[labels(page)]
    assert np.abs(bare - photo(page))[2:-2, 2:-2].mean() < 2
    for opacity in (1, 0.25):
        slider.fill(str(opacity))
        until(page, f"desk.ui.opacity === {opacity}")
        np.testing.assert_allclose(shown(page, "photo"), opacity * of_classes + (1 - opacity) * bare, atol=2)
    assert page.get_by_text("25 %", exact=True).is_visible() and steps(page) == []
    page.keyboard.press("o")
    slider.wait_for(state="hidden")


def test_the_wheel_with_shift_or_alt_changes_the_size_of_the_brush_and_not_the_view(page):
    scale = page.evaluate(f"{DESK}.stage.camera.scale")
    page.mouse.move(*place(page, 40, 20))
    for key, turn, size in (("Shift", (0, -100), 7), ("Shift", (-100, 0), 8), ("Alt", (0, 100), 7)):  # Shift may scroll sideways
        page.keyboard.down(key)
        page.mouse.wheel(*turn)
        page.keyboard.up(key)
        until(page, f"desk.ui.size === {size}")
    assert page.get_by_text("7 px", exact=True).is_visible()
    page.keyboard.down("Shift")
    for _ in range(10):
        page.mouse.wheel(0, 100)
    page.keyboard.up("Shift")
    until(page, "desk.ui.size === 1")
    assert page.evaluate(f"{DESK}.stage.camera.scale") == scale and steps(page) == []


@pytest.mark.parametrize("size", [1, 4, 7])
@pytest.mark.parametrize("pane", ["labels", "photo"])
def test_the_brush_at_the_cursor_covers_what_a_click_paints(page, pane, size):
    choose(page, "tree")
    page.get_by_label("Size").fill(str(size))
    page.mouse.move(1, 1)
    before, bare = labels(page), shown(page, pane)
    page.mouse.move(*place(page, 40.3, 28.4, pane))
    over = shown(page, pane)
    np.testing.assert_array_equal(labels(page), before)
    page.mouse.move(1, 1)
    np.testing.assert_array_equal(shown(page, pane), bare)
    click(page, 40.3, 28.4, pane)
    covered = labels(page) == TREE
    assert covered[28, 40]
    np.testing.assert_array_equal((over != bare).any(-1), covered)
    np.testing.assert_allclose(over[covered], 0.55 * colours(page)[TREE] + 0.45 * bare[covered], atol=2)


def test_a_slider_widens_the_chosen_centre_and_what_follows_it(page):
    page.keyboard.press("c")
    page.get_by_role("button", name="One", exact=True).click()
    centre(page)
    before = widths(page)
    page.locator(".centre.level2").first.focus()
    slider = page.get_by_role("slider", name="Width")
    slider.fill("-0.69")
    one = np.array(values(page)["heatmaps"])[:, 2]
    np.testing.assert_allclose(one, [before[0], np.exp(-0.69), *before[2:]], rtol=1e-6)
    assert page.get_by_text("0.50", exact=True).is_visible()
    page.get_by_role("button", name="All", exact=True).click()
    slider.focus()
    page.keyboard.press("ArrowRight")
    np.testing.assert_allclose(np.array(values(page)["heatmaps"])[:, 2], one * np.exp(0.01), rtol=1e-4)
    photo(page)
    np.testing.assert_array_equal(page.evaluate("asked.at(-1).image.heatmaps"), values(page)["heatmaps"])
    assert steps(page) == ["Width of centres", "Width of centres"]


def test_the_wheel_over_a_centre_widens_it_in_one_step(page):
    page.keyboard.press("r")
    page.keyboard.press("c")
    page.get_by_role("button", name="One", exact=True).click()
    x, y = centre(page, ".centre.level3")
    before, scale = widths(page), page.evaluate(f"{DESK}.stage.camera.scale")
    page.mouse.move(x, y)
    page.mouse.wheel(100, 0)  # sideways
    turn(page, ".centre.level3", -100, -100, 100)
    until(page, "desk.session.history.position === 2")
    (row,) = np.flatnonzero(widths(page) != before)
    assert row in (3, 4, 5, 6) and 1.05 < widths(page)[row] / before[row] < 1.15
    before = widths(page)
    # A small turn, as of a touchpad. The step ends when the pointer leaves, without waiting for the wheel to rest.
    turn(page, ".centre.level3", -1, then="element.dispatchEvent(new PointerEvent('pointerleave'))")
    assert 1 < widths(page)[row] / before[row] < 1.01
    assert steps(page)[1:] == ["Width of centres"] * 2 and page.evaluate(f"{DESK}.stage.camera.scale") == scale


def test_what_is_not_a_step_yet_is_undone_alone(page):
    page.keyboard.press("r")
    page.keyboard.press("c")
    centre(page)
    before = widths(page)
    turn(page, ".centre", -100, then="session.undo()")  # before the wheel counts as resting, however slow the browser is
    assert widths(page).tolist() == before.tolist()
    assert steps(page) == ["New noise for the image"] and values(page)["heatmaps"] is None
    page.keyboard.press("Control+Z")
    assert steps(page) == []


def test_resampling_a_brushed_mask_changes_the_noise_of_its_pixels_alone(page):
    before, map_before = photo(page), labels(page)
    page.keyboard.press("m")
    page.get_by_label("Size").fill("5")
    drag(page, (10.5, 14.5), (30.5, 14.5))  # over three classes
    mask = array(page, f"{DESK}.ui.selection").reshape(32, 64).astype(bool)
    assert mask[12:17, 10:31].all() and mask.sum() < 5 * 26 and len(np.unique(map_before[mask])) == 3
    page.get_by_role("button", name="New noise").click()
    np.testing.assert_array_equal((photo(page) != before).any(-1), mask)
    np.testing.assert_array_equal(array(page, f"{DESK}.session.state.regionMap").reshape(32, 64) != 0, mask)
    np.testing.assert_array_equal(labels(page), map_before)
    assert values(page)["class_seeds"] == {} and len(values(page)["regions"]) == 1
    assert steps(page) == ["New noise for the selection"]
    page.keyboard.press("Control+Z")
    np.testing.assert_array_equal(photo(page), before)


def slide(page, name, *fractions):
    """Drags the thumb of a slider from where it is through fractions of its track."""
    slider = page.get_by_role("slider", name=name)
    at = slider.evaluate("(each) => (each.valueAsNumber - each.min) / (each.max - each.min)")
    box = slider.bounding_box()
    thumb = 16
    places = [box["x"] + thumb / 2 + fraction * (box["width"] - thumb) for fraction in (at, *fractions)]
    page.mouse.move(places[0], box["y"] + box["height"] / 2)
    page.mouse.down()
    for x in places[1:]:
        page.mouse.move(x, box["y"] + box["height"] / 2, steps=5)
    page.mouse.move(places[-1], box["y"] + 200)  # released beside the slider
    page.mouse.up()
    settled(page)


@pytest.mark.parametrize("name", ["Blend", "Width"])
def test_a_slider_that_is_dragged_there_and_back_has_ended(page, name):
    """Browsers report no change of a slider that returns to where it was."""
    page.keyboard.press("c")
    centre(page)
    at = page.get_by_role("slider", name=name).evaluate("(each) => (each.valueAsNumber - each.min) / (each.max - each.min)")
    slide(page, name, 0.5, at)
    assert not page.evaluate(f"{DESK}.session.isLive")


@pytest.mark.parametrize("scope", ["Image", "Class"])
def test_blending_starts_from_the_noise_of_now(page, scope):
    page.get_by_role("button", name=scope, exact=True).click()
    slide(page, "Blend", 0.5, 0)
    page.locator(".oasis-studio").focus()
    page.keyboard.press("r")
    seeds = values(page)
    page.get_by_label("Blend", exact=True).fill("0.5")
    blended = values(page)
    assert (blended["seed"], blended["class_seeds"]) == (seeds["seed"], seeds["class_seeds"])
    page.get_by_label("Blend", exact=True).fill("0")
    assert values(page)["seed"] == seeds["seed"]


def test_a_blend_whose_end_was_not_seen_restores_neither_noise_nor_locks(page):
    blend = page.get_by_label("Blend", exact=True)
    half = "(each) => { each.value = 0.5; each.dispatchEvent(new Event('input')); }"
    blend.evaluate(half)
    page.locator(".pane.labels canvas").focus()
    page.keyboard.press("r")
    seed = values(page)["seed"]
    page.get_by_role("button", name="Class", exact=True).click()
    settled(page)
    page.keyboard.press("k")
    page.get_by_role("button", name="Image", exact=True).click()
    settled(page)
    blend.evaluate(half)
    assert values(page)["seed"] == seed and [region["locked"] for region in values(page)["regions"]] == [True]


def test_sliders_say_what_they_show(page):
    page.keyboard.press("c")
    centre(page)
    page.get_by_label("Blend", exact=True).fill("0.5")
    settled(page)
    said = {name: page.get_by_role("slider", name=name).get_attribute("aria-valuetext") for name in ("Width", "Blend", "Size")}
    assert said == {"Width": f"{widths(page)[0]:.2f}", "Blend": "50 %", "Size": "6 px"}
