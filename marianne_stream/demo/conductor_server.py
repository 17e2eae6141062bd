"""The socket of a simulated conductor: who is connected, who is served, and how it stops.

It knows connections and events as lines. It must not know jobs: a subclass answers the methods.
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
    """Listens on a Unix socket, and serves a few connections at once.

    Args:
        socket_path: where to listen; a stale socket file there is replaced, a live one is not.
        max_connections: how many connections are served at once; further ones connect and wait.
        max_queued_events: how many events each subscription holds; the newest is dropped silently.
        shutdown_grace_s: seconds that stopping takes, even with nobody connected.
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

        # Which file is ours to unlink: another conductor may have put its own there since.
        self._socket_identity: tuple[int, int] | None = None

    @property
    def response_delay_s(self) -> dict[str, float]:
        """Seconds to wait before an answer is written, by method."""
        return self.faults.response_delay_s

    @property
    def unanswered(self) -> set[str]:
        """Methods that are never answered."""
        return self.faults.unanswered

    @property
    def unknown_methods(self) -> set[str]:
        """Methods that are refused as an older conductor refuses them."""
        return self.faults.unknown_methods

    @property
    def raw_responses(self) -> dict[str, bytes]:
        """Bytes to write in place of an answer's line, by method."""
        return self.faults.raw_responses

    @property
    def close_after(self) -> set[str]:
        """Methods after whose answer the connection is closed."""
        return self.faults.close_after

    @property
    def free_slots(self) -> int:
        """How many further connections would be served now."""
        return self.max_connections - self.statistics.slots_taken

    @property
    def is_listening(self) -> bool:
        """Whether new connections are accepted."""
        return self._listener is not None

    @abstractmethod
    def answer(self, method: str, params: dict[str, object]) -> object:
        """Give a result that can be written as JSON, or a refusal."""

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the path cannot be bound, or somebody else listens there.
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
        """Stop as one that was asked to: wait until every connection has gone, for ever if need be.

        New connections are refused from the first moment; open ones are still answered. The wait
        has no time limit because the real conductor's has none. Cancelling it is safe: the
        conductor stays as it is, and can be stopped again or killed.
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
        """Go as a crashed process goes: all connections lost at once, the socket file left."""
        self._socket_identity = None
        self._stop_listening()
        await self.disconnect_all()

    async def disconnect_all(self) -> None:
        """Lose every open connection at once, and go on listening if the conductor does."""
        for connection in list(self._connections):
            connection.abort()
        await self._wait_disconnected()

    def send_event(self, line: bytes) -> None:
        """Put one line into the queue of every subscription that has room for it."""
        for events in self._subscriptions:
            try:
                events.put_nowait(line)
            except asyncio.QueueFull:
                self.statistics.events_dropped += 1

    @contextmanager
    def subscribe(self) -> Iterator[asyncio.Queue[bytes]]:
        """Give a queue that events arrive in for as long as the context lasts."""
        events: asyncio.Queue[bytes] = asyncio.Queue(self._max_queued_events)
        self._subscriptions.add(events)
        try:
            yield events
        finally:
            self._subscriptions.discard(events)

    def on_connect(self, connection: ClientConnection) -> None:
        """Hear that a connection was accepted."""
        self._connections.add(connection)
        self._handlers.add(connection.task)
        connection.task.add_done_callback(self._handlers.discard)
        self._all_disconnected.clear()
        self.statistics.count_connect()

    def on_disconnect(self, connection: ClientConnection) -> None:
        """Hear that a connection's transport is gone."""
        self._connections.discard(connection)
        self.statistics.count_disconnect()
        if not self._connections:
            self._all_disconnected.set()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _wait_disconnected(self) -> None:
        """Wait for all transports, then cancel the handlers that are left, as the real one does."""
        # The server's own wait_closed waits for connections on some versions of Python only.
        await self._all_disconnected.wait()
        for handler in self._handlers:
            handler.cancel()
        if self._handlers:
            await asyncio.wait(self._handlers)


def bind_socket(path: Path) -> socket.socket:
    """Give a listening socket's beginnings at a path, whose stale socket file is removed first.

    Raises:
        OSError: the path cannot be bound, or somebody listens there.
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
    """Remove a socket file at which nobody listens; leave every other kind of file alone.

    Raises:
        OSError: somebody listens there.
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
                # A full backlog: somebody listens, and is slow.
                pass
        raise OSError(errno.EADDRINUSE, "another conductor listens there", os.fspath(path))


def file_identity(path: Path) -> tuple[int, int] | None:
    """Tell a file from another that bears its name later: device and inode, None without a file."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
