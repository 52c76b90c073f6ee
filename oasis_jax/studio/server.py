"""The studio's server: passes requests to the renderer, and returns errors as one line of JSON. Every request describes its whole image."""
import asyncio
import contextlib

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from oasis_jax.studio import assets, framing
from oasis_jax.studio.answers import Answers, explained, joined
from oasis_jax.studio.examples import Examples
from oasis_jax.studio.guards import Refused, check_origin, is_short, read_body, response_headers

_GONE = 499  # status of a response that nobody receives: the client has disconnected
_BINARY = "application/octet-stream"


def create_app(renderer, facts, examples=None, rule=None, token=None):
    """Creates the ASGI application.

    Args:
        renderer: Renderer, compiled.
        facts: result of `model_facts`.
        examples: Examples; None for no examples.
        rule: FileRule for reading label files; None for a model without label maps.
        token: token that requests must contain, or None.
    """
    routes = _Routes(renderer, Answers(renderer, lambda: facts, examples or Examples({}), rule))
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
    """The response of a handler; exceptions become error responses."""
    try:
        check_origin(request.headers, token, for_page)
        return await handler(request)
    except Refused as error:
        response = _error(error.status, error)
        # The rest of a short body is received, because a browser reads no response before it has sent its file; of a long one it is not.
        if not is_short(request):
            response.headers["connection"] = "close"
        return response
    except (ClientDisconnect, asyncio.CancelledError):
        return Response(status_code=_GONE)
    except Exception as error:  # returned as a response, so that the session continues
        return _error(*explained(error))


def _error(status, error):
    return JSONResponse({"error": joined(error)}, status)


def _page(content_type, data):
    async def page(_):
        return Response(data, media_type=content_type)

    return page


class _Routes:
    """The request handlers, one per route."""

    def __init__(self, renderer, answers):
        self._renderer, self._answers = renderer, answers

    async def info(self, request):
        return JSONResponse(self._answers.info()[0])

    async def render(self, request):
        place, (rgb,) = await self._answered(request, "render")
        headers = {f"X-{name.title()}": str(int(value)) for name, value in place.items()}
        return Response(rgb.tobytes(), media_type=_BINARY, headers=headers)

    async def open(self, request):
        header, arrays = await self._answered(request, "open")
        return Response(framing.pack(header, *arrays), media_type=_BINARY)

    async def example(self, request):
        header, arrays = await self._answered(request, "example")
        return Response(framing.pack(header, *arrays), media_type=_BINARY)

    async def heatmaps(self, request):
        header, _ = await self._answered(request, "heatmaps")
        return JSONResponse(header)

    async def _answered(self, request, question):
        """The result of a method of `Answers`, computed in the renderer's thread; cancelled if the client disconnects before its turn."""
        body = await read_body(request, self._answers.longest[question])
        name = request.query_params.get("name", "")
        result = asyncio.wrap_future(self._renderer.submit(getattr(self._answers, question), body, name))
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
