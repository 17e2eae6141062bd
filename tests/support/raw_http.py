"""A client that sends any bytes whatever, and reads what is answered."""

import contextlib
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

# How long an answer may take that has to come; and how long is waited for one that need not.
TIMEOUT_S = 10.0
QUIET_TIMEOUT_S = 0.02


def open_connection(address: str) -> socket.socket:
    """A connection to a server."""
    where = urlsplit(address)
    return socket.create_connection((where.hostname, where.port), timeout=TIMEOUT_S)


def exchange(address: str, pieces: Iterable[bytes]) -> bytes:
    """What a server says to some bytes, whose sender says at last that there are no more.

    Raises:
        TimeoutError: the server does not end the connection.
    """
    with open_connection(address) as sock:
        # Who has heard enough ends the connection before all was said.
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                sock.sendall(piece)
        heard = receive(sock, quiet_s=QUIET_TIMEOUT_S)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        return heard + receive(sock)


def receive(sock: socket.socket, *, quiet_s: float | None = None) -> bytes:
    """What comes until the connection ends, or until nothing comes for so long.

    Raises:
        TimeoutError: neither is the case, within the limit.
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
