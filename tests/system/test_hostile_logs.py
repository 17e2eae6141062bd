"""Hostile log files of one job do not affect the viewers of another job."""

import asyncio
import bz2
import gzip
import lzma
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.processes import ManagedProcess, run_process
from tests.support.server_restart import make_server_options
from tests.support.viewers import open_viewer

DRAIN_S = 5.0

MIB = 1024 * 1024

GIB = 1024 * MIB


def write_bomb(log: Path) -> None:
    """Write a rotated file of 20 MB that expands to 20 GiB and begins like the log."""
    head = gzip.compress(b"the first line\n")
    member = gzip.compress(b"\0" * (64 * MIB), 9)
    log.with_name("marianne.log.1.gz").write_bytes(head + member * (20 * GIB // (64 * MIB)))
    log.write_bytes(b"the first line\n")


def write_empty_streams(log: Path) -> None:
    """Write rotated files of millions of empty compressed streams."""
    empty = {".gz": gzip.compress(b""), ".bz2": bz2.compress(b""), ".xz": lzma.compress(b"")}
    for ending, stream in empty.items():
        log.with_name(f"marianne.log.1{ending}").write_bytes(stream * 2_000_000)
    log.write_bytes(b"the first line\n")


def write_sparse(log: Path) -> None:
    """Write a sparse log of 2 TiB."""
    with log.open("wb") as file:
        file.write(b"the first line\n")
        file.truncate(2 * 1024 * GIB)
        file.seek(0, 2)
        file.write(b"\nthe last line\n")


def write_long_line(log: Path) -> None:
    """Write a log with a line of 1 GB."""
    with log.open("wb") as file:
        file.write(b"the first line\n")
        for _ in range(1024):
            file.write(b"x" * MIB)
        file.write(b"\nthe last line\n")


HOSTILE: dict[str, Callable[[Path], None]] = {
    "bomb": write_bomb,
    "empty streams": write_empty_streams,
    "sparse": write_sparse,
    "long line": write_long_line,
}

# Decompresses 200 MiB instead of 2 GiB before the gap.
SMALL_LIMIT_SCRIPT = """
import sys
from marianne_stream.cli.main import main
from marianne_stream.logs import log_file
assert log_file.TEXT_LIMIT_BYTES > 200 * 1024**2
log_file.TEXT_LIMIT_BYTES = 200 * 1024**2
sys.exit(main(sys.argv[1:]))
"""

# Requests for the hostile log: twice as many as there are threads of each kind.
REQUESTS = (
    "logs/lines",
    "logs/lines?from=start",
    "logs/lines?contains=nowhere",
    "logs/info",
    "logs?tail_lines=1000",
    "logs?follow=false&tail_lines=1000",
    "logs?tail_lines=10&contains=nowhere",
) * 2


@pytest.fixture(scope="module", params=HOSTILE)
def hostile_files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write one kind of hostile files once for all tests."""
    folder = tmp_path_factory.mktemp("hostile")
    HOSTILE[request.param](folder / "marianne.log")
    return folder


@pytest.fixture
async def hostile(hostile_files: Path, conductor: SimulatedConductor, tmp_path: Path) -> str:
    """Run a job with hostile files and another job; return the id of the first."""
    for job_id in ("hostile", "other"):
        (workspace := tmp_path / job_id).mkdir()
        conductor.launch(job_id, 2, workspace=str(workspace))
    (tmp_path / "other" / "marianne.log").write_bytes(b"one\ntwo\n")
    for path in hostile_files.iterdir():
        (tmp_path / "hostile" / path.name).hardlink_to(path)
    return "hostile"


@asynccontextmanager
async def many_viewers(address: str, job_id: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Open viewers of every endpoint of a job's log that are waiting or reading."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(f"{address}/", connector=aiohttp.TCPConnector(limit=0))
        )

        async def view(path: str) -> None:
            async with session.get(f"api/jobs/{job_id}/{path}") as answer:
                async for _ in answer.content.iter_any():
                    pass

        viewers = [asyncio.create_task(view(path)) for path in REQUESTS]
        try:
            # This request is the last: its answer shows that the server has begun with the others.
            await asyncio.sleep(0.1)
            async with session.get("health"):
                yield session
        finally:
            for viewer in viewers:
                viewer.cancel()
            await asyncio.wait(viewers)


async def test_log_of_another_job_is_served_while_a_hostile_one_is_read(
    hostile: str, server: ManagedProcess, tmp_path: Path
) -> None:
    log = tmp_path / "other" / "marianne.log"
    async with many_viewers(server.address, hostile) as session:
        for number in range(20):
            async with session.get("api/jobs/other/logs/lines") as answer:
                lines = (await answer.json())["lines"]
                assert len(lines) == 2 + number
            url = f"{server.address}/api/jobs/other/logs"
            async with open_viewer(session, url, tail_lines="1") as viewer:
                await viewer.wait_for("log")
                with log.open("ab") as file:
                    file.write(b"%d\n" % number)
                await viewer.wait_for("log", 2)


async def test_reading_stops_after_its_viewers_disconnected(
    hostile: str, server: ManagedProcess
) -> None:
    async with many_viewers(server.address, hostile):
        pass

    async def is_idle() -> bool:
        before = server.cpu_s()
        await asyncio.sleep(0.5)
        return server.cpu_s() - before < 0.05

    async with asyncio.timeout(5):
        while not await is_idle():
            pass


async def test_sigterm_ends_the_server_while_a_hostile_log_is_read(
    hostile: str, server: ManagedProcess
) -> None:
    async with many_viewers(server.address, hostile):
        server.send_signal(signal.SIGTERM)
        assert await server.wait(timeout_s=DRAIN_S + 2) == 0


async def test_sparse_log_is_served_from_both_ends(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    conductor.launch("sparse", 2, workspace=str(tmp_path))
    write_sparse(tmp_path / "marianne.log")
    async with aiohttp.ClientSession(f"{server.address}/api/jobs/sparse/") as session:
        async with session.get("logs/lines?limit=1") as answer:
            newest = await answer.json()
        assert [line["line"] for line in newest["lines"]] == ["the last line"]
        async with session.get("logs/lines?limit=1&from=start") as answer:
            oldest = await answer.json()
        assert [line["line"] for line in oldest["lines"]] == ["the first line"]
        async with session.get("logs/info") as answer:
            assert (await answer.json())["lines"] == newest["lines"][0]["line_number"] == 3


async def test_decompression_bomb_becomes_a_log_gap(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("bomb", 2, workspace=str(tmp_path))
    write_bomb(tmp_path / "marianne.log")
    async with (
        run_process(
            "-c", SMALL_LIMIT_SCRIPT, *make_server_options(tmp_path), "--port", 0, "--no-auth"
        ) as running,
        aiohttp.ClientSession() as session,
        session.get(f"{running.address}/api/jobs/bomb/logs/lines") as answer,
    ):
        page = await answer.json()
    assert page["gap"]
    assert page["lines"][-1]["line"] == "the first line"
