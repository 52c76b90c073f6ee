"""Heatmap centres on the page while the layout of a new seed has not arrived yet, in a browser with a fake model."""
import pytest

from tests.studio.gestures import DESK, centre, photo, settled, steps, until, values

pytestmark = pytest.mark.browser
BEGUN = ["Seed 86", "New noise for the image"]
AWAITED = "The layout of this seed has not arrived yet"


def hold(page, answer="new Promise((resolve) => (window.arrive = () => resolve(find(seed))))"):
    """From now on, heatmaps of seeds arrive when the page's `arrive` is called; `answer` replaces this."""
    seed = page.get_by_label("Seed of the image")
    seed.fill("86")  # all centres lie on the picture, and none over the coarse one
    seed.press("Enter")
    seed.press("Escape")
    until(page, "desk.rows !== null")
    page.evaluate(f"""() => {{
        const {{transport}} = {DESK};
        const find = transport.heatmaps;
        transport.heatmaps = (seed) => {answer};
        window.find = find;
    }}""")


def resampled(page):
    """Gives the image a new seed, and returns the rows of both seeds: those of the old one are still shown."""
    page.keyboard.press("c")
    centre(page)
    old = page.evaluate(f"{DESK}.rows")
    page.keyboard.press("r")
    photo(page)
    new = page.evaluate(f"find({DESK}.session.state.values.seed)")
    assert new != old
    return old, new


@pytest.mark.parametrize("how", ["a key", "a drag", "the wheel", "the slider"])
def test_centres_are_moved_from_where_they_are_for_this_seed(page, how):
    hold(page)
    _, new = resampled(page)
    handle = page.locator(".centre.level1")
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def move():
        if how == "a key":
            handle.focus()
            page.keyboard.press("ArrowRight")
        elif how == "a drag":
            page.mouse.move(x, y)
            page.mouse.down()
            page.mouse.move(x + 20, y, steps=3)
            page.mouse.up()
        elif how == "the wheel":
            page.mouse.move(x, y)
            page.mouse.wheel(0, -100)
        else:
            page.get_by_role("slider", name="Width").fill("0")
        settled(page)

    assert handle.get_attribute("aria-disabled") == "true"
    move()
    page.get_by_role("status").get_by_text(AWAITED).wait_for()
    assert steps(page) == BEGUN and values(page)["heatmaps"] is None
    page.evaluate("arrive()")
    until(page, "desk.rows !== null")
    settled(page)
    assert handle.get_attribute("aria-disabled") == "false" and page.evaluate(f"{DESK}.rows") == new
    if how == "a key":
        assert handle.evaluate("(each) => each === document.activeElement")
        move()
        page.get_by_role("button", name="Layout of the seed").wait_for()
        moved = values(page)["heatmaps"]
        assert [row[2] for row in moved] == [row[2] for row in new]
        assert all(abs(a[1] - b[1] - 0.02) < 1e-6 and a[0] == b[0] for a, b in zip(moved, new, strict=True))


@pytest.mark.parametrize("how", ["r", "v", "Blend"])
def test_locked_parts_never_get_the_layout_of_an_earlier_seed(page, how):
    hold(page)
    _, new = resampled(page)
    page.get_by_role("button", name="Class", exact=True).click()
    settled(page)
    page.keyboard.press("k")
    page.get_by_role("button", name="Image", exact=True).click()
    settled(page)
    done = [*BEGUN, "Lock sky"]
    assert steps(page) == done

    def change():
        if how == "Blend":
            page.get_by_label("Blend", exact=True).fill("0.5")
        else:
            page.keyboard.press(how)
        settled(page)

    change()
    page.get_by_role("status").get_by_text(AWAITED).wait_for()
    assert steps(page) == done and page.locator(".variation").count() == 0
    page.evaluate("arrive()")
    until(page, "desk.rows !== null")
    change()
    if how == "v":
        page.locator(".variation:enabled").first.click()
    assert len(steps(page)) == 4 and values(page)["heatmaps"] == new


def test_a_layout_that_was_not_found_is_asked_for_again(page):
    hold(page, "window.found ? find(seed) : Promise.reject(new Error('no answer'))")
    resampled(page)
    page.get_by_role("alert").get_by_text("no answer").wait_for()
    page.evaluate("window.found = true")
    page.locator(".centre.level1").focus()
    page.keyboard.press("ArrowRight")
    until(page, "desk.rows !== null")
    page.keyboard.press("ArrowRight")
    assert steps(page) == [*BEGUN, "Move centres"]
