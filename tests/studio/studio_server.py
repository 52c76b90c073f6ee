"""Studios in another thread, for tests in a browser."""
import contextlib
import dataclasses
import socket
import threading

import numpy as np
import pytest


@contextlib.contextmanager
def served(checkpoint, readers=None, token=None):
    """Serves a studio for a checkpoint; yields its address.

    Args:
        checkpoint: folder of a run, or name of a model of the package.
        readers: {name: function} for `Examples`; None for the examples that the command offers.
        token: token in its address; None for none.
    """
    pytest.importorskip("uvicorn", reason="needs uvicorn: pip install -e '.[test]'")
    from oasis_jax.studio.beginning import begin_with
    from oasis_jax.studio.examples import Examples
    from oasis_jax.studio.renderer import Renderer
    from oasis_jax.studio.serving import StudioServer

    begun = begin_with(checkpoint)
    begun = dataclasses.replace(begun, examples=Examples(readers) if readers else begun.examples)
    renderer = Renderer(begun.model, begun.size)
    renderer.compile()
    server = StudioServer(begun, renderer, token)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            thread.join(0.02)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/" + (f"?token={token}" if token else "")
    finally:
        server.should_exit = True
        thread.join()


def half_and_half(size, above, below):
    """Returns the reader of an example: one class in the upper half, another in the lower half."""
    labels = np.full(size, below, np.uint8)
    labels[: size[0] // 2] = above
    return lambda: (labels, None)
