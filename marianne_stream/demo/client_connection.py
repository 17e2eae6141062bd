"""Connection to a simulated conductor: slots, and the order of responses.

Three habits of the real conductor come from asyncio and are kept on purpose:

A handler keeps its connection slot until it returns, even if the transport is lost. The handler of
a monitor stream never reads, so it notices a disconnected client only when it writes the next
event.

A stream protocol keeps its transport when the peer has closed (`eof_received`): a client that left
while it waited for a slot still gets one and is answered into nothing.

If the peer closed with a byte unread, the read fails with ECONNRESET: the transport is lost at
once, but the slot is not.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast

from marianne_stream.demo import rpc_messages
from marianne_stream.demo.rpc_messages import RpcErrorResult, RpcRequest

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from marianne_stream.demo.server_statistics import ServerStatistics

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MONITOR_STREAM = "daemon.monitor.stream"

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class FaultInjection:
    """Faults by method. Tests change them while the conductor runs."""

    # Delay between computing a response and writing it, in seconds.
    response_delay_s: dict[str, float] = field(default_factory=dict)

    # Methods without a response; the connection stays open, and keeps its slot.
    unanswered: set[str] = field(default_factory=set)

    # Methods that are unknown, as on an older conductor.
    unknown_methods: set[str] = field(default_factory=set)

    # Bytes that replace the line of a response; no newline is added.
    raw_responses: dict[str, bytes] = field(default_factory=dict)

    # Methods after whose response the connection is closed.
    close_after: set[str] = field(default_factory=set)


class ConnectionHost(Protocol):
    """Interface of the server that a connection belongs to."""

    faults: FaultInjection
    statistics: "ServerStatistics"
    slots: asyncio.Semaphore

    def answer(self, method: str, params: dict[str, object]) -> object:
        """Return a result that can be encoded as JSON, or an error."""
        ...

    def subscribe(self) -> "AbstractContextManager[asyncio.Queue[bytes]]":
        """Return a context manager with a queue of events."""
        ...

    def on_connect(self, connection: "ClientConnection") -> None:
        """Record an accepted connection."""
        ...

    def on_disconnect(self, connection: "ClientConnection") -> None:
        """Record a lost transport."""
        ...


class ClientConnection(asyncio.StreamReaderProtocol):
    """Serves the requests of one client in order, once it has a slot."""

    def __init__(self, host: ConnectionHost) -> None:
        # The protocol keeps only a weak reference to its reader.
        self.reader = asyncio.StreamReader(limit=MAX_MESSAGE_BYTES)
        super().__init__(self.reader)
        self.host = host
        # Whether an event stream is open, and its client not known to be gone.
        self._is_streaming = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to wait for a slot."""
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        stream = cast("asyncio.WriteTransport", transport)
        self.writer = asyncio.StreamWriter(stream, self, self.reader, loop)
        self.task = loop.create_task(self._serve())
        self.host.on_connect(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Record the lost transport; the handler continues until it reads or writes."""
        super().connection_lost(exc)
        self._end_stream()
        self.host.on_disconnect(self)

    def abort(self) -> None:
        """Close the transport at once, drop unsent data, and end the handler."""
        self.writer.transport.abort()
        self.task.cancel()

    async def _serve(self) -> None:
        try:
            async with self.host.slots:
                self.host.statistics.slots_taken += 1
                try:
                    while line := await self._read_line():
                        await self._handle_request(rpc_messages.parse_request(line))
                finally:
                    self.host.statistics.slots_taken -= 1
        except ConnectionError as exc:
            logger.debug("client disconnected error=%r", str(exc))
        finally:
            self.writer.close()

    async def _read_line(self) -> bytes:
        """Read one line; return b"" at the end."""
        try:
            return await self.reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return b""
        except asyncio.LimitOverrunError:
            too_long = RpcErrorResult(
                rpc_messages.PARSE_ERROR, "Parse error: the message is above 16 MiB"
            )
            await self._write(rpc_messages.encode_response(None, too_long))
            return b""

    async def _handle_request(self, request: RpcRequest | RpcErrorResult) -> None:
        if isinstance(request, RpcErrorResult):
            await self._write(rpc_messages.encode_response(request.id, request))
            return
        self.host.statistics.count_request(request.method, request.job_id)
        faults = self.host.faults
        line = self._make_response(request)
        if request.method in faults.unanswered:
            await asyncio.Event().wait()
        await asyncio.sleep(faults.response_delay_s.get(request.method, 0))
        await self._write(line)
        if request.method in faults.close_after:
            self.writer.close()
        elif request.method == MONITOR_STREAM and request.method not in faults.unknown_methods:
            await self._stream_events()

    def _make_response(self, request: RpcRequest) -> bytes:
        """Return the response as of now, before any delay, as a slow conductor would send it."""
        method = request.method
        if method in self.host.faults.raw_responses:
            return self.host.faults.raw_responses[method]
        if method in self.host.faults.unknown_methods:
            result: object = method_not_found(method)
        elif method == MONITOR_STREAM:
            return b""
        else:
            result = self._call_host(request)
        return rpc_messages.encode_response(request.id, result) if request.expects_response else b""

    def _call_host(self, request: RpcRequest) -> object:
        try:
            return self.host.answer(request.method, request.params)
        except Exception:
            logger.exception("request failed method=%s", request.method)
            return RpcErrorResult(rpc_messages.INTERNAL_ERROR, "Internal error")

    async def _stream_events(self) -> None:
        """Write events while the transport lives. Never reads."""
        self._is_streaming = True
        self.host.statistics.monitor_streams_open += 1
        try:
            with self.host.subscribe() as events:
                while True:
                    await self._write(await events.get())
                    self.host.statistics.events_sent += 1
        finally:
            self._end_stream()

    def _end_stream(self) -> None:
        if self._is_streaming:
            self._is_streaming = False
            self.host.statistics.monitor_streams_open -= 1

    async def _write(self, line: bytes) -> None:
        self.writer.write(line)
        await self.writer.drain()


def method_not_found(method: str) -> RpcErrorResult:
    """Return the error for an unknown method."""
    code = rpc_messages.METHOD_NOT_FOUND
    return RpcErrorResult(code, f"Method not found: {method}", {"method": method})
