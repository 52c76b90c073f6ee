"""The studio: a page in the browser to paint label maps, resample noise and drag heatmap centres. The photo is updated immediately.

    python -m oasis_jax.studio
    python -m oasis_jax.studio --checkpoint=runs/scenes --labels=labels/

The command compiles what it needs, prints the address of the page, and opens it. Compiled programs are cached in $OASIS_JAX_CACHE or
~/.cache/oasis_jax, so that the next start is faster. Only this machine can reach the page; with --host=0.0.0.0 other machines can too, if
they know the address with its token. Behind a proxy, such as that of a notebook, give --token. Requires pip install 'oasis_jax[studio]'.

--labels selects the label maps that the page offers; without it, they are procedural scenes, if the model was trained on them. Label files
are read like those of the training data; --config.data.label_map=255:0, --config.data.label_offset and --config.data.palette change that.
They may also be palette PNG or RGB images in the colours of the page.
"""
import os
import secrets
import socket
import sys
import threading
import webbrowser

import jax
from absl import flags

from oasis_jax import command_line, config_flag
from oasis_jax.checkpoint import CheckpointError
from oasis_jax.data.labels import DataError
from oasis_jax.files import expanded
from oasis_jax.interrupts import INTERRUPTED
from oasis_jax.sample_labels import label_fields, parse_size

DEFAULT_PORT = 8765  # fixed, because a browser stores a page's data under its address


def serve(options, ready=lambda url: None):
    """Serves the studio until it is interrupted.

    Args:
        options: the flags, as attributes.
        ready: called with the address of the page as soon as the page can be opened.

    Raises:
        CheckpointError, DataError, ImportError, OSError, ValueError: the message says how to fix it.
    """
    from oasis_jax.studio.beginning import begin_with
    from oasis_jax.studio.guards import is_loopback
    from oasis_jax.studio.renderer import Renderer
    from oasis_jax.studio.serving import StudioServer

    _keep_compiled()
    with _bound(options) as listening:
        size = options.size and parse_size(options.size)
        begun = begin_with(options.checkpoint, options.labels or None, size, options.best, options.config and options.config.data)
        renderer = Renderer(begun.model, begun.size)
        renderer.compile(lambda line: print(line, flush=True))
        token = secrets.token_urlsafe(16) if options.token or not is_loopback(options.host) else None
        host, port = listening.getsockname()[:2]
        host = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        url = f"http://{host}:{port}/" + (f"?token={token}" if token else "")
        StudioServer(begun, renderer, token, lambda: ready(url)).run([listening])


def _keep_compiled():
    """Caches compiled programs for the next start, unless JAX_COMPILATION_CACHE_DIR names another folder."""
    if not jax.config.jax_compilation_cache_dir:
        folder = expanded(os.environ.get("OASIS_JAX_CACHE", "~/.cache/oasis_jax")) / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(folder))


def _bound(options):
    """A socket bound to --host and --port; raises ValueError if there is no such host, or the port is in use."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ValueError(f"--host={options.host}: {error.strerror}; omit it to serve this machine only") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise ValueError(f"--host={options.host} --port={options.port}: {error.strerror}; --port=0 takes any free port") from None
    return listening


def _show(url):
    print(f"the studio is at {url} (Ctrl-C ends it)", flush=True)
    has_screen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if has_screen and not flags.FLAGS.no_browser:  # without a screen, a text browser would take over the terminal
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def main(_):
    try:
        serve(flags.FLAGS, _show)
    except (CheckpointError, DataError, ImportError, OSError, ValueError) as error:
        missing = f": pip install '{__package__.partition('.')[0]}[studio]'" if isinstance(error, ImportError) else ""
        sys.exit(f"studio: {error}{missing}")
    sys.exit(INTERRUPTED)  # only an interrupt ends the server; some versions of uvicorn do not re-raise KeyboardInterrupt


def define_flags(argv):
    """Defines the flags, including --config.data.FIELD for reading label files, and returns the flags_parser of `app.run`."""
    flags.DEFINE_string("checkpoint", "scenes", "A run, a checkpoint or a packed model: its folder, or its name in the package.")
    flags.DEFINE_string("labels", None, "A label file, a folder of them, or a pattern with * or **: examples to begin with.")
    flags.DEFINE_string("size", "", "HEIGHTxWIDTH of the images; by default the size that the model was trained on.")
    flags.DEFINE_bool("best", False, "Take the best checkpoint, not the latest.")
    flags.DEFINE_string("host", "127.0.0.1", "Name or address to listen on; if other machines can reach it, a token protects the page.")
    flags.DEFINE_integer("port", DEFAULT_PORT, "Port to listen on; 0 for any free one.", lower_bound=0, upper_bound=65535)
    flags.DEFINE_bool("token", False, "Protect the page by a token in its address even on this machine: for use behind a proxy.")
    flags.DEFINE_bool("no_browser", False, "Print the address of the page, but do not open it.")
    return config_flag.define_with(label_fields(), argv, "How label files are read, by default as in training")


if __name__ == "__main__":
    command_line.run(main, "studio", [], define_flags(sys.argv))
