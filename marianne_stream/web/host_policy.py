"""Which host names are answered for, which sites may ask, what browsers are told to forbid.

It must not know who asks.
"""

from collections.abc import Iterable
from functools import lru_cache

from aiohttp import web
from yarl import URL

from marianne_stream.errors import CrossOriginFormError, HostNotAllowedError
from marianne_stream.web.proxy_headers import CACHE_SIZE, parse_ip

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
PAGE_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

# Who answers, and not by which version of what.
SERVER_HEADER = "marianne-stream"

CORS_ALLOWED_METHODS = "GET, HEAD"
CORS_ALLOWED_HEADERS = "Authorization, Last-Event-ID, Range, X-Request-ID"
CORS_EXPOSED_HEADERS = "Content-Disposition, Content-Range, ETag, Retry-After, X-Request-ID"
CORS_MAX_AGE_S = 600


class HostPolicy:
    """The names of this server, and the sites that may ask it from a browser.

    Args:
        allowed_hosts: names besides those of the loopback address; `*.example.org` is all below it.
        cors_origins: sites as browsers name them, `https://grafana.example.org`.
    """

    def __init__(self, allowed_hosts: Iterable[str], cors_origins: Iterable[str]) -> None:
        names = {name.lower().rstrip(".") for name in allowed_hosts}
        self._allowed_hosts = {"localhost", *(name for name in names if not name.startswith("*."))}
        self._allowed_suffixes = (
            ".localhost",
            *(name[1:] for name in names if name.startswith("*.")),
        )
        self._cors_origins = frozenset(cors_origins)

    def require_allowed_host(self, request: web.Request) -> None:
        """Raises WrongHostError where a request is for another name.

        A page of another site, whose name was made to lead here, has that name in its requests; an
        address in the place of a name is nobody's to make lead anywhere. One that names nothing at
        all (HTTP/1.0) comes from no browser.
        """
        host = request.headers.get("Host")
        if host is None:
            return
        name = parse_host_name(host) if len(host) <= MAX_HOST_CHARS else None
        if name is None or not (
            parse_ip(name) or name in self._allowed_hosts or name.endswith(self._allowed_suffixes)
        ):
            raise HostNotAllowedError

    def require_same_origin(self, request: web.Request, *, secure: bool) -> None:
        """Raises OriginMismatchError unless a request comes from a page of this server."""
        scheme = "https" if secure else "http"
        origin, host = request.headers.get("Origin"), request.headers.get("Host")
        if origin is None or host is None or not is_same_origin(origin, f"{scheme}://{host}"):
            raise CrossOriginFormError

    def preflight_response(self, request: web.Request) -> web.Response | None:
        """The answer to a browser that asks whether a page of another site may ask."""
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        if request.headers.get("Origin") not in self._cors_origins:
            return None
        headers = {
            "Access-Control-Allow-Methods": CORS_ALLOWED_METHODS,
            "Access-Control-Allow-Headers": CORS_ALLOWED_HEADERS,
            "Access-Control-Max-Age": str(CORS_MAX_AGE_S),
        }
        return web.Response(status=204, headers=headers)

    async def add_security_headers(
        self, request: web.Request, response: web.StreamResponse
    ) -> None:
        """Adds what browsers are to be told to an answer whose headers are about to be sent."""
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        if not self._cors_origins:
            return
        response.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin")
        if origin in self._cors_origins and origin is not None:
            # Without credentials: a page of another site brings its own token.
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = CORS_EXPOSED_HEADERS


# The longest name there is (RFC 1035 section 2.3.4), and a port: what is longer is not remembered.
MAX_HOST_CHARS = 255 + len(":65535")


@lru_cache(maxsize=CACHE_SIZE)
def parse_host_name(host: str) -> str | None:
    """The name or address of a Host header, without its port; None where it is none."""
    try:
        name = URL.build(scheme="http", authority=host).host
    except (ValueError, LookupError):
        return None
    return name.lower().rstrip(".") if name else None


def is_same_origin(one: str, other: str) -> bool:
    """Whether two origins are the same (RFC 6454 section 5)."""
    try:
        first, second = URL(one), URL(other)
        parts = (first.scheme, first.host, first.port), (second.scheme, second.host, second.port)
    except (ValueError, LookupError):
        return False
    return first.host is not None and parts[0] == parts[1]
