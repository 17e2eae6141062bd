"""Tests of the options of listening sockets."""

import contextlib
import socket
from typing import Any

import pytest

from marianne_stream.errors import SettingsError
from marianne_stream.server.sockets import ListenError, open_tcp_sockets, set_stream_socket_options
from tests.support.external import require_ipv6

# Addresses that no other process uses: a port that is free at one is free at the others.
FIRST, SECOND, THIRD = "127.22.0.1", "127.22.0.2", "127.22.0.3"


def open_sockets(stack: contextlib.ExitStack, *hosts: str, port: int = 0) -> list[socket.socket]:
    """Listen on addresses until the stack is closed."""
    return [stack.enter_context(sock) for sock in open_tcp_sockets(hosts, port)]


def can_connect(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port)).close()
    except ConnectionRefusedError:
        return False
    return True


def test_all_addresses_get_the_port_that_the_first_picks() -> None:
    require_ipv6()
    with contextlib.ExitStack() as stack:
        sockets = open_sockets(stack, FIRST, "::1", SECOND)
        assert [sock.getsockname()[0] for sock in sockets] == [FIRST, "::1", SECOND]
        (port,) = {sock.getsockname()[1] for sock in sockets}
        assert all(can_connect(host, port) for host in (FIRST, "::1", SECOND))
        assert not can_connect(THIRD, port)


@pytest.mark.parametrize(
    ("hosts", "reached"),
    [
        (("::",), {FIRST, SECOND, "::1"}),
        (("::", "0.0.0.0"), {FIRST, SECOND, "::1"}),
        (("::", SECOND), {SECOND, "::1"}),
        (("0.0.0.0", "::1"), {FIRST, SECOND, "::1"}),
    ],
)
def test_all_addresses_of_ipv6_are_those_of_ipv4_unless_one_is_given(
    hosts: tuple[str, ...], reached: set[str]
) -> None:
    require_ipv6()
    with contextlib.ExitStack() as stack:
        port = open_sockets(stack, *hosts)[0].getsockname()[1]
        assert {host for host in (FIRST, SECOND, "::1") if can_connect(host, port)} == reached


def test_address_is_opened_once_whatever_its_names() -> None:
    with contextlib.ExitStack() as stack:
        assert len(open_sockets(stack, "127.0.0.1", "127.1", "127.0.0.1")) == 1


def test_port_in_use_at_one_address_closes_the_others() -> None:
    with contextlib.ExitStack() as stack:
        port = open_sockets(stack, SECOND)[0].getsockname()[1]
        with pytest.raises(ListenError) as caught:
            open_sockets(stack, FIRST, SECOND, port=port)
        reason = "Address already in use"
        assert str(caught.value) == f"cannot listen on {SECOND} port {port}: {reason}"
        assert not can_connect(FIRST, port)


def test_free_port_that_is_in_use_at_another_address_is_picked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create_server = socket.create_server
    with contextlib.ExitStack() as stack:

        def create_first(address: tuple[str, int], **options: Any) -> socket.socket:
            """Listen, and let another program take the port at the second address."""
            monkeypatch.undo()
            sock = create_server(address, **options)
            stack.enter_context(create_server((SECOND, sock.getsockname()[1])))
            return sock

        monkeypatch.setattr(socket, "create_server", create_first)
        first, second = open_sockets(stack, FIRST, SECOND)
        assert first.getsockname()[1] == second.getsockname()[1]
        assert socket.create_server is create_server


@pytest.mark.parametrize("reuse_port", [False, True])
@pytest.mark.parametrize(
    ("hosts", "sentence"),
    [
        (("::", "::1"), "host has ::, which includes ::1: leave out one of them"),
        ((FIRST, "0.0.0.0"), f"host has 0.0.0.0, which includes {FIRST}: leave out one of them"),
    ],
)
def test_address_that_includes_another_one_is_refused(
    hosts: tuple[str, ...], sentence: str, *, reuse_port: bool
) -> None:
    require_ipv6()
    with pytest.raises(SettingsError) as caught:
        open_tcp_sockets(hosts, 0, reuse_port=reuse_port)
    assert str(caught.value) == sentence


@pytest.mark.skipif(
    not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system has no such option"
)
def test_connections_inherit_stream_socket_options() -> None:
    with contextlib.ExitStack() as stack:
        (listening,) = open_sockets(stack, "127.0.0.1")
        stack.enter_context(socket.create_connection(listening.getsockname()))
        accepted = stack.enter_context(listening.accept()[0])
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 16 * 1024
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


def test_stream_options_are_not_set_on_unix_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        set_stream_socket_options(sock)
