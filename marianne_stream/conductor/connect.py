"""The conductor's Unix socket: connecting to it, and saying in words why that failed.

It must not know what is said on the connection.
"""

import asyncio
import errno
import socket
import stat
from pathlib import Path

from marianne_stream.errors import ConductorUnavailableError, ConductorUnreachableError

# Connecting to a Unix socket takes microseconds, unless nobody accepts and the backlog is full.
CONNECT_TIMEOUT_S = 2.0


async def connect(path: Path) -> socket.socket:
    """A connected, non-blocking socket. Cancelling is safe.

    Raises:
        ConductorAwayError: nobody listens there.
        ConductorUnavailableError: we may not, it is too busy, or we have no descriptor left.
    """
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError as error:
        raise ConductorUnavailableError(f"cannot make a socket: {error.strerror}") from error
    sock.settimeout(0)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await asyncio.get_running_loop().sock_connect(sock, str(path))
        # A full backlog looks like a connection in progress to asyncio, and like no peer here.
        sock.getpeername()
    except TimeoutError as error:
        sock.close()
        raise ConductorUnavailableError(
            f"{path} did not accept within {CONNECT_TIMEOUT_S:g} s"
        ) from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        sock.close()
        raise ConductorUnreachableError(describe_connect_error(path, error)) from error
    except OSError as error:
        sock.close()
        raise ConductorUnavailableError(describe_connect_error(path, error)) from error
    except BaseException:
        sock.close()
        raise
    return sock


def describe_connect_error(path: Path, error: OSError) -> str:
    """Why a connection could not be made, in one sentence for the log."""
    if isinstance(error, FileNotFoundError):
        return f"there is no socket at {path}"
    if error.errno == errno.ENOTCONN:
        return f"{path} has no room for another connection now"
    if isinstance(error, PermissionError):
        return f"no permission to connect to {path}: the conductor's user or group may"
    if isinstance(error, ConnectionRefusedError):
        return f"{path} {describe_path(path)}"
    return f"cannot connect to {path}: {error.strerror or error}"


def describe_path(path: Path) -> str:
    """What refuses a connection at a path."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return "is gone"
    if stat.S_ISDIR(mode):
        return "is a directory, not a socket"
    if not stat.S_ISSOCK(mode):
        return "is a file, not a socket"
    return "is a socket that nobody listens at"
