"""Host names, CORS, same-origin check and security headers."""

from collections.abc import Iterable
from functools import lru_cache

from aiohttp import web
from yarl import URL

from marianne_stream.errors import CrossOriginFormError, HostNotAllowedError
from marianne_stream.web.proxy_headers import CACHE_SIZE, parse_ip

# Default headers of every response. Nothing in a response of the API is to be executed, framed, or
# taken for another content type.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

# Pages may use scripts and styles of this server, none of them inline.
PAGE_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

# Without a version.
SERVER_HEADER = "marianne-stream"

CORS_ALLOWED_METHODS = "GET, HEAD"
CORS_ALLOWED_HEADERS = "Authorization, Last-Event-ID, Range, X-Request-ID"
CORS_EXPOSED_HEADERS = "Content-Disposition, Content-Range, ETag, Retry-After, X-Request-ID"
CORS_MAX_AGE_S = 600

# The longest host name (RFC 1035 section 2.3.4) and a port. Longer ones are not cached.
MAX_HOST_CHARS = 255 + len(":65535")


class TrustedHosts:
    """Host names that the server answers for.

    A name that another site has pointed at this server (DNS rebinding) stands in the Host header,
    and is rejected. IP addresses are allowed, since no site can point them anywhere. `localhost`
    and the names in `allowed_hosts` are allowed; `*.example.org` stands for all names below it.
    """

    def __init__(self, allowed_hosts: Iterable[str]) -> None:
        names = {name.lower().rstrip(".") for name in allowed_hosts}
        self._names = {"localhost", *(name for name in names if not name.startswith("*."))}
        self._suffixes = (".localhost", *(name[1:] for name in names if name.startswith("*.")))

    def check(self, request: web.Request) -> None:
        """Raise HostNotAllowedError if the Host header names another host.

        A request without the header (HTTP/1.0) passes: no browser sends it.
        """
        host = request.headers.get("Host")
        if host is None:
            return
        name = parse_host_name(host) if len(host) <= MAX_HOST_CHARS else None
        if name is None or not (
            parse_ip(name) or name in self._names or name.endswith(self._suffixes)
        ):
            raise HostNotAllowedError


class Cors:
    """Cross-origin access for pages of other origins, as `https://example.org`, without cookies."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origins)

    def preflight_response(self, request: web.Request) -> web.Response | None:
        """Return the response to a preflight request of an allowed origin, otherwise None."""
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        if request.headers.get("Origin") not in self._origins:
            return None
        headers = {
            "Access-Control-Allow-Methods": CORS_ALLOWED_METHODS,
            "Access-Control-Allow-Headers": CORS_ALLOWED_HEADERS,
            "Access-Control-Max-Age": str(CORS_MAX_AGE_S),
        }
        return web.Response(status=204, headers=headers)

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the CORS headers to a response; to be called before its headers are sent."""
        if not self._origins:
            return
        response.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin")
        if origin in self._origins and origin is not None:
            # No Access-Control-Allow-Credentials: a page of another site sends a token.
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = CORS_EXPOSED_HEADERS


async def add_security_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Add the default security headers; to be called before the headers are sent."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)


def require_same_origin(request: web.Request, *, secure: bool) -> None:
    """Raise CrossOriginFormError unless the Origin header is this server's own."""
    scheme = "https" if secure else "http"
    origin, host = request.headers.get("Origin"), request.headers.get("Host")
    if origin is None or host is None or not is_same_origin(origin, f"{scheme}://{host}"):
        raise CrossOriginFormError


@lru_cache(maxsize=CACHE_SIZE)
def parse_host_name(host: str) -> str | None:
    """Return the name or address in a Host header, without its port; None if it is invalid."""
    try:
        name = URL.build(scheme="http", authority=host).host
    except (ValueError, LookupError):
        return None
    return name.lower().rstrip(".") if name else None


def is_same_origin(one: str, other: str) -> bool:
    """Return whether two origins are the same (RFC 6454 section 5)."""
    try:
        first, second = URL(one), URL(other)
        parts = (first.scheme, first.host, first.port), (second.scheme, second.host, second.port)
    except (ValueError, LookupError):
        return False
    return first.host is not None and parts[0] == parts[1]
