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
from marianne_stream.web.answers import answer_of, error_answer
from marianne_stream.web.metrics import Metrics
from marianne_stream.web.request_ids import REQUEST_ID, new_request_id
from marianne_stream.web.sites import SECURITY_HEADERS, SERVER
from marianne_stream.web.visitor import counted_as, peer_of

logger = logging.getLogger(__name__)

# How long handlers may take to end when the streams have ended. A client that does not read costs
# it twice: once to be waited for, once to be cancelled.
LEAVE_LIMIT_S = 1.5

# How long the rest of a body is read that nobody wants, so that its sender gets to see the answer.
LINGERING_S = 1.0

# That connections are refused is said once in so long, however many there are.
SAID_AGAIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections there may be at once.

    Attributes:
        most: in all.
        most_of_one: to one address, as clients are counted.
        unlimited: whether an address may have as many as there may be in all: that of a proxy.
    """

    most: int
    most_of_one: int
    unlimited: Callable[[str], bool]


class Connection(web.RequestHandler):
    """One connection; closed at once where there are as many as there may be.

    Args:
        connections: all of them.
        options: aiohttp's own.
    """

    __slots__ = ("_all", "_client")

    def __init__(self, connections: "Connections", **options: Any) -> None:
        super().__init__(connections, **options)
        self._all = connections
        # Who is counted, while it is.
        self._client: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Counts the connection, or closes it."""
        self._client = self._all.admit(peer_of(transport))
        if self._client is None:
            cast("asyncio.Transport", transport).abort()
        else:
            super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Counts it no more."""
        if self._client is not None:
            self._all.forget(self._client)
            self._client = None
        super().connection_lost(exc)

    def leave(self) -> None:
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
            error = not_http(exc)
        else:
            logger.error("a request failed outside of all handlers", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("it was answered already, and then there was an error")
        answer = answer_of(request, error)
        answer.force_close()
        return self._all.signed(request, answer)


class Connections(web.Server):
    """All connections.

    Args:
        plain: aiohttp's own server, whose handler answers.
        limits: how many there may be.
        metrics: what counts answers.
        options: aiohttp's, for each connection.
    """

    def __init__(self, plain: web.Server, limits: Limits, metrics: Metrics, **options: Any) -> None:
        self._plain = plain
        self._limits = limits
        self._metrics = metrics
        self._open = 0
        self._clients: Counter[str] = Counter()
        self._said_at = -SAID_AGAIN_S
        super().__init__(
            self._answer,
            request_factory=plain.request_factory,
            handler_cancellation=plain.handler_cancellation,
            **options,
        )

    def __call__(self) -> web.RequestHandler:
        """A connection that is about to be made."""
        return Connection(self, loop=self._loop, **self._kwargs)

    def admit(self, peer: str) -> str | None:
        """Who a connection from this address is counted for; None where it has no room."""
        limits, client = self._limits, counted_as(peer)
        of_one = limits.most if limits.unlimited(peer) else limits.most_of_one
        if self._open < limits.most and self._clients[client] < of_one:
            self._open += 1
            self._clients[client] += 1
            return client
        self._metrics.refused()
        now = time.monotonic()
        if now - self._said_at >= SAID_AGAIN_S:
            self._said_at = now
            logger.warning(
                "connections are refused: %d are open, %d of them to %s",
                *(self._open, self._clients[client], client),
            )
        return None

    def forget(self, client: str) -> None:
        """A connection has ended."""
        self._open -= 1
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]

    def leave(self) -> None:
        """Ends each connection when it has answered what it was asked."""
        for connection in self.connections:
            cast("Connection", connection).leave()

    def abort(self) -> None:
        """Ends all connections at once, without what has not been sent."""
        for connection in self.connections:
            cast("Connection", connection).abort()

    def signed(self, request: web.BaseRequest, answer: web.Response) -> web.Response:
        """An answer that no handler gives, with the headers that all have; it is counted."""
        request[REQUEST_ID] = new_request_id()
        answer.headers.update(SECURITY_HEADERS)
        answer.headers.update({"Server": SERVER, "X-Request-ID": request[REQUEST_ID]})
        self._metrics.answered(route="", method="OTHER", status=answer.status, seconds=0.0)
        return answer

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._plain.request_handler(request)
        except web.HTTPExpectationFailed as error:
            # Raised before any middleware; its own text says back what was sent.
            detail = "Nothing but 100-continue can be expected of this server."
            answer = error_answer(
                request, status=error.status, code="http_error", detail=detail, headers={}
            )
            return self.signed(request, answer)


class Runner(web.AppRunner):
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
        limits: Limits,
        *,
        idle_timeout_s: float,
        max_header_bytes: int,
    ) -> None:
        self._options: dict[str, Any] = {
            # A line of log a request says nothing.
            "access_log": None,
            "keepalive_timeout": idle_timeout_s,
            "lingering_time": LINGERING_S,
            # Nothing that is sent here is worth to be compressed, but by who wants to do harm.
            "auto_decompress": False,
            # A Last-Event-ID from elsewhere may be long; it is answered like any that is unknown.
            "max_field_size": max_header_bytes,
            "max_line_size": max_header_bytes,
        }
        # A client that leaves is noticed at once.
        super().__init__(app, handler_cancellation=True, shutdown_timeout=LEAVE_LIMIT_S)
        self._metrics = metrics
        self._limits = limits

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        return Connections(plain, self._limits, self._metrics, **self._options)

    @property
    def connections(self) -> Connections:
        """All connections, once it is set up."""
        return cast("Connections", self.server)

    def abort(self) -> None:
        """Ends all connections at once, where there can be any."""
        if self.server is not None:
            self.connections.abort()


def not_http(error: BaseException | None) -> BadRequestError:
    """Why a request cannot be read, without a byte of it."""
    if isinstance(error, LineTooLong):
        return BadRequestError(detail="The address of the request, or a header, is too long.")
    return BadRequestError(detail="This is not HTTP as RFC 9112 describes it.")
