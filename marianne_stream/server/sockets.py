"""Listening sockets: a TCP port of each address, a Unix socket, or a worker's sockets."""

import contextlib
import ipaddress
import os
import socket
import stat
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from marianne_stream.errors import MarianneStreamError, SettingsError

# Room for a burst of connections: with aiohttp's default of 128, some wait for a second.
BACKLOG = 4096

# A free port that the system picks at one address may be in use at another one.
PORT_ATTEMPTS = 5

# Environment variable of a worker: the file descriptors of its sockets.
WORKER_SOCKETS_ENV = "MARIANNE_STREAM_WORKER_SOCKETS"

# Unsent bytes that the kernel buffers for a connection (tcp(7)). By default it buffers megabytes,
# and accepts more only after a large part was sent: a slow client would look like a stalled one.
NOTSENT_LOWAT_BYTES = 16 * 1024

# Time after which the kernel drops a connection whose peer acknowledges nothing (tcp(7)).
TCP_USER_TIMEOUT_MS = 60_000

# Family and address of a socket (getaddrinfo(3)).
SocketAddress = tuple[int, tuple[Any, ...]]


class ListenError(MarianneStreamError):
    """The server cannot listen on the address."""


def open_tcp_sockets(
    hosts: Iterable[str], port: int, *, reuse_port: bool = False
) -> list[socket.socket]:
    """Open sockets that listen on one TCP port of each address; 0 picks a free one.

    A host name stands for its first address. `::` accepts IPv4 as well if the system can
    (IPV6_V6ONLY, ipv6(7)), unless an IPv4 address is given, too: its port would be in use.
    `reuse_port` allows other sockets of the same user on the port (SO_REUSEPORT, socket(7)).

    Raises:
        ListenError: an address is invalid or in use.
        SettingsError: an address includes another one.
    """
    # Two names may stand for one address.
    hosts_by_address = {resolve_host(host, port): host for host in hosts}
    require_separate(hosts_by_address)
    open_all = partial(open_at_one_port, hosts_by_address, port, reuse_port=reuse_port)
    if port == 0:
        for _ in range(PORT_ATTEMPTS - 1):
            with contextlib.suppress(ListenError):
                return open_all()
    return open_all()


def open_at_one_port(
    hosts_by_address: Mapping[SocketAddress, str], port: int, *, reuse_port: bool
) -> list[socket.socket]:
    """Open sockets as open_tcp_sockets does; the first one picks the port if it is 0."""
    families = {family for family, _ in hosts_by_address}
    options: dict[str, Any] = {
        "backlog": BACKLOG,
        "reuse_port": reuse_port,
        "dualstack_ipv6": families == {socket.AF_INET6} and socket.has_dualstack_ipv6(),
    }
    with contextlib.ExitStack() as stack:
        sockets = []
        for (family, (address, _, *rest)), host in hosts_by_address.items():
            with errors_as_listen_error(f"{host} port {port}"):
                sock = socket.create_server((address, port, *rest), family=family, **options)
            sockets.append(stack.enter_context(sock))
            set_stream_socket_options(sock)
            port = sock.getsockname()[1]
        stack.pop_all()
    return sockets


def require_separate(hosts_by_address: Mapping[SocketAddress, str]) -> None:
    """Raise SettingsError if an address includes another one: the port would be in use twice."""
    for (family, (address, *_)), host in hosts_by_address.items():
        if not ipaddress.ip_address(address).is_unspecified:
            continue
        for (other_family, _), other in hosts_by_address.items():
            if other_family == family and other != host:
                raise SettingsError(
                    f"host has {host}, which includes {other}: leave out one of them"
                )


def resolve_host(host: str, port: int) -> SocketAddress:
    """Return the family and the first address of a host; raise ListenError if it has none."""
    with errors_as_listen_error(f"{host} port {port}"):
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return family, address


@contextlib.contextmanager
def errors_as_listen_error(place: str) -> Iterator[None]:
    """Raise ListenError with the reason why the server cannot listen at a place."""
    try:
        yield
    except socket.gaierror as error:
        raise ListenError(f"cannot listen on {place}: {error.strerror}") from error
    except UnicodeError as error:
        raise ListenError(f"cannot listen on {place}: invalid host name") from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ListenError(f"cannot listen on {place}: {reason}") from error


def open_worker_sockets() -> list[socket.socket]:
    """Return the sockets that a worker inherits; none in another process."""
    descriptors = os.environ.pop(WORKER_SOCKETS_ENV, "")
    return [socket.socket(fileno=int(text)) for text in descriptors.split(",") if text.isdecimal()]


def is_worker() -> bool:
    """Return whether this process is a worker."""
    return WORKER_SOCKETS_ENV in os.environ


def set_stream_socket_options(sock: socket.socket) -> None:
    """Set the options of TCP connections on their listening socket, from which they inherit.

    Unix sockets have no such options, and options that the system does not know are skipped.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)


def open_unix_socket(path: Path, mode: int) -> socket.socket:
    """Open a socket that listens on a path; replaces a socket that no process listens on.

    A client needs write permission by the mode (unix(7)).

    Raises:
        ListenError: the path cannot be used, or is in use.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        remove_stale_socket(path)
        # No client may connect before the mode is set.
        previous_umask = os.umask(0o177)
        try:
            sock.bind(str(path))
        finally:
            os.umask(previous_umask)
        path.chmod(mode)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ListenError(f"cannot listen on {path}: {reason}") from error
    except ListenError:
        sock.close()
        raise
    return sock


def remove_stale_socket(path: Path) -> None:
    """Remove a socket without a process; raise ListenError if the path is anything else."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ListenError(f"cannot listen on {path}: the file there is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise ListenError(f"cannot listen on {path}: another process listens there")


def unlink_if_ours(path: Path, inode: int) -> None:
    """Remove the file of a Unix socket, unless another process has replaced it."""
    with contextlib.suppress(OSError):
        if path.lstat().st_ino == inode:
            path.unlink()


def require_listening(sock: socket.socket) -> None:
    """Raise ListenError if an inherited socket is not a listening stream socket."""
    if sock.type != socket.SOCK_STREAM or not sock.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    ):
        raise ListenError(
            f"descriptor {sock.fileno()}, which systemd passes, must be a stream socket that "
            "listens: its unit needs ListenStream= and no Accept="
        )


def require_loopback(sockets: Iterable[socket.socket]) -> None:
    """Raise SettingsError if other machines could connect without authentication."""
    for sock in sockets:
        if sock.family == socket.AF_UNIX:
            continue
        host = sock.getsockname()[0]
        if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
            raise SettingsError(
                f"no_auth serves without a token, but other machines can reach {host}: leave out "
                "no_auth, or listen on 127.0.0.1 or a Unix socket"
            )


def require_unix(sockets: Iterable[socket.socket]) -> None:
    """Raise SettingsError if no Unix socket is listened on, whose clients could be trusted."""
    if not any(sock.family == socket.AF_UNIX for sock in sockets):
        raise SettingsError(
            "auth_user_header is trusted on a Unix socket only, and there is none: set uds, or "
            "auth_header_secret_file"
        )


def format_socket_address(sock: socket.socket) -> str:
    """Return the URL of a TCP socket, or `unix:` and the path of a Unix socket."""
    if sock.family == socket.AF_UNIX:
        return f"unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
