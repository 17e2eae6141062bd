"""Machines whose clocks disagree by days: Redis alone decides on expiry and order."""

import signal
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.external import require_faketime
from tests.support.log_files import append_lines
from tests.support.processes import ManagedProcess, run_process, run_server
from tests.support.redis_server import RedisServer, run_redis
from tests.support.viewers import Viewer, open_viewer
from tests.support.waiting import wait_until

JOB = "lantern"


def run_relay_ahead(
    folder: Path, redis: RedisServer
) -> AbstractAsyncContextManager[ManagedProcess]:
    """Run a publishing server whose clock is ahead."""
    place = ("--conductor-socket", folder / "c.sock", "--registry-path", folder / "state.db")
    return run_process(
        *("-m", "marianne_stream", "--port", "none", *place),
        *("--publish-url", redis.url, "--source-name", "oak"),
        pass_fds=(),
        **require_faketime(3),
    )


def run_edge_behind(redis: RedisServer) -> AbstractAsyncContextManager[ManagedProcess]:
    """Run an edge whose clock is behind."""
    return run_process(
        *("-m", "marianne_stream", "--port", 0, "--no-auth", "--state-backend", "redis"),
        *("--redis-url", redis.url, "--sources", "oak"),
        pass_fds=(),
        **require_faketime(-2),
    )


async def wait_for_source(viewer: Viewer, *, live: bool) -> None:
    """Wait until a viewer gets the source's status."""
    await wait_until(
        lambda: viewer.event_counts["source"] and viewer.event_data("source")[-1]["live"] == live,
        timeout_s=30,
    )


@pytest.mark.slow
async def test_edge_with_another_clock_sees_the_relay_come_and_go(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    (workspace := tmp_path / "ws").mkdir()
    append_lines(log := workspace / "marianne.log", "one")
    conductor.launch(JOB, 2, workspace=str(workspace))
    async with (
        run_redis(tmp_path / "redis") as redis,
        run_edge_behind(redis) as edge,
        aiohttp.ClientSession(f"{edge.address}/") as session,
    ):
        async with (
            run_relay_ahead(tmp_path, redis) as first,
            open_viewer(session, f"api/jobs/{JOB}/stream") as status,
        ):
            async with open_viewer(session, f"api/jobs/{JOB}/logs") as lines:
                await lines.wait_for("log")
            await wait_for_source(status, live=True)
            first.send_signal(signal.SIGKILL)
            await wait_for_source(status, live=False)
        append_lines(log, "two")
        # By itself, the source would expire.
        await redis.call("DEL", "marianne-stream:{oak}:lock")
        async with (
            run_server(tmp_path, "--publish-url", redis.url, "--source-name", "oak"),
            open_viewer(session, f"api/jobs/{JOB}/logs", last_event_id=lines.last_event_id) as more,
            open_viewer(session, f"api/jobs/{JOB}/stream") as status,
        ):
            await wait_for_source(status, live=True)
            await more.wait_for("log")
            assert [(data["line"], data["line_number"]) for data in more.event_data("log")] == [
                ("two", 2)
            ]
            assert more.event_counts["log_gap"] == 0
