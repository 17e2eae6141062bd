"""Which host names are answered for, which sites may ask, what browsers are told to forbid.

It must not know who asks.
"""

from collections.abc import Iterable
from functools import lru_cache

from aiohttp import web
from yarl import URL

from marianne_stream.errors import OriginMismatchError, WrongHostError
from marianne_stream.web.visitor import REMEMBERED, ip_of

# On every answer, unless it says otherwise itself. Nothing of an answer of the API is to be run,
# shown in a frame, or guessed to be something else.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

# For pages: scripts and styles of this server alone, and none within the page.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

# Who answers, and not by which version of what.
SERVER = "marianne-stream"

ALLOWED_METHODS = "GET, HEAD"
ALLOWED_HEADERS = "Authorization, Last-Event-ID, Range, X-Request-ID"
EXPOSED_HEADERS = "Content-Disposition, Content-Range, ETag, Retry-After, X-Request-ID"
PREFLIGHT_AGE_S = 600


class Sites:
    """The names of this server, and the sites that may ask it from a browser.

    Args:
        hosts: names besides those of the loopback address; `*.example.org` is all below it.
        origins: sites as browsers name them, `https://grafana.example.org`.
    """

    def __init__(self, hosts: Iterable[str], origins: Iterable[str]) -> None:
        names = {name.lower().rstrip(".") for name in hosts}
        self._names = {"localhost", *(name for name in names if not name.startswith("*."))}
        self._domains = (".localhost", *(name[1:] for name in names if name.startswith("*.")))
        self._origins = frozenset(origins)

    def check_host(self, request: web.Request) -> None:
        """Raises WrongHostError where a request is for another name.

        A page of another site, whose name was made to lead here, has that name in its requests; an
        address in the place of a name is nobody's to make lead anywhere. One that names nothing at
        all (HTTP/1.0) comes from no browser.
        """
        host = request.headers.get("Host")
        if host is None:
            return
        name = host_name(host) if len(host) <= HOST_LIMIT else None
        if name is None or not (ip_of(name) or name in self._names or name.endswith(self._domains)):
            raise WrongHostError

    def check_origin(self, request: web.Request, *, secure: bool) -> None:
        """Raises OriginMismatchError unless a request comes from a page of this server."""
        scheme = "https" if secure else "http"
        origin, host = request.headers.get("Origin"), request.headers.get("Host")
        if origin is None or host is None or not same_origin(origin, f"{scheme}://{host}"):
            raise OriginMismatchError

    def preflight(self, request: web.Request) -> web.Response | None:
        """The answer to a browser that asks whether a page of another site may ask."""
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        if request.headers.get("Origin") not in self._origins:
            return None
        headers = {
            "Access-Control-Allow-Methods": ALLOWED_METHODS,
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": str(PREFLIGHT_AGE_S),
        }
        return web.Response(status=204, headers=headers)

    async def on_prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """Adds what browsers are to be told to an answer whose headers are about to be sent."""
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        if not self._origins:
            return
        response.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin")
        if origin in self._origins and origin is not None:
            # Without credentials: a page of another site brings its own token.
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS


# The longest name there is (RFC 1035 section 2.3.4), and a port: what is longer is not remembered.
HOST_LIMIT = 255 + len(":65535")


@lru_cache(maxsize=REMEMBERED)
def host_name(host: str) -> str | None:
    """The name or address of a Host header, without its port; None where it is none."""
    try:
        name = URL.build(scheme="http", authority=host).host
    except (ValueError, LookupError):
        return None
    return name.lower().rstrip(".") if name else None


def same_origin(one: str, other: str) -> bool:
    """Whether two origins are the same (RFC 6454 section 5)."""
    try:
        first, second = URL(one), URL(other)
        parts = (first.scheme, first.host, first.port), (second.scheme, second.host, second.port)
    except (ValueError, LookupError):
        return False
    return first.host is not None and parts[0] == parts[1]
