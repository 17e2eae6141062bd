"""HTTP server with connection limits, and with error responses of its own for malformed HTTP."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from marianne_stream.common.repeated_logs import LogLimiter
from marianne_stream.errors import BadRequestError, MarianneStreamError
from marianne_stream.web.aiohttp_internals import (
    ManagedRequestHandler,
    WrappedServer,
    WrappingAppRunner,
)
from marianne_stream.web.app_keys import METRICS
from marianne_stream.web.host_policy import SECURITY_HEADERS, SERVER_HEADER
from marianne_stream.web.limits import ClientLimiter
from marianne_stream.web.metrics import Metrics
from marianne_stream.web.proxy_headers import make_rate_limit_key, peer_address
from marianne_stream.web.request_ids import REQUEST_ID, make_request_id
from marianne_stream.web.responses import error_response, response_from_error

logger = logging.getLogger(__name__)

# Time that handlers have to end after the streams. aiohttp waits for it twice if a client does not
# read: before it cancels the handler, and after.
SHUTDOWN_TIMEOUT_S = 1.5

# Time for which the rest of an unwanted body is read, so that its sender sees the response.
LINGERING_TIME_S = 1.0

# Shortest time between two warnings about rejected connections.
LOG_INTERVAL_S = 60.0


class LimitedRequestHandler(ManagedRequestHandler):
    """Connection that is closed at once if a limit is reached."""

    __slots__ = ("_client_key", "_server")

    def __init__(self, server: "LimitedServer", **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        # The client that it is counted for, while it is.
        self._client_key: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, or close it."""
        self._client_key = self._server.acquire(peer_address(transport))
        if self._client_key is None:
            cast("asyncio.Transport", transport).abort()
        else:
            super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop counting the connection."""
        if self._client_key is not None:
            self._server.release(self._client_key)
            self._client_key = None
        super().connection_lost(exc)

    def close_when_idle(self) -> None:
        """Close the connection after the current request, or now if there is none."""
        self.close()
        if self.is_idle:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the response to malformed HTTP, or to a failure outside of all handlers.

        aiohttp's message is not used: it repeats what was sent, which may be a secret.

        Raises:
            ConnectionError: the client has disconnected, or a response has begun.
        """
        del message
        if isinstance(exc, ConnectionError):
            raise exc
        error = MarianneStreamError()
        if status < web.HTTPInternalServerError.status_code:
            logger.debug("malformed HTTP client=%s error=%s", request.remote, type(exc).__name__)
            error = make_bad_request_error(exc)
        else:
            logger.error("request failed outside of all handlers", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the request failed after its response had begun")
        response = response_from_error(request, error)
        response.force_close()
        return self._server.finalize_response(request, response)


class LimitedServer(WrappedServer):
    """Server that limits its connections, and counts responses and rejected connections."""

    def __init__(
        self,
        inner: web.Server,
        *,
        limiter: ClientLimiter,
        is_exempt: Callable[[str], bool],
        metrics: Metrics,
        **options: Any,
    ) -> None:
        self._inner = inner
        self._limiter = limiter
        self._is_exempt = is_exempt
        self._metrics = metrics
        self._warnings = LogLimiter(LOG_INTERVAL_S)
        super().__init__(inner, self._handle_request, LimitedRequestHandler, **options)

    def acquire(self, peer: str) -> str | None:
        """Count a connection; return the key to release, or None if a limit is reached."""
        client_key = make_rate_limit_key(peer)
        if self._limiter.reached(client_key, is_exempt=self._is_exempt(peer)) is None:
            self._limiter.add(client_key)
            return client_key
        self._metrics.rejected_connections.inc()
        if self._warnings.is_due():
            logger.warning(
                "connections rejected open=%d client=%s client_open=%d",
                *(self._limiter.total, client_key, self._limiter.count(client_key)),
            )
        return None

    def release(self, client_key: str) -> None:
        """Stop counting a connection."""
        self._limiter.remove(client_key)

    def close_when_idle(self) -> None:
        """Close each connection after its current request."""
        for connection in self.connections:
            cast("LimitedRequestHandler", connection).close_when_idle()

    def abort(self) -> None:
        """Close all connections at once; what has not been sent is lost."""
        for connection in self.connections:
            cast("LimitedRequestHandler", connection).abort()

    def finalize_response(self, request: web.BaseRequest, response: web.Response) -> web.Response:
        """Add the common headers to a response that passes no middleware, and count it."""
        request[REQUEST_ID] = make_request_id()
        response.headers.update(SECURITY_HEADERS)
        response.headers.update({"Server": SERVER_HEADER, "X-Request-ID": request[REQUEST_ID]})
        self._metrics.observe_response(
            route="", method="OTHER", status=response.status, duration_s=0.0
        )
        return response

    async def _handle_request(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._inner.request_handler(request)
        except web.HTTPExpectationFailed as error:
            # aiohttp raises it before any middleware, with a text that repeats what was sent.
            response = error_response(
                request,
                status=error.status,
                detail="Unsupported Expect header: only 100-continue is allowed.",
            )
            return self.finalize_response(request, response)


class LimitedAppRunner(WrappingAppRunner):
    """AppRunner with a `LimitedServer`.

    Args:
        is_exempt: returns whether the limit per client does not apply to an address, as to that of
            a proxy.
        idle_timeout_s: time that a client has to send the head of a request, in seconds.
        max_header_bytes: limit of the request line, and of each header.
    """

    def __init__(
        self,
        app: web.Application,
        limiter: ClientLimiter,
        *,
        is_exempt: Callable[[str], bool],
        idle_timeout_s: float,
        max_header_bytes: int,
    ) -> None:
        self._options: dict[str, Any] = {
            "limiter": limiter,
            "is_exempt": is_exempt,
            "metrics": app[METRICS],
            "access_log": None,
            "keepalive_timeout": idle_timeout_s,
            "lingering_time": LINGERING_TIME_S,
            # No legitimate request body is compressed, and it could be a decompression bomb.
            "auto_decompress": False,
            # A long Last-Event-ID is read, so that it is answered as any unknown one.
            "max_field_size": max_header_bytes,
            "max_line_size": max_header_bytes,
        }
        # With handler_cancellation, the end of a client is noticed at once.
        super().__init__(app, handler_cancellation=True, shutdown_timeout=SHUTDOWN_TIMEOUT_S)

    def wrap_server(self, inner: web.Server) -> web.Server:
        """Return a server with limits around aiohttp's own."""
        return LimitedServer(inner, **self._options)

    @property
    def limited_server(self) -> LimitedServer:
        """The server, after `setup`."""
        return cast("LimitedServer", self.server)

    def abort(self) -> None:
        """Close all connections at once, if there is a server."""
        if self.server is not None:
            self.limited_server.abort()


def make_bad_request_error(error: BaseException | None) -> BadRequestError:
    """Return the error of a request that aiohttp could not parse; it repeats no byte of it."""
    if isinstance(error, LineTooLong):
        return BadRequestError(detail="The request line or a header is too long.")
    return BadRequestError(detail="The request is not valid HTTP (RFC 9112).")
