"""The page's modules, checked in a browser without a model."""
import re

import pytest

from tests.studio.chromium import FAKE, PAGE, browser, fake_server, page_of

pytestmark = pytest.mark.browser
CHECKS = re.findall(r'^  (?:async )?"(.+)"\(\) \{$', (FAKE / "checks.js").read_text(), re.M)


@pytest.fixture(scope="module")
def page():
    with browser() as chromium, fake_server() as address, page_of(chromium, f"{address}/checks.html", ready="body") as page:
        page.evaluate("async () => { window.checks = (await import('./checks.js')).checks; }")
        yield page


@pytest.mark.parametrize("name", CHECKS)
def test_law(page, name):
    assert page.evaluate("async (name) => { try { await checks[name](); return ''; } catch (error) { return error.message; } }", name) == ""


def test_every_check_is_run(page):
    assert page.evaluate("Object.keys(checks)") == CHECKS


@pytest.mark.parametrize("file", sorted(PAGE.glob("*.js")), ids=lambda file: file.name)
def test_a_module_holds_one_idea_and_writes_no_markup(file):
    text = file.read_text()
    assert len(text.splitlines()) < 350
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)
    assert not re.search(r"\b(window|document)\.(addEventListener|getElementById)", text), "other studios of a page are disturbed"
