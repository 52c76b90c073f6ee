"""The web server of a studio."""
import uvicorn  # installed by the extra "studio"

from oasis_jax.studio.server import create_app


class StudioServer(uvicorn.Server):
    """Serves a studio: `run([socket])` returns after `should_exit` is set."""

    def __init__(self, begun, renderer, token=None, ready=lambda: None):
        """Takes a Beginning, its compiled Renderer, the token of requests or None, and a function called once the page can be opened."""
        app = create_app(renderer, begun.facts(renderer), begun.examples, begun.file_rule, token)
        super().__init__(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, server_header=False))
        self._ready = ready

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self._ready()
