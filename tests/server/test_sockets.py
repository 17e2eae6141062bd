"""Tests of the options of listening sockets."""

import contextlib
import socket

import pytest

from marianne_stream.server.sockets import open_tcp_socket, set_stream_socket_options


@pytest.mark.skipif(
    not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system has no such option"
)
def test_connections_inherit_stream_socket_options() -> None:
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(open_tcp_socket("127.0.0.1", 0))
        stack.enter_context(socket.create_connection(listening.getsockname()))
        accepted = stack.enter_context(listening.accept()[0])
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 16 * 1024
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


def test_stream_options_are_not_set_on_unix_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        set_stream_socket_options(sock)
