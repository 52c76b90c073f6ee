"""What every request must pass before anything is computed: of this machine, of the studio's own page, and no larger than it may be."""
import ipaddress
import secrets
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "::1")
TOKEN_HEADER = "x-token"
_OWN_SITE = ("same-origin", "none")  # Sec-Fetch-Site; none: a person has typed the address
_THROWN_AWAY = 1 << 28  # bytes
_LOCAL_FRAMES = "'self' http://localhost:* http://127.0.0.1:*"  # of notebooks

_HEADERS = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",  # it would tell the token
    "cache-control": "no-store",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors "
)


class Refused(Exception):
    """A request that is answered with an error.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def is_loopback(host):
    """Whether only this machine can reach a server on a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def response_headers(token):
    """Headers of every response, {name: value}: whoever knows no token may frame the page only on this machine."""
    return _HEADERS | {"content-security-policy": _POLICY + ("*" if token else _LOCAL_FRAMES)}


def check_origin(headers, token, for_page):
    """Raises Refused for a request of another site's page, or of somebody without the token.

    Args:
        headers: of the request, whose names are compared without case.
        token: that requests must name; other sites do not know it. Host may then be any name, and Origin another than Host, as behind a
            proxy. None for servers that only this machine can reach; Host must then be a name of it, since a name that others own can be
            made to lead here (DNS rebinding).
        for_page: whether it asks for a file of the page, which holds nothing private, where the token is not known yet, and to which a
            link or a frame of another site may lead.
    """
    host = headers.get("host", "")
    if not token and _name(host) not in LOOPBACK:
        raise Refused(403, f"Host {host[:100]!r} is not a name of this machine: open the address that the command has printed")
    if for_page:
        return
    if token and not secrets.compare_digest(headers.get(TOKEN_HEADER, "").encode(), token.encode()):
        raise Refused(403, "the token of this studio is missing or wrong: open the address that the command has printed")
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    elsewhere = not token and site is None and origin is not None and urlsplit(origin).netloc != host
    if site not in (None, *_OWN_SITE) or elsewhere:
        raise Refused(403, "the request comes from the page of another site")


async def read_body(request, most):
    """The bytes of a request; raises Refused as soon as there are more than `most`, whatever its headers say."""
    if _told_length(request) > most:
        raise _too_large(most)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise _too_large(most)
    return bytes(body)


def is_short(request):
    """Whether a request says that it has so few bytes that they can be received to be thrown away."""
    return _told_length(request) <= _THROWN_AWAY and "transfer-encoding" not in request.headers


def _told_length(request):
    told = request.headers.get("content-length", "0")
    return int(told) if told.isdecimal() and len(told) < 20 else 0


def _too_large(most):
    return Refused(413, f"the message is larger than {most:,} bytes, the most that is read here")


def _name(host):
    """The name in a Host header, lower case; "" if it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
