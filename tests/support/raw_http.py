"""Client that sends arbitrary bytes."""

import contextlib
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

# Limits for a response that must come, and for one that may come.
TIMEOUT_S = 10.0
QUIET_TIMEOUT_S = 0.02


def open_connection(address: str) -> socket.socket:
    """Connect to a server."""
    where = urlsplit(address)
    return socket.create_connection((where.hostname, where.port), timeout=TIMEOUT_S)


def exchange(address: str, pieces: Iterable[bytes]) -> bytes:
    """Send bytes, shut down the sending side, and return the response.

    Raises:
        TimeoutError: the server does not close the connection.
    """
    with open_connection(address) as sock:
        # The server may close before all pieces are sent.
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                sock.sendall(piece)
        heard = receive(sock, quiet_s=QUIET_TIMEOUT_S)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        return heard + receive(sock)


def exchange_last(address: str, request: bytes) -> bytes:
    """Send the only request of a connection, after which the server closes it; return the response.

    Raises:
        TimeoutError: the server does not close the connection.
    """
    with open_connection(address) as sock:
        sock.sendall(request)
        return receive(sock)


def receive(sock: socket.socket, *, quiet_s: float | None = None) -> bytes:
    """Read until the connection ends, or until nothing comes for `quiet_s` seconds.

    Raises:
        TimeoutError: neither happens within the limit.
    """
    heard = b""
    sock.settimeout(quiet_s or TIMEOUT_S)
    try:
        while data := sock.recv(65536):
            heard += data
    except ConnectionError:
        pass
    except TimeoutError:
        if quiet_s is None:
            raise
    return heard
