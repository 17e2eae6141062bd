"""Connecting to the conductor's Unix socket, with readable errors."""

import asyncio
import errno
import socket
import stat
from contextlib import ExitStack
from pathlib import Path

from marianne_stream.errors import ConductorUnavailableError, ConductorUnreachableError

# Connecting to a Unix socket takes microseconds, unless nobody accepts and the backlog is full.
CONNECT_TIMEOUT_S = 2.0


async def connect(path: Path) -> socket.socket:
    """Return a connected, non-blocking socket. Cancelling is safe.

    Raises:
        ConductorUnreachableError: no process listens there.
        ConductorUnavailableError: no permission, a full backlog, or no free file descriptor.
    """
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError as error:
        raise ConductorUnavailableError(f"cannot make a socket: {error.strerror}") from error
    sock.settimeout(0)
    with ExitStack() as close_on_error:
        close_on_error.enter_context(sock)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await asyncio.get_running_loop().sock_connect(sock, str(path))
            # A full backlog looks like a connection in progress to asyncio, and like no peer here.
            sock.getpeername()
        except TimeoutError as error:
            raise ConductorUnavailableError(
                f"{path} did not accept within {CONNECT_TIMEOUT_S:g} s"
            ) from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise ConductorUnreachableError(describe_connect_error(path, error)) from error
        except OSError as error:
            raise ConductorUnavailableError(describe_connect_error(path, error)) from error
        close_on_error.pop_all()
    return sock


def describe_connect_error(path: Path, error: OSError) -> str:
    """Describe a failed connection in one clause, for the log."""
    if isinstance(error, FileNotFoundError):
        return f"there is no socket at {path}"
    if error.errno == errno.ENOTCONN:
        return f"{path} has no room for another connection: its backlog is full"
    if isinstance(error, PermissionError):
        return (
            f"no permission to connect to {path}: run the server as the conductor's user or group"
        )
    if isinstance(error, ConnectionRefusedError):
        return f"{path} {describe_path(path)}"
    return f"cannot connect to {path}: {error.strerror or error}"


def describe_path(path: Path) -> str:
    """Describe the file that refused a connection."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return "is gone"
    if stat.S_ISDIR(mode):
        return "is a directory, not a socket"
    if not stat.S_ISSOCK(mode):
        return "is a file, not a socket"
    return "is a socket without a listening process"
