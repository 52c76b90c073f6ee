"""A run and a page for the tests of the studio."""
import pytest

from tests.studio.chromium import browser, fake_server, page_of
from tests.tiny_run import save_run, tiny_config


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The folder of a run of a tiny model with spatial awareness."""
    workdir = tmp_path_factory.mktemp("run")
    save_run(workdir, tiny_config(spatial_awareness=True))
    return workdir


@pytest.fixture(scope="module")
def chromium():
    with browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def address():
    """The address of the page with a fake model, a few lines of JavaScript."""
    with fake_server() as address:
        yield f"{address}/index.html"


@pytest.fixture
def page(chromium, address):
    with page_of(chromium, address) as page:
        yield page
