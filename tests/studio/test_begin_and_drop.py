"""What the page begins with where examples cannot be read, and files dropped on it, in a browser with a fake model."""
import json

import numpy as np
import pytest

from tests.studio.gestures import DESK, drag, labels, settled, steps, until, values

pytestmark = pytest.mark.browser
FIRST, ROAD, GRASS = 0, 3, 6


def mounted(page, broken):
    """Mounts a studio of a model that the browser has no work of, whose examples of the names `broken` cannot be read."""
    page.evaluate(
        """async (broken) => {
            const {mount} = await import('../page/studio.js');
            const {fakeTransport} = await import('./transport.js');
            const transport = fakeTransport('plain', []);
            const info = {...(await transport.info()), name: 'another'};
            const example = async (name) => {
                if (broken.includes(name)) throw new Error(`${name}.png has a pixel of the id 77`);
                return {...(await transport.example(name)), notice: 'was squeezed.'};
            };
            const place = document.createElement('div');
            document.querySelector('.oasis-studio').studio.close();
            document.querySelector('.oasis-studio').replaceWith(place);
            (await mount(place, {...transport, info: async () => info, example})).focus();
        }""",
        broken,
    )


@pytest.mark.parametrize("broken, instead, ids", [(["street"], "park", {1, 2, GRASS}), (["street", "park"], "a blank map", {FIRST})])
def test_an_example_that_cannot_be_read_is_told_and_another_one_is_shown(page, broken, instead, ids):
    mounted(page, broken)
    assert set(np.unique(labels(page))) == ids
    said = page.get_by_role("alert").inner_text()
    assert "street.png has a pixel of the id 77" in said and f"{instead} is shown instead" in said
    assert ("park was squeezed." in said) == (instead == "park")
    drag(page, (10, 20), (40, 22))
    assert steps(page) == ["Paint sky"]


def test_the_notice_of_the_first_example_is_shown(page):
    mounted(page, [])
    assert ROAD in labels(page) and page.get_by_role("alert").inner_text() == "street was squeezed."


def dropped(page, selector, data):
    """Drags {type, text}, or a file {name, text}, over an element and drops it; returns for both events whether the page has taken it."""
    return page.locator(selector).first.evaluate(
        """(element, data) => {
            const dataTransfer = new DataTransfer();
            if (data.name) dataTransfer.items.add(new File([data.text], data.name));
            else dataTransfer.setData(data.type, data.text);
            return ['dragover', 'drop'].map((name) => {
                const event = new DragEvent(name, {dataTransfer, bubbles: true, cancelable: true});
                element.dispatchEvent(event);
                return event.defaultPrevented;
            });
        }""",
        data,
    )


@pytest.mark.parametrize("selector", [".bar", ".column.left", ".steps", ".pane.photo canvas", "input[type=search]"])
def test_a_file_is_opened_wherever_it_is_dropped(page, selector):
    assert dropped(page, selector, {"name": "mine.json", "text": json.dumps({"seed": 12})}) == [True, True]
    until(page, "desk.session.history.position === 1")
    assert values(page)["seed"] == 12 and steps(page) == ["mine.json"]
    assert page.locator(".dropping").count() == 0


def test_a_file_is_dropped_on_the_dialog_that_asks_for_one(page):
    page.keyboard.press("Control+O")
    assert dropped(page, "dialog[open] .inner", {"name": "mine.json", "text": json.dumps({"seed": 12})}) == [True, True]
    until(page, "desk.session.history.position === 1")
    assert page.get_by_role("dialog").count() == 0


def test_text_is_dropped_into_fields_alone(page):
    link = {"type": "text/uri-list", "text": "https://example.org"}
    assert dropped(page, ".bar", link) == [True, True]  # otherwise the browser would follow it
    assert dropped(page, "input[type=search]", {"type": "text/plain", "text": "tree"}) == [False, False]
    settled(page)
    assert steps(page) == [] and page.evaluate(f"{DESK}.session.history.steps.length") == 0
