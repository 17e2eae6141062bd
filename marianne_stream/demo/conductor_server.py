"""Socket server of a simulated conductor: connections, subscriptions, and stopping.

A subclass answers the methods.
"""

import asyncio
import errno
import os
import socket
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from marianne_stream.demo.client_connection import ClientConnection, FaultInjection
from marianne_stream.demo.server_statistics import ServerStatistics

SOCKET_MODE = 0o660


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
        self._stop_listening()
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
        self._stop_listening()
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
        self.statistics.count_connect()

    def on_disconnect(self, connection: ClientConnection) -> None:
        """Record a lost transport."""
        self._connections.discard(connection)
        self.statistics.count_disconnect()
        if not self._connections:
            self._all_disconnected.set()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

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
