"""The connections that requests come by: how many there are, and what is said where HTTP fails.

What aiohttp cannot read it answers by itself, in a form and under a name of its own; here such an
answer looks like all others. It must not know what is asked for.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from marianne_stream.errors import BadRequestError, MarianneStreamError
from marianne_stream.web.host_policy import SECURITY_HEADERS, SERVER_HEADER
from marianne_stream.web.metrics import Metrics
from marianne_stream.web.proxy_headers import make_rate_limit_key, peer_address
from marianne_stream.web.request_ids import REQUEST_ID, make_request_id
from marianne_stream.web.responses import error_response, response_from_error

logger = logging.getLogger(__name__)

# How long handlers may take to end when the streams have ended. A client that does not read costs
# it twice: once to be waited for, once to be cancelled.
SHUTDOWN_TIMEOUT_S = 1.5

# How long the rest of a body is read that nobody wants, so that its sender gets to see the answer.
LINGERING_TIME_S = 1.0

# That connections are refused is said once in so long, however many there are.
LOG_INTERVAL_S = 60.0


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections there may be at once.

    Attributes:
        total: in all.
        per_client: to one address, as clients are counted.
        is_exempt: whether an address may have as many as there may be in all: that of a proxy.
    """

    total: int
    per_client: int
    is_exempt: Callable[[str], bool]


class LimitedRequestHandler(web.RequestHandler):
    """One connection; closed at once where there are as many as there may be.

    Args:
        server: all of them.
        options: aiohttp's own.
    """

    __slots__ = ("_client_key", "_server")

    def __init__(self, server: "LimitedServer", **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        # Who is counted, while it is.
        self._client_key: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Counts the connection, or closes it."""
        self._client_key = self._server.acquire(peer_address(transport))
        if self._client_key is None:
            cast("asyncio.Transport", transport).abort()
        else:
            super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Counts it no more."""
        if self._client_key is not None:
            self._server.release(self._client_key)
            self._client_key = None
        super().connection_lost(exc)

    def close_when_idle(self) -> None:
        """Ends it when what it was asked is answered: now, where that is nothing."""
        self.close()
        if not self._request_in_progress and not self._messages:
            self.force_close()

    def abort(self) -> None:
        """Ends it at once, without what has not been sent."""
        if self._task_handler is not None:
            self._task_handler.cancel()
        if self.transport is not None:
            # Behind the handler: asyncio's sendfile does not bear to lose its transport.
            self._loop.call_soon(self.transport.abort)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no HTTP, and to what failed outside of all handlers.

        Raises:
            ConnectionError: the client has gone, or was answered already.
        """
        # It would say back what was sent.
        del message
        if isinstance(exc, ConnectionError):
            raise exc
        error = MarianneStreamError()
        if status < web.HTTPInternalServerError.status_code:
            # Its words would say what was sent: a secret may be in it.
            logger.debug("no HTTP came from %s: %s", request.remote, type(exc).__name__)
            error = make_bad_request_error(exc)
        else:
            logger.error("a request failed outside of all handlers", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("it was answered already, and then there was an error")
        answer = response_from_error(request, error)
        answer.force_close()
        return self._server.finalize_response(request, answer)


class LimitedServer(web.Server):
    """All connections.

    Args:
        inner: aiohttp's own server, whose handler answers.
        limits: how many there may be.
        metrics: what counts answers.
        options: aiohttp's, for each connection.
    """

    def __init__(
        self, inner: web.Server, limits: ConnectionLimits, metrics: Metrics, **options: Any
    ) -> None:
        self._inner = inner
        self._limits = limits
        self._metrics = metrics
        self._open_count = 0
        self._open_by_client: Counter[str] = Counter()
        self._last_warning_at = -LOG_INTERVAL_S
        super().__init__(
            self._handle_request,
            request_factory=inner.request_factory,
            handler_cancellation=inner.handler_cancellation,
            **options,
        )

    def __call__(self) -> web.RequestHandler:
        """A connection that is about to be made."""
        return LimitedRequestHandler(self, loop=self._loop, **self._kwargs)

    def acquire(self, peer: str) -> str | None:
        """Who a connection from this address is counted for; None where it has no room."""
        limits, client = self._limits, make_rate_limit_key(peer)
        of_one = limits.total if limits.is_exempt(peer) else limits.per_client
        if self._open_count < limits.total and self._open_by_client[client] < of_one:
            self._open_count += 1
            self._open_by_client[client] += 1
            return client
        self._metrics.count_rejected_connection()
        now = time.monotonic()
        if now - self._last_warning_at >= LOG_INTERVAL_S:
            self._last_warning_at = now
            logger.warning(
                "connections are refused: %d are open, %d of them to %s",
                *(self._open_count, self._open_by_client[client], client),
            )
        return None

    def release(self, client_key: str) -> None:
        """A connection has ended."""
        self._open_count -= 1
        self._open_by_client[client_key] -= 1
        if not self._open_by_client[client_key]:
            del self._open_by_client[client_key]

    def close_when_idle(self) -> None:
        """Ends each connection when it has answered what it was asked."""
        for connection in self.connections:
            cast("LimitedRequestHandler", connection).close_when_idle()

    def abort(self) -> None:
        """Ends all connections at once, without what has not been sent."""
        for connection in self.connections:
            cast("LimitedRequestHandler", connection).abort()

    def finalize_response(self, request: web.BaseRequest, response: web.Response) -> web.Response:
        """An answer that no handler gives, with the headers that all have; it is counted."""
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
            # Raised before any middleware; its own text says back what was sent.
            detail = "Nothing but 100-continue can be expected of this server."
            answer = error_response(
                request, status=error.status, code="http_error", detail=detail, headers={}
            )
            return self.finalize_response(request, answer)


class LimitedAppRunner(web.AppRunner):
    """Runs an application over such connections.

    Args:
        app: what answers.
        metrics: what counts answers.
        limits: how many connections there may be.
        idle_timeout_s: how long one may take to send the head of a request.
        max_header_bytes: how long an address, and a header, may be.
    """

    def __init__(
        self,
        app: web.Application,
        metrics: Metrics,
        limits: ConnectionLimits,
        *,
        idle_timeout_s: float,
        max_header_bytes: int,
    ) -> None:
        self._options: dict[str, Any] = {
            # A line of log a request says nothing.
            "access_log": None,
            "keepalive_timeout": idle_timeout_s,
            "lingering_time": LINGERING_TIME_S,
            # Nothing that is sent here is worth to be compressed, but by who wants to do harm.
            "auto_decompress": False,
            # A Last-Event-ID from elsewhere may be long; it is answered like any that is unknown.
            "max_field_size": max_header_bytes,
            "max_line_size": max_header_bytes,
        }
        # A client that leaves is noticed at once.
        super().__init__(app, handler_cancellation=True, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        self._metrics = metrics
        self._limits = limits

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        return LimitedServer(plain, self._limits, self._metrics, **self._options)

    @property
    def limited_server(self) -> LimitedServer:
        """All connections, once it is set up."""
        return cast("LimitedServer", self.server)

    def abort(self) -> None:
        """Ends all connections at once, where there can be any."""
        if self.server is not None:
            self.limited_server.abort()


def make_bad_request_error(error: BaseException | None) -> BadRequestError:
    """Why a request cannot be read, without a byte of it."""
    if isinstance(error, LineTooLong):
        return BadRequestError(detail="The address of the request, or a header, is too long.")
    return BadRequestError(detail="This is not HTTP as RFC 9112 describes it.")
