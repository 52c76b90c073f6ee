"""The web server of a studio."""
import uvicorn  # of the extra "studio"

from oasis_jax.studio.server import create_app


class StudioServer(uvicorn.Server):
    """Serves a studio by `run([socket])`, which returns after `should_exit` is set."""

    def __init__(self, begun, renderer, token=None, ready=lambda: None):
        """Of a Beginning, its Renderer, compiled, the token that requests must name, and what is called when the page can be opened."""
        app = create_app(renderer, begun.facts(renderer), begun.examples, begun.file_rule, token)
        super().__init__(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, server_header=False))
        self._ready = ready

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self._ready()
