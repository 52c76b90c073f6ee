"""A browser for tests: any installed Chromium, pages whose console is watched, and servers of files and of a page with a fake model."""
import contextlib
import functools
import http.server
import pathlib
import shutil
import threading

import pytest

PAGE = pathlib.Path(__file__).parents[2] / "oasis_jax" / "studio" / "page"
FAKE = pathlib.Path(__file__).parent / "fake"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@contextlib.contextmanager
def browser():
    """A running Chromium; the test is skipped, with the reason, where playwright or a browser is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[test]'")
    with playwright.sync_playwright() as started:
        found = next(filter(None, map(shutil.which, NAMES)), None)
        if not found and not pathlib.Path(started.chromium.executable_path).exists():
            pytest.skip("needs Chromium: apt-get install chromium, or playwright install chromium")
        chromium = started.chromium.launch(executable_path=found)
        try:
            yield chromium
        finally:
            chromium.close()


@contextlib.contextmanager
def page_of(chromium, address, *, size=(1280, 800), ready="[data-photo]", allowed=(), **options):
    """A page in a profile of its own. At the end, a warning or error in its console without any of the `allowed` texts fails the test."""
    context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    context.set_default_timeout(10_000)
    try:
        page = watched(context.new_page())
        page.goto(address)
        page.wait_for_selector(ready, state="attached")
        yield page
        complaints = [line for each in context.pages for line in getattr(each, "complaints", ())]
        if unexpected := [line for line in complaints if not any(text in line for text in allowed)]:
            pytest.fail(f"the console says {unexpected}")
    finally:
        context.close()


def watched(page):
    """Collects warnings and errors of a page's console in `page.complaints` from now on, and returns the page."""
    page.complaints = []
    page.on("console", lambda message: message.type in ("error", "warning") and page.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: page.complaints.append(f"uncaught: {error}"))
    return page


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class _Files(_Quiet):
    def translate_path(self, path):
        folder, _, name = path.partition("?")[0].lstrip("/").partition("/")
        return str({"page": PAGE, "fake": FAKE}.get(folder, FAKE) / pathlib.PurePosixPath(name).name)


@contextlib.contextmanager
def file_server(folder, handler=_Quiet):
    """Serves the files of a folder; yields the address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def fake_server():
    """Serves the page with a fake model; yields the address of its folder."""
    with file_server(FAKE, _Files) as address:
        yield f"{address}/fake"
