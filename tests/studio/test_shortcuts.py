"""Keyboard shortcuts of the page, in a browser with a fake model: where the focus goes, keys of other layouts, and undo during a stroke."""
import numpy as np
import pytest

from tests.studio.gestures import DESK, choose, labels, photo, place, settled, steps, until, values

pytestmark = pytest.mark.browser
TREE, CAR = 5, 7


def is_in_studio(page):
    settled(page)
    return page.evaluate("document.querySelector('.oasis-studio').contains(document.activeElement)")


def pressed(page, key, code, **modifiers):
    """Dispatches a key event as a keyboard of any layout makes it."""
    page.locator(".oasis-studio").evaluate(
        "(element, event) => element.dispatchEvent(new KeyboardEvent('keydown', {...event, bubbles: true, cancelable: true}))",
        {"key": key, "code": code, **modifiers},
    )


def test_escape_leaves_a_text_field_for_the_studio(page):
    page.keyboard.press("/")
    page.keyboard.type("tree")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    assert steps(page) == ["New noise for the image"]
    page.get_by_label("Seed of the image").focus()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Z")
    assert steps(page) == []


@pytest.mark.parametrize("key", ["v", "r"])
def test_shortcuts_work_after_the_variations_have_gone(page, key):
    page.keyboard.press("v")
    chosen = page.locator(".variation:enabled").first
    chosen.click()
    page.keyboard.press(key)
    assert is_in_studio(page)
    page.keyboard.press("Control+Z")
    assert len(steps(page)) == (1 if key == "r" else 0)


def test_shortcuts_work_after_the_centre_with_the_focus_has_gone(page):
    page.keyboard.press("c")
    page.locator(".centre.level1").focus()
    page.keyboard.press("c")
    page.locator(".centre.level1").wait_for(state="hidden")
    assert is_in_studio(page)
    page.keyboard.press("r")
    assert steps(page) == ["New noise for the image"]


def test_shortcuts_work_after_the_step_with_the_focus_has_gone(page):
    for _ in range(3):
        page.keyboard.press("r")
    page.keyboard.press("Control+Z")
    page.keyboard.press("Control+Z")
    settled(page)
    page.locator(".steps li .step").first.focus()  # an undone step
    page.keyboard.press("r")
    assert is_in_studio(page)
    page.keyboard.press("Control+Z")
    assert len(steps(page)) == 1


@pytest.mark.parametrize("key, code", [("я", "KeyZ"), ("ζ", "KeyZ")])
def test_undo_on_keyboards_of_other_scripts(page, key, code):
    page.keyboard.press("r")
    pressed(page, key, code, ctrlKey=True)
    assert steps(page) == []
    pressed(page, key.upper(), code, ctrlKey=True, shiftKey=True)
    assert steps(page) == ["New noise for the image"]


def test_letters_signs_and_digits_of_other_scripts(page):
    pressed(page, "а", "KeyF")
    until(page, "desk.ui.tool === 'fill'")
    pressed(page, "ъ", "BracketRight")
    until(page, "desk.ui.size === 7")
    pressed(page, "٥", "Digit5")
    until(page, f"desk.ui.id === {TREE}")
    pressed(page, "ü", "BracketLeft")  # a Latin layout: its signs are elsewhere
    pressed(page, "Dead", "KeyE")
    settled(page)
    assert page.evaluate(f"[{DESK}.ui.size, {DESK}.ui.tool]") == [7, "fill"]


STROKES = [
    *(("Control+Z", tool) for tool in "blms"),
    ("Control+Shift+Z", "u"),
    ("a step of the list", "b"),
    ("Start over", "e"),
]


@pytest.mark.parametrize("keys, tool", STROKES)
def test_undo_with_the_pen_down_cancels_the_stroke_alone(page, keys, tool):
    choose(page, "car")
    page.keyboard.press("f")
    page.mouse.click(*place(page, 4, 12))
    page.keyboard.press("r")
    before, kept, selection = labels(page), values(page), page.evaluate(f"{DESK}.ui.selection")
    page.keyboard.press("5")
    page.keyboard.press(tool)
    page.mouse.move(*place(page, 3, 10))
    page.mouse.down()
    page.mouse.move(*place(page, 40, 20), steps=3)
    assert page.evaluate(f"{DESK}.pen.isDown")
    if keys.startswith("Control"):
        page.keyboard.press(keys)
    elif keys == "Start over":
        page.get_by_role("button", name=keys).evaluate("(each) => each.click()")
    else:
        page.locator(".steps li .step").last.evaluate("(each) => each.click()")
    settled(page)
    assert not page.evaluate(f"{DESK}.pen.isDown")
    page.mouse.move(*place(page, 50, 28), steps=3)
    page.mouse.up()
    np.testing.assert_array_equal(labels(page), before)
    assert values(page) == kept and page.evaluate(f"{DESK}.ui.selection") == selection
    assert steps(page) == ["Fill with car", "New noise for the image"]
    page.keyboard.press("Control+Z")
    page.keyboard.press("Control+Z")
    assert steps(page) == [] and CAR not in labels(page)
    photo(page)
