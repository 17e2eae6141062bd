"""Socket server of a simulated conductor: connections, subscriptions, and stopping.

A subclass answers the methods.

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
import errno
import logging
import os
import socket
import stat
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from marianne_stream.demo import rpc_messages
from marianne_stream.demo.rpc_messages import RpcErrorResult, RpcRequest, method_not_found

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MONITOR_STREAM = "daemon.monitor.stream"
SOCKET_MODE = 0o660

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


@dataclass(slots=True)
class ServerStatistics:
    """Counters of connections, slots, requests and events.

    A connection is open until its transport is lost, also while it waits for a slot or is half
    closed. A slot is taken until its handler has returned, even without a transport.
    """

    connections_open: int = 0
    connections_peak: int = 0
    slots_taken: int = 0
    monitor_streams_open: int = 0
    requests: Counter[str] = field(default_factory=Counter)

    # (monotonic time, method, job_id or ""), in the order of the requests.
    request_log: list[tuple[float, str, str]] = field(default_factory=list)
    events_sent: int = 0
    events_dropped: int = 0


class ClientConnection(asyncio.StreamReaderProtocol):
    """Serves the requests of one client in order, once it has a slot."""

    def __init__(self, host: "ConductorServer") -> None:
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
        if not self.host.is_listening:
            # It was accepted just before the conductor stopped listening.
            self.abort()

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
        self.host.statistics.requests[request.method] += 1
        self.host.statistics.request_log.append((time.monotonic(), request.method, request.job_id))
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


class ConductorServer(ABC):
    """Server on a Unix socket with a limited number of connection slots.

    Args:
        socket_path: path to listen on; a stale socket there is replaced.
        max_connections: number of slots; further connections are accepted and wait.
        max_queued_events: queue size of a subscription; if it is full, new events are dropped.
        shutdown_grace_s: minimum duration of a stop, in seconds.
    """

    def __init__(
        self,
        socket_path: Path,
        *,
        max_connections: int = 5,
        max_queued_events: int = 100,
        shutdown_grace_s: float = 0.5,
    ) -> None:
        self.socket_path = socket_path
        self.faults = FaultInjection()
        self.statistics = ServerStatistics()
        self.slots = asyncio.Semaphore(max_connections)
        self.max_connections = max_connections
        self.is_shutting_down = False
        self._max_queued_events = max_queued_events
        self._shutdown_grace_s = shutdown_grace_s
        self._subscriptions: set[asyncio.Queue[bytes]] = set()
        self._connections: set[ClientConnection] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._all_disconnected = asyncio.Event()
        self._all_disconnected.set()
        self._listener: asyncio.Server | None = None

        # Identity of our socket file: another conductor may have replaced it.
        self._socket_identity: tuple[int, int] | None = None

    @property
    def free_slots(self) -> int:
        """Return the number of free slots."""
        return self.max_connections - self.statistics.slots_taken

    @property
    def is_listening(self) -> bool:
        """Return whether new connections are accepted."""
        return self._listener is not None

    @abstractmethod
    def answer(self, method: str, params: dict[str, object]) -> object:
        """Return a result that can be encoded as JSON, or an error."""

    async def start(self) -> None:
        """Start to listen.

        Raises:
            OSError: the path cannot be bound, or another process listens there.
        """
        if self.is_listening:
            raise RuntimeError(f"the conductor listens at {self.socket_path} already")
        self.is_shutting_down = False
        listener = bind_socket(self.socket_path)
        self._socket_identity = file_identity(self.socket_path)
        loop = asyncio.get_running_loop()
        # Not create_unix_server: from Python 3.13 on it unlinks the file when it closes.
        self._listener = await loop.create_server(lambda: ClientConnection(self), sock=listener)

    async def stop(self) -> None:
        """Stop gracefully: wait, without a time limit, until every connection has gone.

        New connections are refused at once, open ones are still served, as by the real conductor.
        Cancelling is safe: the conductor can then be stopped again, or killed.
        """
        self.is_shutting_down = True
        await self._stop_listening()
        await asyncio.sleep(self._shutdown_grace_s)
        await self._wait_disconnected()
        if self._socket_identity is not None and self._socket_identity == file_identity(
            self.socket_path
        ):
            self.socket_path.unlink(missing_ok=True)
        self._socket_identity = None

    async def kill(self) -> None:
        """Stop as after a crash: all connections are lost, and the socket file stays."""
        self._socket_identity = None
        await self._stop_listening()
        await self.disconnect_all()

    async def disconnect_all(self) -> None:
        """Close all connections at once, without stopping to listen."""
        for connection in list(self._connections):
            connection.abort()
        await self._wait_disconnected()

    def send_event(self, line: bytes) -> None:
        """Add one line to the queue of every subscription that has room for it."""
        for events in self._subscriptions:
            try:
                events.put_nowait(line)
            except asyncio.QueueFull:
                self.statistics.events_dropped += 1

    @contextmanager
    def subscribe(self) -> Iterator[asyncio.Queue[bytes]]:
        """Yield a queue of events inside the context."""
        events: asyncio.Queue[bytes] = asyncio.Queue(self._max_queued_events)
        self._subscriptions.add(events)
        try:
            yield events
        finally:
            self._subscriptions.discard(events)

    def on_connect(self, connection: ClientConnection) -> None:
        """Record an accepted connection."""
        self._connections.add(connection)
        self._handlers.add(connection.task)
        connection.task.add_done_callback(self._handlers.discard)
        self._all_disconnected.clear()
        counts = self.statistics
        counts.connections_open += 1
        counts.connections_peak = max(counts.connections_peak, counts.connections_open)

    def on_disconnect(self, connection: ClientConnection) -> None:
        """Record a lost transport."""
        self._connections.discard(connection)
        self.statistics.connections_open -= 1
        if not self._connections:
            self._all_disconnected.set()

    async def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is None:
            return
        for sock in listener.sockets:
            asyncio.get_running_loop().remove_reader(sock.fileno())
        # A connection that was accepted just now gets its transport, which asyncio would never
        # close if the listener were closed before.
        await asyncio.sleep(0)
        listener.close()

    async def _wait_disconnected(self) -> None:
        """Wait for all transports, then cancel the remaining handlers."""
        # asyncio's wait_closed waits for connections only in some versions of Python.
        await self._all_disconnected.wait()
        for handler in self._handlers:
            handler.cancel()
        if self._handlers:
            await asyncio.wait(self._handlers)


def bind_socket(path: Path) -> socket.socket:
    """Return a socket that is bound to a path; a stale socket file is removed first.

    Raises:
        OSError: the path cannot be bound, or another process listens there.
    """
    remove_stale_file(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.settimeout(0)
        listener.bind(os.fspath(path))
        path.chmod(SOCKET_MODE)
    except OSError:
        listener.close()
        raise
    return listener


def remove_stale_file(path: Path) -> None:
    """Remove a socket file on which no process listens; keep every other kind of file.

    Raises:
        OSError: a process listens there.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(0)
            try:
                probe.connect(os.fspath(path))
            except ConnectionRefusedError:
                path.unlink()
                return
            except BlockingIOError:
                # The backlog is full: a slow process listens.
                pass
        raise OSError(errno.EADDRINUSE, "another conductor listens there", os.fspath(path))


def file_identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a file, or None if it does not exist."""
    try:
        stat_result = path.lstat()
    except FileNotFoundError:
        return None
    return stat_result.st_dev, stat_result.st_ino
