"""The server as a service: signals, sockets that are passed, and what systemd is told."""

import asyncio
import contextlib
import re
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from marianne_stream.demo.conductor import SimulatedConductor
from tests.support.processes import Process, process
from tests.support.viewers import Viewer, watching
from tests.support.waiting import until

VIEWERS = 200

# Passes a socket as systemd does (sd_listen_fds(3)), and becomes the server.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "marianne_stream", *sys.argv[2:]])
"""


def places(folder: Path) -> tuple[object, ...]:
    return (
        "--socket",
        folder / "c.sock",
        "--registry",
        folder / "state.db",
        "--private-dir",
        folder,
    )


@asynccontextmanager
async def activated(
    sock: socket.socket, folder: Path, *options: object, **environment: str
) -> AsyncIterator[Process]:
    """A server that is passed its socket."""
    sock.set_inheritable(inheritable=True)
    script = ("-c", ACTIVATE, sock.fileno(), *places(folder), *options)
    async with process(*script, pass_fds=(sock.fileno(),), **environment) as running:
        yield running


@pytest.fixture
def loopback() -> Iterator[socket.socket]:
    """A socket that listens before any server does."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as sock:
        yield sock


@pytest.mark.skipif(
    not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system has no such option"
)
async def test_a_socket_that_is_passed_is_made_ready_for_streams(
    tmp_path: Path, loopback: socket.socket
) -> None:
    async with activated(loopback, tmp_path, "--insecure"):
        assert loopback.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 16 * 1024


async def test_a_restart_loses_nobody_and_no_line(
    tmp_path: Path, loopback: socket.socket, conductor: SimulatedConductor
) -> None:
    """Streams end spread over the drain; each comes back when it was asked to, and goes on."""
    workspace = tmp_path / "ws"
    workspace.mkdir()
    log = workspace / "marianne.log"
    conductor.launch("a", 1, workspace=str(workspace))
    log.write_text("line 0\n")
    address = f"http://127.0.0.1:{loopback.getsockname()[1]}"
    url = f"{address}/api/jobs/a/logs?tail_lines=1"
    options = ("--insecure", "--drain-s", 1, "--max-streams-per-address", 1000)
    seen: list[list[str]] = [[] for _ in range(VIEWERS)]
    written = 0

    async def write_on() -> None:
        nonlocal written
        while True:
            await asyncio.sleep(0.02)
            written += 1
            with log.open("a") as file:
                file.write(f"line {written}\n")

    def keep(viewer: Viewer, index: int) -> None:
        seen[index] += [data["line"] for data in viewer.data("log")]

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        ended_at: list[float] = []

        async def watch(index: int) -> None:
            async with watching(session, url) as viewer:
                await viewer.end(limit_s=30)
                keep(viewer, index)
            ended_at.append(asyncio.get_running_loop().time())
            assert viewer.retry_ms is not None
            await asyncio.sleep(viewer.retry_ms / 1000)
            async with watching(session, url, last_event_id=viewer.last_event_id) as viewer:
                await until(lambda: written_enough(viewer), limit_s=30)
                keep(viewer, index)

        def written_enough(viewer: Viewer) -> bool:
            return bool(viewer.data("log")) and viewer.data("log")[-1]["line"] == f"line {last}"

        last = -1
        async with activated(loopback, tmp_path, *options) as old:
            watchers = [asyncio.create_task(watch(index)) for index in range(VIEWERS)]
            writing = asyncio.create_task(write_on())
            await asyncio.sleep(1.5)
            old.send(signal.SIGTERM)
            assert await old.ended() == 0
            assert "ERROR" not in old.log
        async with activated(loopback, tmp_path, *options):
            await asyncio.sleep(1.0)
            writing.cancel()
            last = written
            await asyncio.gather(*watchers)
    assert max(ended_at) - min(ended_at) > 0.4
    for lines in seen:
        first = int(lines[0].split()[1])
        assert lines == [f"line {number}" for number in range(first, last + 1)]


async def test_a_second_signal_ends_it_at_once(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    conductor.launch("a", 1)
    options = ("--port", 0, "--insecure", "--drain-s", 3600, "--max-streams-per-address", 1000)
    async with (
        process("-m", "marianne_stream", *places(tmp_path), *options) as running,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        url = f"{running.address}/api/roster/stream"
        answers = [await session.get(url) for _ in range(300)]
        running.send(signal.SIGTERM)
        await asyncio.sleep(0.1)
        running.send(signal.SIGTERM)
        assert await running.ended() == 0
        for answer in answers:
            answer.close()


async def test_without_a_drain_all_streams_end_at_once(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    conductor.launch("a", 1)
    options = ("--port", 0, "--insecure", "--drain-s", 0)
    async with (
        process("-m", "marianne_stream", *places(tmp_path), *options) as running,
        aiohttp.ClientSession() as session,
        watching(session, f"{running.address}/api/roster/stream") as viewer,
    ):
        await viewer.saw("roster")
        running.send(signal.SIGTERM)
        assert await running.ended() == 0
        await viewer.end()


async def test_without_a_token_it_makes_one_and_prints_a_link_that_works_once(
    tmp_path: Path,
) -> None:
    async with process("-m", "marianne_stream", *places(tmp_path), "--port", 0) as running:
        await until(lambda: "/login?code=" in running.output)
        link = running.output.split()[-1]
        token = (tmp_path / "token").read_text().strip()
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as browser:
            async with browser.get(link) as response:
                assert response.status == 200
                assert "code" not in str(response.url)
            async with browser.get(f"{running.address}/openapi.json") as response:
                assert response.status == 200
        async with aiohttp.ClientSession() as other:
            async with other.get(link) as response:
                assert response.status == 401
            head = {"Authorization": f"Bearer {token}"}
            async with other.get(f"{running.address}/openapi.json", headers=head) as response:
                assert response.status == 200
        arguments = ("-m", "marianne_stream", "token", "--private-dir", tmp_path)
        async with process(*arguments) as printing:
            assert printing.first_line.strip() == token
        assert token not in running.log + running.output


async def test_sighup_takes_a_token_back_and_changes_what_is_logged(tmp_path: Path) -> None:
    tokens, config = tmp_path / "tokens", tmp_path / "settings.toml"
    tokens.write_text("first-token-0123456789\n")
    tokens.chmod(0o600)
    config.write_text(f'token_file = "{tokens}"\nlog_level = "warning"\n')
    arguments = ("-m", "marianne_stream", *places(tmp_path), "--port", 0, "--config", config)
    async with process(*arguments) as running, aiohttp.ClientSession() as session:

        async def status(token: str) -> int:
            head = {"Authorization": f"Bearer {token}"}
            async with session.get(f"{running.address}/openapi.json", headers=head) as response:
                return response.status

        assert await status("first-token-0123456789") == 200
        tokens.write_text("short\n")
        running.send(signal.SIGHUP)
        await until(lambda: "nothing is changed by SIGHUP" in running.log)
        assert await status("first-token-0123456789") == 200
        tokens.write_text("second-token-0123456789\n")
        config.write_text(config.read_text().replace("warning", "info"))
        running.send(signal.SIGHUP)
        await until(lambda: "read the tokens" in running.log)
        assert await status("first-token-0123456789") == 401
        assert await status("second-token-0123456789") == 200


async def test_insecure_is_refused_where_others_could_come_in(tmp_path: Path) -> None:
    options = ("--insecure", "--host", "0.0.0.0", "--port", 0)
    async with process("-m", "marianne_stream", *places(tmp_path), *options) as running:
        assert await running.ended() == 2
    assert "can be reached from other machines" in running.log


async def test_it_listens_on_a_unix_socket_and_removes_it(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    options = ("--unix", path, "--port", "none", "--insecure", "--unix-mode", "0600")
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    async with process("-m", "marianne_stream", *places(tmp_path), *options) as running:
        assert running.address == f"unix:{path}"
        assert path.stat().st_mode & 0o777 == 0o600
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
            session.get("http://localhost/health") as response,
        ):
            assert response.status == 200
        async with process("-m", "marianne_stream", *places(tmp_path), *options) as second:
            assert await second.ended() == 1
        assert "another process does" in second.log
        running.send(signal.SIGTERM)
        assert await running.ended() == 0
    assert not path.exists()


async def test_systemd_is_told_how_the_service_is(tmp_path: Path) -> None:
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
        options = ("--port", 0, "--insecure")
        arguments = ("-m", "marianne_stream", *places(tmp_path), *options)
        async with process(*arguments, pass_fds=(), **environment) as running:
            await until(lambda: hear("READY=1"))
            await until(lambda: hear("STATUS=0 streams open") and heard.count("WATCHDOG=1") > 2)
            running.send(signal.SIGHUP)
            await until(lambda: hear("RELOADING=1") and heard.count("READY=1") == 2)
            assert re.search(r"RELOADING=1\nMONOTONIC_USEC=\d+", heard)
            running.send(signal.SIGTERM)
            await until(lambda: hear("STOPPING=1"))
            assert await running.ended() == 0


async def test_a_fault_of_a_part_ends_the_process_with_a_last_line(tmp_path: Path) -> None:
    script = """
import sys
from marianne_stream.access.keeper import Keeper
from marianne_stream.cli import main
def review(self): raise ZeroDivisionError("a fault of ours")
Keeper.review = review
sys.exit(main(sys.argv[1:]))
"""
    async with process("-c", script, *places(tmp_path), "--port", 0) as running:
        assert await running.ended() == 1
    last = running.log.strip().splitlines()[-1]
    assert "CRITICAL" in last
    assert "a fault of ours" in last
