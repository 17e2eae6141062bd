"""Where the server listens: a TCP port, a Unix socket, or what systemd listens on for it."""

import contextlib
import ipaddress
import os
import socket
import stat
from collections.abc import Iterable
from pathlib import Path

from marianne_stream.errors import MarianneStreamError, SettingsError

# A burst of connections finds room: aiohttp's own 128 makes them wait for a second.
BACKLOG = 4096

# In the environment of a worker: the descriptor of its socket.
WORKER_SOCKET_ENV = "MARIANNE_STREAM_WORKER_SOCKET"

# What the kernel takes of a connection before it has room to send it (tcp(7)). Left to itself it
# takes megabytes, and takes more only when a large part of them has left: from here, a client that
# reads slowly would look like one that does not read.
NOTSENT_LOWAT_BYTES = 16 * 1024

# After so long, the kernel gives a connection up whose other end is gone, or has no room (tcp(7)).
TCP_USER_TIMEOUT_MS = 60_000


class ListenError(MarianneStreamError):
    """The address cannot be listened on."""


def open_tcp_socket(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """A socket that is bound to an address.

    Args:
        host: the address, or a name of it.
        port: the port; 0 picks a free one.
        reuse_port: whether others of the same user may listen there, too (SO_REUSEPORT, socket(7)).

    Raises:
        ListenError: that cannot be done; the message says why.
    """
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.create_server(
            where[:2], family=family, backlog=BACKLOG, reuse_port=reuse_port
        )
    except socket.gaierror as error:
        raise ListenError(f"cannot listen on {host} port {port}: {error.strerror}") from error
    except UnicodeError as error:
        raise ListenError(f"cannot listen on {host} port {port}: no host has that name") from error
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise ListenError(f"cannot listen on {host} port {port}: {why}") from error
    set_stream_socket_options(sock)
    return sock


def open_worker_socket() -> socket.socket | None:
    """The socket that a worker is given by the process that has started it; None in any other."""
    descriptor = os.environ.pop(WORKER_SOCKET_ENV, "")
    return socket.socket(fileno=int(descriptor)) if descriptor.isdecimal() else None


def is_worker() -> bool:
    """Whether this process is one of several that another one has started."""
    return WORKER_SOCKET_ENV in os.environ


def set_stream_socket_options(sock: socket.socket) -> None:
    """Has the connections of a listening TCP socket, which inherit it, tell how they are.

    Nothing is done to a Unix socket, whose other end is this machine's, or where the system does
    not know the options.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)


def open_unix_socket(path: Path, mode: int) -> socket.socket:
    """A socket that is bound to a path, in the place of one that nobody listens on any more.

    Args:
        path: where.
        mode: the permissions of its file; who may write to it may connect (unix(7)).

    Raises:
        ListenError: that cannot be done; the message says why.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        remove_stale_socket(path)
        # Nobody gets in before the mode is what it is to be.
        before = os.umask(0o177)
        try:
            sock.bind(str(path))
        finally:
            os.umask(before)
        path.chmod(mode)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        why = os.strerror(error.errno) if error.errno else str(error)
        raise ListenError(f"cannot listen on {path}: {why}") from error
    except ListenError:
        sock.close()
        raise
    return sock


def remove_stale_socket(path: Path) -> None:
    """Removes the socket that a process left behind.

    Raises:
        ListenError: something else lies there, or somebody listens on it.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ListenError(f"cannot listen on {path}: something that is no socket lies there")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise ListenError(f"cannot listen on {path}: another process does")


def unlink_if_ours(path: Path, inode: int) -> None:
    """Removes the file of a Unix socket of ours, unless it is another's by now.

    Args:
        path: the file.
        inode: the inode that it had.
    """
    with contextlib.suppress(OSError):
        if path.lstat().st_ino == inode:
            path.unlink()


def require_listening(sock: socket.socket) -> None:
    """Raises ListenError where a socket that was passed is none that listens for streams."""
    if sock.type != socket.SOCK_STREAM or not sock.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    ):
        raise ListenError(
            f"descriptor {sock.fileno()}, which systemd passes, must be a stream socket that "
            "listens: its unit needs ListenStream= and no Accept="
        )


def require_loopback(sockets: Iterable[socket.socket]) -> None:
    """Raises SettingsError where others than this machine could come in without a token."""
    for sock in sockets:
        if sock.family == socket.AF_UNIX:
            continue
        host = sock.getsockname()[0]
        if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
            raise SettingsError(
                f"insecure asks nobody for a token, and {host} can be reached from other machines: "
                "leave insecure out, or listen on 127.0.0.1 or a Unix socket"
            )


def format_socket_address(sock: socket.socket) -> str:
    """What to type into a browser; or the path of a Unix socket."""
    if sock.family == socket.AF_UNIX:
        return f"unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
