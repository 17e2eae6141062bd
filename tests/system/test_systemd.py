"""The server under systemd: socket activation and notifications."""

import contextlib
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.processes import run_process
from tests.support.server_restart import make_server_options, restart_server, run_activated_server
from tests.support.waiting import wait_until


@pytest.fixture
def loopback() -> Iterator[socket.socket]:
    """Open a listening socket before any server runs."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as sock:
        yield sock


@pytest.mark.skipif(
    not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system has no such option"
)
async def test_passed_socket_gets_the_options_for_streams(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as loopback:
        async with run_activated_server(loopback, tmp_path, "--no-auth"):
            pass
        assert loopback.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 16 * 1024


async def test_restart_under_streams_loses_no_viewer_and_no_line(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    """Streams end spread over the drain; each viewer returns after its delay and resumes."""
    outcome = await restart_server(
        tmp_path, conductor, viewer_count=200, drain_s=1.0, line_interval_s=0.02
    )
    assert outcome.exit_code == 0
    assert "ERROR" not in outcome.log
    ends = [watcher.disconnected_at for watcher in outcome.viewers]
    assert max(ends) - min(ends) > 0.4
    assert outcome.errors == []


async def test_systemd_gets_readiness_status_watchdog_and_stop(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        told.settimeout(0)
        heard = ""

        def hear(word: str) -> bool:
            nonlocal heard
            with contextlib.suppress(BlockingIOError):
                while True:
                    heard += told.recv(4096).decode() + "\n"
            return word in heard

        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        options = ("--port", 0, "--no-auth")
        arguments = ("-m", "marianne_stream", *make_server_options(tmp_path), *options)
        async with run_process(*arguments, pass_fds=(), **environment) as running:
            await wait_until(lambda: hear("READY=1"))
            await wait_until(
                lambda: hear("STATUS=0 streams open") and heard.count("WATCHDOG=1") > 2
            )
            running.send_signal(signal.SIGHUP)
            await wait_until(lambda: hear("RELOADING=1") and heard.count("READY=1") == 2)
            assert re.search(r"RELOADING=1\nMONOTONIC_USEC=\d+", heard)
            running.send_signal(signal.SIGTERM)
            await wait_until(lambda: hear("STOPPING=1"))
            assert await running.wait() == 0


async def test_full_notify_queue_delays_ready_until_there_is_room(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other,
    ):
        told.bind(str(tmp_path / "notify"))
        told.settimeout(0)
        other.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                other.sendto(b"from another", str(tmp_path / "notify"))
        heard: list[bytes] = []

        def hear(word: bytes) -> bool:
            with contextlib.suppress(BlockingIOError):
                while True:
                    heard.append(told.recv(4096))
            return word in heard

        options = ("--port", 0, "--no-auth")
        arguments = ("-m", "marianne_stream", *make_server_options(tmp_path), *options)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        async with run_process(*arguments, pass_fds=(), **environment) as running:
            # The server is ready once it answers; only then the queue gets room.
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{running.address}/health") as response,
            ):
                assert response.status == 200
            await wait_until(lambda: hear(b"READY=1"))
            assert heard.count(b"READY=1") == 1
            running.send_signal(signal.SIGTERM)
            await wait_until(lambda: hear(b"STOPPING=1"))
            assert await running.wait() == 0


@pytest.mark.parametrize("kind", ["datagrams", "connected", "bound"])
async def test_passed_socket_that_does_not_listen_is_refused(tmp_path: Path, kind: str) -> None:
    with contextlib.ExitStack() as stack:
        if kind == "connected":
            sock, other = socket.socketpair()
            stack.enter_context(other)
        else:
            family = socket.SOCK_DGRAM if kind == "datagrams" else socket.SOCK_STREAM
            sock = socket.socket(socket.AF_INET, family)
            sock.bind(("127.0.0.1", 0))
        stack.enter_context(sock)
        async with run_activated_server(sock, tmp_path, "--no-auth") as running:
            assert await running.wait() == 1
    assert "must be a stream socket that listens" in running.log
    assert "Traceback" not in running.log
