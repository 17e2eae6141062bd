"""What a listening socket hands on to the connections that it accepts."""

import contextlib
import socket

import pytest

from marianne_stream.server.sockets import open_tcp_socket, set_stream_socket_options


@pytest.mark.skipif(
    not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system has no such option"
)
def test_connections_inherit_how_much_waits_in_the_kernel_and_when_it_gives_up() -> None:
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(open_tcp_socket("127.0.0.1", 0))
        stack.enter_context(socket.create_connection(listening.getsockname()))
        accepted = stack.enter_context(listening.accept()[0])
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 16 * 1024
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


def test_a_unix_socket_is_left_as_it_is() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        set_stream_socket_options(sock)
