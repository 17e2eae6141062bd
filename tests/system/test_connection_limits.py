"""Idle connections are limited, and clients that are being served are not affected."""

import asyncio
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.processes import ManagedProcess, run_process, run_server
from tests.support.server_restart import make_server_options
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_until

# The number of files that the server may open.
FILES = 400
BARELY = f"""
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}))
os.execv(sys.executable, [sys.executable, "-m", "marianne_stream", *sys.argv[1:]])
"""


@pytest.fixture(autouse=True)
def files() -> None:
    """Raise the limit of open files of this process, which holds the other ends."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))


@contextmanager
def idle(running: ManagedProcess, count: int, source: str) -> Iterator[list[socket.socket]]:
    """Open connections from a loopback address that send nothing."""
    port = int(running.address.rpartition(":")[2])
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                socket.create_connection(("127.0.0.1", port), 5, source_address=(source, 0))
            )
            for _ in range(count)
        ]


def count_open(connections: list[socket.socket]) -> int:
    """Return how many of them the server has not closed."""
    count = 0
    for sock in connections:
        sock.settimeout(0)
        try:
            sock.recv(1)
        except BlockingIOError:
            count += 1
        except ConnectionError:
            pass
    return count


async def health(running: ManagedProcess) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{running.address}/health") as response,
    ):
        return response.status


async def test_idle_connections_of_one_address_are_limited(tmp_path: Path) -> None:
    async with run_server(tmp_path, "--max-streams-per-address", 10) as running:
        with idle(running, 300, "127.0.0.2") as connections:
            await wait_until(lambda: count_open(connections) == 10 + 128)
            assert await health(running) == 200
            assert running.log.count("connections rejected") == 1


async def test_idle_connections_of_a_proxy_have_only_the_total_limit(tmp_path: Path) -> None:
    options = ("--max-streams-per-address", 10, "--max-streams", 100)
    async with run_server(tmp_path, *options, "--trusted-proxies", "127.0.0.2") as running:
        with idle(running, 300, "127.0.0.2") as connections:
            await wait_until(lambda: count_open(connections) == 100 + 128)


async def test_file_limit_keeps_streams_open_and_the_log_short(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    conductor.launch("a", 1)
    options = ("--port", 0, "--no-auth")
    async with (
        run_process("-c", BARELY, *make_server_options(tmp_path), *options) as running,
        aiohttp.ClientSession() as session,
        open_viewer(session, f"{running.address}/api/events/stream") as viewer,
    ):
        await wait_until(lambda: b'"live":true' in viewer.raw)
        with ExitStack() as stack:
            connections = [
                sock
                for number in range(2, 6)
                for sock in stack.enter_context(idle(running, 150, f"127.0.0.{number}"))
            ]
            await wait_until(lambda: count_open(connections) < FILES - 100)
            for number in range(20):
                conductor.emit("a", "sheet.said", {"number": number})
                await viewer.wait_for("sheet.said", number + 1)
            assert running.count_open_files() < FILES
        assert await wait_until_healthy(running) == 200
        assert "ERROR" not in running.log
        assert len(running.log.splitlines()) < 20


async def test_exhausted_file_limit_is_logged_once(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    conductor.launch("a", 1)
    async with (
        run_server(tmp_path) as running,
        aiohttp.ClientSession() as session,
        open_viewer(session, f"{running.address}/api/events/stream") as viewer,
    ):
        await wait_until(lambda: b'"live":true' in viewer.raw)
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (100, 100))
        with idle(running, 200, "127.0.0.2"):
            await wait_until(lambda: "cannot be accepted" in running.log)
            for number in range(20):
                conductor.emit("a", "sheet.said", {"number": number})
                await viewer.wait_for("sheet.said", number + 1)
        assert await wait_until_healthy(running) == 200
        assert running.log.count("cannot be accepted") == 1
        assert "ERROR" not in running.log


async def wait_until_healthy(running: ManagedProcess) -> int:
    """Wait until the server has noticed the closed connections."""
    for _ in range(100):
        try:
            return await health(running)
        except aiohttp.ClientError:
            await asyncio.sleep(0.05)
    return 0
