"""Fingers and pens on the pictures, in a browser with a fake model, a few lines of JavaScript."""
import numpy as np
import pytest

from tests.studio.chromium import page_of
from tests.studio.gestures import DESK, centre, choose, labels, place, settled, steps, until, values

pytestmark = pytest.mark.browser
TREE, CAR = 5, 7


@pytest.fixture
def page(chromium, address):
    with page_of(chromium, address, has_touch=True) as page:
        yield page


class Hands:
    """Fingers and a pen, which are moved in positions of the window."""

    def __init__(self, page):
        self._page, self._session, self._fingers = page, page.context.new_cdp_session(page), {}

    def press(self, **fingers):
        self._fingers |= fingers
        self._send("touchStart")

    def move(self, **fingers):
        """Moves fingers in four steps, all at once."""
        start = dict(self._fingers)
        for part in (0.25, 0.5, 0.75, 1):
            for name, end in fingers.items():
                self._fingers[name] = tuple((1 - part) * a + part * b for a, b in zip(start[name], end, strict=True))
            self._send("touchMove")

    def lift(self, *names):
        for name in names:
            del self._fingers[name]
        self._send("touchEnd")

    def _send(self, kind):
        points = [{"id": sum(name.encode()), "x": x, "y": y} for name, (x, y) in self._fingers.items()]
        self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        settled(self._page)

    def pen(self, kind, x, y):
        """Sends an event of the pen: "mouseMoved", "mousePressed" or "mouseReleased"."""
        button = {"button": "left", "buttons": int(kind != "mouseReleased"), "clickCount": 1} if kind != "mouseMoved" else {"buttons": 1}
        self._session.send("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, "pointerType": "pen", **button})
        settled(self._page)


@pytest.fixture
def hands(page):
    return Hands(page)


def scale(page):
    return page.evaluate(f"{DESK}.stage.camera.scale")


@pytest.mark.parametrize("tool", ["b", "f", "w", "i", "u"])
def test_two_fingers_zoom_and_change_nothing_whatever_the_tool(page, hands, tool):
    before, fitted = labels(page), scale(page)
    choose(page, "tree")
    page.keyboard.press(tool)
    hands.press(a=place(page, 30, 10))
    hands.press(b=place(page, 34, 20))
    hands.move(a=place(page, 25, 5), b=place(page, 40, 28))
    hands.lift("b")
    hands.lift("a")
    assert scale(page) > 1.5 * fitted
    np.testing.assert_array_equal(labels(page), before)
    assert steps(page) == [] and page.evaluate(f"[{DESK}.ui.id, {DESK}.ui.selection]") == [TREE, None]


def test_one_finger_uses_each_tool_when_it_is_lifted(page, hands):
    choose(page, "tree")
    page.keyboard.press("f")
    hands.press(a=place(page, 40, 28))
    assert steps(page) == []
    hands.lift("a")
    assert steps(page) == ["Fill with tree"] and labels(page)[28, 40] == TREE
    page.keyboard.press("w")
    hands.press(a=place(page, 4, 12))
    hands.lift("a")
    until(page, "desk.ui.selection?.filter(Boolean).length === 256")
    page.keyboard.press("b")
    choose(page, "car")
    hands.press(a=place(page, 10, 4))
    hands.move(a=place(page, 30, 4))
    hands.lift("a")
    assert (labels(page)[4, 10:30] == CAR).all() and steps(page)[-1] == "Paint car"


def test_fingers_on_both_pictures_zoom_around_what_is_between_them(page, hands):
    """The scale follows their distance in the window, and nothing jumps."""
    fitted = scale(page)
    (ax, ay), (bx, by) = place(page, 32, 16, "labels"), place(page, 32, 16, "photo")
    hands.press(a=(ax, ay), b=(bx, by))
    hands.move(a=(ax - (bx - ax) / 4, ay - (by - ay) / 4), b=(bx + (bx - ax) / 4, by + (by - ay) / 4))
    assert scale(page) == pytest.approx(1.5 * fitted, rel=0.05)
    hands.lift("a", "b")
    assert steps(page) == []


@pytest.mark.parametrize("first", ["centre", "picture"])
def test_a_finger_on_a_centre_and_one_on_the_picture_zoom_alone(page, hands, first):
    page.keyboard.press("c")
    on_centre, on_picture = centre(page), place(page, 12, 26, "photo")
    before, fitted = labels(page), scale(page)
    choose(page, "car")
    pressed = {"centre": on_centre, "picture": on_picture}
    hands.press(a=pressed.pop(first))
    hands.press(b=next(iter(pressed.values())))
    away = {"centre": (on_centre[0] + 60, on_centre[1] - 30), "picture": (on_picture[0] - 60, on_picture[1] + 30)}
    hands.move(a=away.pop(first), b=next(iter(away.values())))
    hands.lift("a", "b")
    np.testing.assert_array_equal(labels(page), before)
    assert steps(page) == [] and values(page)["heatmaps"] is None and scale(page) > 1.1 * fitted
    page.keyboard.press("0")
    settled(page)
    x, y = centre(page)
    hands.press(a=(x, y))
    hands.move(a=(x + 20, y + 10))
    hands.lift("a")
    assert steps(page) == ["Move centres"]


def test_a_palm_neither_paints_nor_cancels_the_stroke_of_a_pen(page, hands):
    before = labels(page)
    choose(page, "car")
    hands.press(palm=place(page, 50, 28))  # lands first, and would paint
    hands.pen("mouseMoved", *place(page, 9, 5))
    np.testing.assert_array_equal(labels(page), before)
    hands.pen("mousePressed", *place(page, 10, 5))
    hands.pen("mouseMoved", *place(page, 20, 5))
    hands.press(other=place(page, 55, 20))
    hands.move(palm=place(page, 52, 30), other=place(page, 50, 22))
    hands.pen("mouseMoved", *place(page, 30, 5))
    hands.pen("mouseReleased", *place(page, 30, 5))
    hands.lift("palm", "other")
    hands.press(palm=place(page, 50, 28))  # while the pen is lifted for the next stroke
    hands.lift("palm")
    painted = labels(page)
    assert (painted[5, 10:31] == CAR).all() and steps(page) == ["Paint car"]
    np.testing.assert_array_equal(painted[12:], before[12:])
    page.wait_for_timeout(1100)
    hands.press(a=place(page, 50, 28))
    hands.lift("a")
    assert labels(page)[28, 50] == CAR
