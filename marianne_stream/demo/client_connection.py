"""One connection to a simulated conductor, from its accept until its transport is gone.

It knows bytes, slots and the order of answers. It must not know what a job is: the host answers.

Three habits of the real conductor come from asyncio itself and are kept on purpose. A handler holds
its connection slot until it returns, whatever becomes of the transport: that of a monitor stream
never reads, so it learns of a client that has gone at its next write, with the next event. A stream
protocol keeps its transport when the peer has closed (`eof_received`): a client that left while it
waited for a slot is answered into nothing once it has one, and counts as connected until then.
When the peer closed with a byte unread, the read fails with ECONNRESET, and the transport is lost
at once, but not the slot.
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
    """What goes wrong, by method. Tests change it while the conductor runs."""

    # Seconds between taking the answer's content and writing it.
    response_delay_s: dict[str, float] = field(default_factory=dict)

    # Methods that are never answered; the connection stays, and keeps its slot.
    unanswered: set[str] = field(default_factory=set)

    # Methods that an older conductor does not know.
    unknown_methods: set[str] = field(default_factory=set)

    # Written as they are, with no newline added, in place of the answer's line.
    raw_responses: dict[str, bytes] = field(default_factory=dict)

    # Methods after whose answer the conductor closes the connection.
    close_after: set[str] = field(default_factory=set)


class ConnectionHost(Protocol):
    """What a connection needs of the server that accepted it."""

    faults: FaultInjection
    statistics: "ServerStatistics"
    slots: asyncio.Semaphore

    def answer(self, method: str, params: dict[str, object]) -> object:
        """Give a result that can be written as JSON, or a refusal."""
        ...

    def subscribe(self) -> "AbstractContextManager[asyncio.Queue[bytes]]":
        """Give a queue that events arrive in for as long as the context lasts."""
        ...

    def on_connect(self, connection: "ClientConnection") -> None:
        """Hear that a connection was accepted."""
        ...

    def on_disconnect(self, connection: "ClientConnection") -> None:
        """Hear that a connection's transport is gone."""
        ...


class ClientConnection(asyncio.StreamReaderProtocol):
    """Serves the requests of one client in order, once it has one of the host's slots.

    Args:
        host: the server that accepted it.
    """

    def __init__(self, host: ConnectionHost) -> None:
        # The protocol itself holds its reader by a weak reference only.
        self.reader = asyncio.StreamReader(limit=MAX_MESSAGE_BYTES)
        super().__init__(self.reader)
        self.host = host
        # An event stream whose client is there, as far as can be known.
        self._is_streaming = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a place."""
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        stream = cast("asyncio.WriteTransport", transport)
        self.writer = asyncio.StreamWriter(stream, self, self.reader, loop)
        self.task = loop.create_task(self._serve())
        self.host.on_connect(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the transport as gone; the handler goes on until it reads or writes."""
        super().connection_lost(exc)
        self._end_stream()
        self.host.on_disconnect(self)

    def abort(self) -> None:
        """Lose the transport at once, with whatever it had still to write, and end the handler."""
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
            logger.debug("a client is gone: %s", exc)
        finally:
            self.writer.close()

    async def _read_line(self) -> bytes:
        """Read one line; an empty value says that no more will come."""
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
        """Give what the answer is now, before any delay, as a slow conductor would send it."""
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
            logger.exception("%s could not be answered", request.method)
            return RpcErrorResult(rpc_messages.INTERNAL_ERROR, "Internal error")

    async def _stream_events(self) -> None:
        """Write events for as long as the transport lives. Never reads."""
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
    """Give the refusal of a method that this conductor does not have."""
    code = rpc_messages.METHOD_NOT_FOUND
    return RpcErrorResult(code, f"Method not found: {method}", {"method": method})
