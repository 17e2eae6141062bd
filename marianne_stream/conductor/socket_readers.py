"""Two ways to read the monitor's socket: one that lets the conductor stop, and a plain one.

A conductor that is asked to stop waits for a monitor stream even after its reader has closed it.
When a Unix socket is closed while a byte that the peer sent lies unread in it, the peer's next look
fails with ECONNRESET and it lets go at once; so the newest byte is looked at, and left where it is,
until the next one comes (docs/explanation/conductor.md, point 5). This module must not know what
the bytes mean.
"""

import asyncio
import logging
import select
import socket
from abc import ABC, abstractmethod

logger = logging.getLogger(__name__)

# The most that is read in one turn of the loop: some 400 events, which take about 4 ms.
MAX_READ_BYTES = 64 * 1024


class SocketReader(ABC):
    """Gives what arrives on a connected, non-blocking socket, which it owns, as it arrives."""

    def __init__(self, sock: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._is_eof = False
        self._waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """The bytes that have come since the last call; b"" once the peer or we have hung up.

        Cancelling is safe: nothing is taken that is not returned.
        """
        while True:
            # The flag first: what arrived before the peer hung up is taken before its end is told.
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
        """Closes the socket; a read in progress returns b""."""
        self._is_eof = True
        self._sock.close()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _read_available(self) -> bytes:
        """What there is to read now, or b""; sets `_ended` where nothing more can come."""
        try:
            return self._receive()
        except BlockingIOError:
            pass
        except OSError:
            self._is_eof = True
        return b""

    @abstractmethod
    def _receive(self) -> bytes:
        """As `_read_available`; raises what the socket raises."""


class HeldByteReader(SocketReader):
    """Reads a socket, but for its newest byte, which stays in the kernel until the next comes.

    The byte is given to the caller like all others. A level-triggered loop would spin on it, so the
    socket is watched edge-triggered by an epoll of its own, whose descriptor the event loop
    watches.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._held_bytes = 0
        self._epoll = select.epoll()
        self._epoll.register(sock, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
        self._loop.add_reader(self._epoll.fileno(), self._on_epoll_ready)

    def close(self) -> None:
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
    """Reads a socket whole, where edge-triggered epoll is missing."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._is_registered = False

    def close(self) -> None:
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
        # Level-triggered: watched only while somebody waits.
        self._unregister()
        self._wake()

    def _unregister(self) -> None:
        if self._is_registered:
            self._is_registered = False
            self._loop.remove_reader(self._sock.fileno())


def make_socket_reader(sock: socket.socket) -> SocketReader:
    """The best reader that this system has for a connected, non-blocking socket; it owns it."""
    if hasattr(select, "epoll"):
        return HeldByteReader(sock)
    logger.warning(
        "no epoll on this system: a conductor that is asked to stop may wait until we end"
    )
    return PlainReader(sock)
