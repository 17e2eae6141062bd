"""Readers of the monitor's socket: one that lets the conductor stop, and a plain one.

A conductor that is asked to stop waits for a monitor stream even after its reader has closed it.
If a Unix socket is closed while a byte from the peer is unread in it, the peer's next read fails
with ECONNRESET and the peer stops waiting. So the newest byte is peeked and left in the socket
until the next one comes (docs/explanation/conductor.md, point 5).
"""

import asyncio
import logging
import select
import socket
from abc import ABC, abstractmethod

logger = logging.getLogger(__name__)

# Limit of one read: some 400 events, which take about 4 ms.
MAX_READ_BYTES = 64 * 1024


class SocketReader(ABC):
    """Base of the readers of a connected, non-blocking socket. The reader owns the socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._is_eof = False
        self._waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """Return the bytes since the last call; b"" after either side has closed.

        Cancelling is safe: no bytes are lost.
        """
        while True:
            # Read the flag first: data that arrived before the peer closed comes before the end.
            ended = self._is_eof
            if data := self._read_available():
                return data
            if ended:
                return b""
            if not self._is_eof:
                self._waiter = self._loop.create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None

    def close(self) -> None:
        """Close the socket; a read in progress returns b""."""
        self._is_eof = True
        self._sock.close()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _read_available(self) -> bytes:
        """Return the available bytes, or b""; set `_is_eof` if no more can come."""
        try:
            return self._receive()
        except BlockingIOError:
            pass
        except OSError:
            self._is_eof = True
        return b""

    @abstractmethod
    def _receive(self) -> bytes:
        """Return the available bytes; raise the socket's exception if there are none."""


class HeldByteReader(SocketReader):
    """Reads all bytes, but leaves the newest in the kernel until the next one comes.

    The caller gets that byte like all others. A level-triggered loop would spin on it, so an epoll
    of its own watches the socket edge-triggered, and the event loop watches the epoll descriptor.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._held_bytes = 0
        self._epoll = select.epoll()
        self._epoll.register(sock, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
        self._loop.add_reader(self._epoll.fileno(), self._on_epoll_ready)

    def close(self) -> None:
        """Close the socket and its epoll."""
        if not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
        super().close()

    def _receive(self) -> bytes:
        seen = self._sock.recv(MAX_READ_BYTES, socket.MSG_PEEK)
        new = seen[self._held_bytes :]
        if new:
            self._sock.recv(len(seen) - 1)
            self._held_bytes = 1
        elif not seen:
            self._is_eof = True
        return new

    def _on_epoll_ready(self) -> None:
        for _, events in self._epoll.poll(0):
            if events & (select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
                self._is_eof = True
        self._wake()


class PlainReader(SocketReader):
    """Reads a socket on systems without edge-triggered epoll."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._is_registered = False

    def close(self) -> None:
        """Close the socket."""
        self._unregister()
        super().close()

    def _receive(self) -> bytes:
        try:
            data = self._sock.recv(MAX_READ_BYTES)
        except BlockingIOError:
            self._is_registered = True
            self._loop.add_reader(self._sock.fileno(), self._on_readable)
            raise
        self._is_eof = not data
        return data

    def _on_readable(self) -> None:
        # Level-triggered: watched only while a read waits.
        self._unregister()
        self._wake()

    def _unregister(self) -> None:
        if self._is_registered:
            self._is_registered = False
            self._loop.remove_reader(self._sock.fileno())


def make_socket_reader(sock: socket.socket) -> SocketReader:
    """Return the best reader of this system; it owns the socket."""
    if hasattr(select, "epoll"):
        return HeldByteReader(sock)
    logger.warning("epoll missing effect='the conductor may stop only after this server'")
    return PlainReader(sock)
