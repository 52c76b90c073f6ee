"""The studio's server: routes from requests to the renderer, and errors as one line of JSON. It keeps nothing of anybody's image."""
import asyncio
import contextlib
import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from oasis_jax.data.image_files import DataError
from oasis_jax.studio import assets, framing
from oasis_jax.studio.examples import Examples
from oasis_jax.studio.framing import MAX_HEADER, FramingError
from oasis_jax.studio.guards import Refused, check_origin, is_short, read_body, response_headers
from oasis_jax.studio.image_request import SEED, class_names, id_dtype, read_request
from oasis_jax.studio.json_fields import Record
from oasis_jax.studio.opening import MAX_BYTES, open_file
from oasis_jax.studio.renderer import BusyError

_GONE = 499  # status that nobody receives
_BINARY = "application/octet-stream"
_log = logging.getLogger(__name__)


def create_app(renderer, facts, examples=None, rule=None, token=None):
    """The ASGI application.

    Args:
        renderer: Renderer, compiled.
        facts: of `model_facts`.
        examples: Examples; None for none.
        rule: LabelRule by which files are read; None for a model without label maps.
        token: that requests must name, or None.
    """
    routes = _Routes(renderer, facts, examples or Examples({}), rule)
    pages = {"/" if name == "index.html" else f"/{name}": file for name, file in assets.files().items()}

    def guarded(response):
        response.headers.update(response_headers(token))
        return response

    async def unknown(_, error):
        return guarded(_error(error.status_code, error.detail))

    def route(path, handler, method, for_page=False):
        async def answered(request: Request):
            return guarded(await _answer(request, handler, token, for_page))

        return Route(path, answered, methods=[method])

    @contextlib.asynccontextmanager
    async def lifespan(_):
        yield
        renderer.close()

    offered = [route(path, _page(*file), "GET", for_page=True) for path, file in pages.items()]
    offered += [route(f"/{name}", getattr(routes, name), "GET") for name in ("info", "example")]
    offered += [route(f"/{name}", getattr(routes, name), "POST") for name in ("render", "open", "heatmaps")]
    return Starlette(routes=offered, lifespan=lifespan, exception_handlers={HTTPException: unknown})


async def _answer(request, handler, token, for_page):
    """What a handler returns; whatever it raises becomes a response."""
    try:
        check_origin(request.headers, token, for_page)
        return await handler(request)
    except Refused as error:
        response = _error(error.status, error)
        if not is_short(request):  # what is still to come of it is not awaited; a browser reads no answer before it has sent its file
            response.headers["connection"] = "close"
        return response
    except FramingError as error:
        return _error(400, error)
    except (DataError, ValueError) as error:
        return _error(422, error)
    except BusyError as error:
        return _error(503, error)
    except (ClientDisconnect, asyncio.CancelledError):
        return Response(status_code=_GONE)
    except Exception as error:  # answered, so that the session goes on
        _log.exception("a request failed")
        return _error(500, f"the image cannot be computed ({type(error).__name__}): the command's output says more")


def _error(status, error):
    return JSONResponse({"error": " ".join(str(error).split())}, status)


def _page(content_type, data):
    async def page(_):
        return Response(data, media_type=content_type)

    return page


class _Routes:
    """The handlers, one for each route."""

    def __init__(self, renderer, facts, examples, rule):
        self._renderer, self._examples, self._rule = renderer, examples, rule
        self._model, self._facts = renderer.model, facts
        maps = 0 if not class_names(self._model) else (id_dtype(self._model).itemsize + 1) * renderer.size[0] * renderer.size[1]
        self._most = maps + MAX_HEADER + 4

    async def info(self, _):
        return JSONResponse(self._facts)

    async def render(self, request):
        header, data = framing.unpack(await read_body(request, self._most))
        wanted = read_request(self._model, self._renderer.size, header, data)
        picture = await self._computed(request, self._renderer.render, wanted)
        height, width, _ = picture.rgb.shape
        place = {"Height": height, "Width": width, "Top": picture.top, "Left": picture.left, "Exact": int(picture.exact)}
        return Response(picture.rgb.tobytes(), media_type=_BINARY, headers={f"X-{name}": str(value) for name, value in place.items()})

    async def open(self, request):
        data = await read_body(request, MAX_BYTES)
        name = request.query_params.get("name", "")[:200] or "the file"
        header, *arrays = await self._computed(request, open_file, data, name, self._model, self._rule, self._renderer.size)
        return Response(framing.pack(header, *arrays), media_type=_BINARY)

    async def example(self, request):
        name = request.query_params.get("name", "")
        labels, photo = await self._computed(request, self._examples.read, name)
        height, width = labels.shape
        header = {"name": name, "height": height, "width": width, "photo": photo is not None}
        return Response(framing.pack(header, labels.astype(id_dtype(self._model)), photo), media_type=_BINARY)

    async def heatmaps(self, request):
        if not self._model.spatially_aware:
            raise ValueError("this model takes no heatmaps")
        found = Record({"seed": SEED})(framing.parsed(await read_body(request, MAX_HEADER)))
        rows = await self._computed(request, self._renderer.heatmaps, found["seed"])
        return JSONResponse({"heatmaps": rows.tolist()})

    async def _computed(self, request, function, *args):
        """function(*args) in the renderer's thread; left out if the client goes away before its turn."""
        result = asyncio.wrap_future(self._renderer.submit(function, *args))
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({result, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not result.done():
                raise ClientDisconnect
            return result.result()
        finally:
            gone.cancel()
            result.cancel()


async def _disconnected(request):
    while (await request.receive())["type"] != "http.disconnect":
        pass
