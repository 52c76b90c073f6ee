"""Studios in another thread, for tests in a browser."""
import contextlib
import threading

import numpy as np
import pytest

import oasis_jax


@contextlib.contextmanager
def served(checkpoint, readers=None, rule=None, token=None):
    """The address of a studio over a checkpoint.

    Args:
        checkpoint: run or model of the package.
        readers: {name: function} of `Examples`; by default those that the command offers.
        rule: LabelRule of files that are opened; by default ids are classes.
        token: of its address.
    """
    uvicorn = pytest.importorskip("uvicorn", reason="needs uvicorn: pip install -e '.[test]'")
    from oasis_jax.data.labels import LabelRule
    from oasis_jax.studio.examples import Examples, find_examples
    from oasis_jax.studio.model_facts import model_facts
    from oasis_jax.studio.renderer import Renderer
    from oasis_jax.studio.server import create_app

    model = oasis_jax.load(checkpoint)
    size = tuple(model.image_size)
    rule = rule or LabelRule(model.num_classes, fixed=True)
    renderer, examples = Renderer(model, size), Examples(readers) if readers else find_examples(model, size, rule, None)
    renderer.compile(lambda line: None)
    facts = model_facts(model, str(checkpoint), size, examples.names, renderer.previews is not None)
    app = create_app(renderer, facts, examples, rule, token)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            thread.join(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/" + (f"?token={token}" if token else "")
    finally:
        server.should_exit = True
        thread.join()


def half_and_half(size, above, below):
    """A reader of an example with two classes."""
    labels = np.full(size, below, np.uint8)
    labels[: size[0] // 2] = above
    return lambda: (labels, None)
