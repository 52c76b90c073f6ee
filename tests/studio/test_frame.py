"""The studio in a frame of a notebook: served with a token, reached through the proxies of notebooks, and closed."""
import html
import re
import socket
import sys
import types
import urllib.error
import urllib.request

import pytest
from IPython.utils.capture import capture_output

from oasis_jax.checkpoint import CheckpointError
from oasis_jax.oasis import family
from oasis_jax.studio import frame as frames
from oasis_jax.studio import renderer as renderer_module
from tests.tiny_run import CLASS_NAMES, random_state, tiny_config

pytest.importorskip("uvicorn", reason="needs uvicorn: pip install -e '.[studio]'")


@pytest.fixture(scope="module")
def model():
    config = tiny_config(spatial_awareness=True)
    return family.model(config, random_state(config).ema, 5)


@pytest.fixture
def served(model, monkeypatch):
    """A function that serves a studio and returns its frame, which is closed after the test."""
    monkeypatch.setattr(renderer_module.Renderer, "_compile", lambda self, say: None)
    made = []

    def serve(**options):
        made.append(frames.studio_frame(model, **options))
        return made[-1]

    yield serve
    for each in made:
        each.close()


def markup_of(frame):
    """Returns the HTML that a notebook shows for a frame."""
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.instance()
    try:
        with capture_output() as shown:
            frame._ipython_display_()
        return "".join(output.data.get("text/html", "") for output in shown.outputs)
    finally:
        InteractiveShell.clear_instance()


def test_a_frame_shows_a_page_that_only_those_with_its_token_can_use(served):
    frame = served(height=500)
    source = html.unescape(re.search('src="([^"]*)"', markup_of(frame))[1])
    assert source == frame.url and source.startswith(f"http://127.0.0.1:{frame.port}/?token=") and 'height="500"' in markup_of(frame)
    page, token = source.split("?token=")
    with urllib.request.urlopen(source) as response:
        assert b"oasis_jax studio" in response.read() and "frame-ancestors *" in response.headers["Content-Security-Policy"]
    with urllib.request.urlopen(urllib.request.Request(f"{page}info", headers={"X-Token": token})) as response:
        assert CLASS_NAMES[1].encode() in response.read()
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.urlopen(f"{page}info")
    refused.value.close()
    frame.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(source)


def test_it_is_found_through_the_proxies_of_notebooks(served, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/me/")
    frame = served()
    assert frame.url.startswith(f"/user/me/proxy/{frame.port}/?token=")
    frame = served(base="https://host/p{port}/")
    assert frame.url.startswith(f"https://host/p{frame.port}/?token=")


def test_colab_is_asked_for_its_own_frame(served, monkeypatch):
    called = []
    output = types.SimpleNamespace(serve_kernel_port_as_iframe=lambda port, **options: called.append((port, options)))
    colab = types.ModuleType("google.colab")
    colab.output = output
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    frame = served(height=500)
    assert markup_of(frame) == ""
    ((port, options),) = called
    assert port == frame.port and options["height"] == "500" and re.fullmatch(r"/\?token=[\w-]{20,}", options["path"])


def test_a_port_that_is_taken_is_said(served):
    with pytest.raises(OSError, match="port=0 takes any free one"):
        served(port=served().port)


def test_a_port_is_free_again_after_a_failure(served):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(CheckpointError) as kept:  # as a notebook keeps the error of a cell
        frames.studio_frame("no such model", port=port)
    assert served(port=port).port == port and kept.value is not None


def test_what_a_page_s_file_holds_is_text_of_an_attribute(tmp_path):
    file = tmp_path / "studio.html"
    file.write_text('<p title="a">&amp;</p><script>"</script>')
    markup = frames.page_frame(file)._repr_html_()
    assert html.unescape(re.search('srcdoc="([^"]*)"', markup)[1]) == file.read_text() and markup.count("<") == 2
    with pytest.raises(OSError):
        frames.page_frame(tmp_path / "none.html")
