"""A client of the studio's server in the same process: sends one request or many concurrently, and can disconnect early."""
import asyncio
import dataclasses
import json

import numpy as np

from oasis_jax.studio import framing
from oasis_jax.studio.examples import Examples
from oasis_jax.studio.file_rule import file_rule
from oasis_jax.studio.model_facts import model_facts
from oasis_jax.studio.renderer import Renderer
from oasis_jax.studio.server import create_app

HOST = "127.0.0.1:8765"


@dataclasses.dataclass
class Answer:
    """A response: status, headers (names in lower case) and body, and how many chunks of the request the server has read."""

    status: int
    headers: dict[str, str]
    body: bytes
    taken: int

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]

    @property
    def message(self):
        """(header, the bytes after it)."""
        return framing.unpack(self.body)

    @property
    def rgb(self):
        height, width = (int(self.headers[f"x-{side}"]) for side in ("height", "width"))
        return np.frombuffer(self.body, np.uint8).reshape(height, width, 3)


async def ask(app, method, path, chunks=(b"",), headers=None, query="", breaks_off=False):
    """The Answer to a request whose body is sent in chunks; None for a client that disconnects after sending it."""
    given = {"host": HOST} | (headers or {})
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8765),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
    }
    coming, sent, taken = iter(chunks), [], 0
    ended = asyncio.Event()

    async def receive():
        nonlocal taken
        chunk = next(coming, None)
        if chunk is not None:
            taken += 1
            return {"type": "http.request", "body": chunk, "more_body": True}
        if taken >= 0:
            taken = -taken - 1  # the end of the body is sent once
            return {"type": "http.request", "body": b"", "more_body": False}
        if not breaks_off:
            await ended.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    try:
        await app(scope, receive, send)
    finally:
        ended.set()
    if breaks_off:
        return None
    start = sent[0]
    found = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], found, b"".join(message.get("body", b"") for message in sent[1:]), taken if taken >= 0 else -taken - 1)


def get(app, path, query="", **headers):
    """The Answer to a GET; in the names of headers, _ stands for -."""
    return asyncio.run(ask(app, "GET", path, query=query, headers={name.replace("_", "-"): value for name, value in headers.items()}))


def post(app, path, body=b"", query="", **headers):
    """The Answer to a POST of bytes."""
    return asyncio.run(ask(app, "POST", path, [body], {name.replace("_", "-"): value for name, value in headers.items()}, query))


def image_message(labels=None, region_map=None, **fields):
    """The body of a request for an image."""
    size = {} if labels is None else dict(zip(("height", "width"), labels.shape, strict=True))
    return framing.pack({"seed": 0} | size | fields, labels, region_map)


def app_of(model, size=None, readers=None, rule=None, token=None):
    """(application, its Renderer) of a model; nothing is compiled beforehand."""
    size = size or model.image_size
    renderer, examples = Renderer(model, size), Examples(readers or {})
    of_files = None if rule is None else file_rule(model, rule)
    return create_app(renderer, model_facts(model, "runs/tiny", size, examples.names), examples, of_files, token), renderer
