"""The studio in a frame of a notebook that cannot show widgets: a page served by the kernel's machine, or one without a server.

    from oasis_jax.studio.frame import page_frame, studio_frame
    studio_frame("scenes")          # needs pip install 'oasis_jax[studio]'
    page_frame("studio.html")       # a file written by python -m oasis_jax.export --format=page
"""
import contextlib
import dataclasses
import html
import os
import secrets
import socket
import sys
import threading

from oasis_jax.files import expanded
from oasis_jax.studio.beginning import begin_with
from oasis_jax.studio.renderer import Renderer

HEIGHT = 640  # of a cell, in pixels


def studio_frame(model="scenes", labels=None, size=None, best=False, height=HEIGHT, port=0, base=None):
    """Serves a studio from this process, for this machine only and protected by a token, and shows it in a frame.

    Args:
        model, labels, size, best: as for `oasis_jax.studio.widget.studio`.
        height: height of the frame in pixels.
        port: port to serve on; 0 for any free one. A browser stores the work on a page under its address, which includes the port.
        base: address, with {port} in it, at which the browser reaches a port of this machine. By default, it is Colab's proxy on Colab,
            jupyter-server-proxy on a hub ("/user/me/proxy/{port}/"), and 127.0.0.1 elsewhere.

    Returns:
        A `Frame`, which a notebook shows if it is the last value of a cell. Its close() stops the server.

    Raises:
        CheckpointError, DataError, ImportError, OSError, ValueError: the message says how to fix it.
    """
    try:
        from oasis_jax.studio.serving import StudioServer
    except ImportError as error:
        raise ImportError(f"a studio in a frame needs {error.name}: pip install 'oasis_jax[studio]'", name=error.name) from None
    try:
        listening = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise OSError(f"port={port}: {error.strerror}; port=0 takes any free one") from None
    with contextlib.ExitStack() as failing:
        failing.callback(listening.close)  # notebooks keep the traceback of a failed cell, and with it the port
        begun = begin_with(model, labels, size, best)
        renderer, token = Renderer(begun.model, begun.size), secrets.token_urlsafe(16)
        renderer.compile()
        server = StudioServer(begun, renderer, token)
        failing.pop_all()
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    return Frame(server, thread, listening.getsockname()[1], token, height, base)


class Frame:
    """A running server of a studio, and the frame that shows it.

    Attributes:
        port: port that the server listens on.
        url: address that the frame shows, with the token.
    """

    def __init__(self, server, thread, port, token, height, base):
        self._server, self._thread, self.port, self._height = server, thread, port, height
        self._path = f"?token={token}"
        self._in_colab = base is None and "google.colab" in sys.modules
        self.url = (base or _base()).format(port=self.port) + self._path

    def close(self):
        """Stops the server."""
        self._server.should_exit = True
        self._thread.join()

    def _ipython_display_(self):
        from IPython.display import display

        if self._in_colab:
            from google.colab import output

            output.serve_kernel_port_as_iframe(self.port, path=f"/{self._path}", height=str(self._height))
        else:
            display(PageFrame("src", self.url, self._height))


@dataclasses.dataclass(frozen=True)
class PageFrame:
    """An HTML frame: the attribute that holds its content, "src" or "srcdoc"; the value of this attribute; and the height in pixels."""

    attribute: str
    value: str
    height: int

    def _repr_html_(self):
        look = f'width="100%" height="{int(self.height)}" style="border: 0" title="studio"'
        return f'<iframe {self.attribute}="{html.escape(self.value)}" {look}></iframe>'


def page_frame(path, height=HEIGHT):
    """Shows a page without a server in a frame. The page is stored with the notebook, and works without a kernel.

    Args:
        path: file written by `python -m oasis_jax.export --format=page`.
        height: height of the frame in pixels.

    Returns:
        A `PageFrame`, which a notebook shows if it is the last value of a cell.

    Raises:
        OSError: there is no such file.
    """
    return PageFrame("srcdoc", expanded(path).read_text(encoding="utf-8"), height)


def _base():
    hub = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    return f"{hub}proxy/{{port}}/" if hub else "http://127.0.0.1:{port}/"
