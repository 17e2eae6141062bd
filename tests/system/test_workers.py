"""Several worker processes on one port: started together, restarted if one is killed."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.external import require_ipv6
from tests.support.processes import ManagedProcess, run_process, run_server
from tests.support.redis_server import run_redis
from tests.support.viewers import Viewer, open_viewer
from tests.support.waiting import wait_until


@asynccontextmanager
async def run_workers(
    folder: Path, workers: int, *options: object
) -> AsyncIterator[ManagedProcess]:
    """Run a relay with a conductor, and an edge with this many workers."""
    async with run_redis(folder) as redis:
        publishing = ("--publish-url", redis.url, "--source-name", "here")
        reading = ("--state-backend", "redis", "--redis-url", redis.url, "--sources", "here")
        async with (
            run_server(folder, *publishing),
            run_process(
                *("-m", "marianne_stream", "--port", 0, "--no-auth", *reading),
                *("--workers", workers, *options),
            ) as edge,
        ):
            yield edge


def child_pids(edge: ManagedProcess) -> set[int]:
    """Return the process ids of an edge's workers."""
    text = Path(f"/proc/{edge.pid}/task/{edge.pid}/children").read_text(encoding="ascii")
    return set(map(int, text.split()))


async def test_workers_serve_the_same_data_and_share_viewers(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("lantern", 3)
    async with run_workers(tmp_path, 2) as edge, aiohttp.ClientSession() as session:
        assert len(child_pids(edge)) == 2
        await wait_for_job(session, edge, "lantern")
        url = f"{edge.address}/api/jobs/lantern/stream"
        before = {pid: count_open_files(pid) for pid in child_pids(edge)}
        async with open_viewers(session, url, 40) as viewers:
            for viewer in viewers:
                await viewer.wait_for("job_sheets")
            conductor.complete_sheet("lantern", 1)
            for viewer in viewers:
                await viewer.wait_for_status(completed_sheets=1)
            # The kernel distributes connections among the workers.
            assert all(count_open_files(pid) > count for pid, count in before.items())
        edge.send_signal(signal.SIGTERM)
        assert await edge.wait() == 0


async def test_workers_share_the_port_of_each_address(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    require_ipv6()
    conductor.launch("lantern", 3)
    hosts = ("--host", "127.0.0.1", "--host", "::1")
    async with (
        run_workers(tmp_path, 2, *hosts) as edge,
        aiohttp.ClientSession() as session,
        AsyncExitStack() as stack,
    ):
        await wait_until(lambda: edge.output)
        port = edge.address.rpartition(":")[2]
        assert edge.output == f"marianne-stream listening on http://[::1]:{port}\n"
        await wait_for_job(session, edge, "lantern")
        for address in (edge.address, f"http://[::1]:{port}"):
            before = {pid: count_open_files(pid) for pid in child_pids(edge)}
            url = f"{address}/api/jobs/lantern/stream"
            # They stay open: files that are being closed would be counted before the next ones.
            for viewer in await stack.enter_async_context(open_viewers(session, url, 40)):
                await viewer.wait_for("job_sheets")
            assert all(count_open_files(pid) > count for pid, count in before.items())


async def test_killed_worker_is_restarted_without_refused_connections(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("lantern", 3)
    async with run_workers(tmp_path, 2) as edge, aiohttp.ClientSession() as session:
        before = child_pids(edge)
        os.kill(min(before), signal.SIGKILL)
        headers = {"Connection": "close"}
        for _ in range(30):
            async with session.get(f"{edge.address}/health", headers=headers) as answer:
                assert answer.status == 200
        await wait_until(
            lambda: len(child_pids(edge)) == 2 and child_pids(edge) != before, timeout_s=20
        )
        assert "worker" in edge.log


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--workers", 2), "workers above 1 needs state_backend redis"),
        (("--workers", 0), "--workers must be an integer from 1 to 64"),
    ],
)
async def test_workers_without_an_edge_are_refused(
    options: tuple[object, ...], sentence: str, tmp_path: Path
) -> None:
    del tmp_path
    async with run_process("-m", "marianne_stream", *options) as refused:
        assert await refused.wait() == 2
        assert sentence in refused.log


async def wait_for_job(session: aiohttp.ClientSession, edge: ManagedProcess, job_id: str) -> None:
    """Wait until each worker has a job."""
    headers = {"Connection": "close"}
    asked = 0
    while asked < 20:
        async with session.get(f"{edge.address}/api/jobs/{job_id}", headers=headers) as answer:
            asked = asked + 1 if answer.status == 200 else 0


def count_open_files(pid: int) -> int:
    """Return the number of open files of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@asynccontextmanager
async def open_viewers(
    session: aiohttp.ClientSession, url: str, count: int
) -> AsyncIterator[list[Viewer]]:
    """Open this many viewers of one URL."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_viewer(session, url)) for _ in range(count)]
