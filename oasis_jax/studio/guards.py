"""Checks of every request before anything is computed: its host, its token, the site that it comes from, and its size."""
import ipaddress
import secrets
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "::1")
TOKEN_HEADER = "x-token"
_OWN_SITE = ("same-origin", "none")  # values of Sec-Fetch-Site; none: a person typed the address
_THROWN_AWAY = 1 << 28  # bytes: a refused body up to this size is received and discarded
_LOCAL_FRAMES = "'self' http://localhost:* http://127.0.0.1:*"  # notebooks, which may frame the page

_HEADERS = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",  # the referrer would reveal the token
    "cache-control": "no-store",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors "
)


class Refused(Exception):
    """A request that is answered with an error.

    Attributes:
        status: HTTP status.
    """

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def is_loopback(host):
    """Whether a server that listens on this host can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def response_headers(token):
    """Headers of every response, {name: value}. Without a token, only pages served by this machine may frame the studio."""
    return _HEADERS | {"content-security-policy": _POLICY + ("*" if token else _LOCAL_FRAMES)}


def check_origin(headers, token, for_page):
    """Raises Refused for a request from a page of another site, or without the token.

    Args:
        headers: headers of the request; their names are case-insensitive.
        token: token that requests must contain, which other sites do not know. Host may then be any name and differ from Origin, as
            behind a proxy. None for servers that only this machine can reach; Host must then be a name of this machine, because other
            sites can make their own names resolve to it (DNS rebinding).
        for_page: whether a file of the page is requested. These files hold nothing private, are loaded before the page knows the token,
            and may be linked or framed by other sites.
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
    """Reads the body of a request; raises Refused as soon as it exceeds `most` bytes, whatever the headers say."""
    if _told_length(request) > most:
        raise _too_large(most)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise _too_large(most)
    return bytes(body)


def is_short(request):
    """Whether the headers of a request declare a body that is short enough to be received and discarded."""
    return _told_length(request) <= _THROWN_AWAY and "transfer-encoding" not in request.headers


def _told_length(request):
    told = request.headers.get("content-length", "0")
    return int(told) if told.isdecimal() and len(told) < 20 else 0


def _too_large(most):
    return Refused(413, f"the message is larger than {most:,} bytes, the limit for this request")


def _name(host):
    """The host name in a Host header, in lower case; "" if the header is invalid."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
