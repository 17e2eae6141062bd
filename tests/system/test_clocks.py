"""Machines whose clocks disagree by days: who lives, and what comes first, Redis alone says."""

import signal
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import aiohttp

from marianne_stream.demo.conductor import SimulatedConductor
from tests.relay.conftest import append
from tests.support.external import clock_ahead
from tests.support.processes import Process, process, server
from tests.support.redis import RedisServer, redis_server
from tests.support.viewers import Viewer, watching
from tests.support.waiting import until

JOB = "lantern"


def ahead(folder: Path, redis: RedisServer) -> AbstractAsyncContextManager[Process]:
    """A process that publishes, and takes today for a later day."""
    place = ("--conductor-socket", folder / "c.sock", "--registry-path", folder / "state.db")
    return process(
        *("-m", "marianne_stream", "--port", "none", *place),
        *("--publish-url", redis.url, "--source-name", "oak"),
        pass_fds=(),
        **clock_ahead(3),
    )


def behind(redis: RedisServer) -> AbstractAsyncContextManager[Process]:
    """An edge that takes it for an earlier one."""
    return process(
        *("-m", "marianne_stream", "--port", 0, "--no-auth", "--state-backend", "redis"),
        *("--redis-url", redis.url, "--sources", "oak"),
        pass_fds=(),
        **clock_ahead(-2),
    )


async def says(viewer: Viewer, *, live: bool) -> None:
    """Waits until a viewer is told that the source is there, or that it is not."""
    await until(
        lambda: viewer.counts["source"] and viewer.data("source")[-1]["live"] == live, limit_s=30
    )


async def test_relays_and_edges_need_not_agree_on_the_time(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    (workspace := tmp_path / "ws").mkdir()
    append(log := workspace / "marianne.log", "one")
    conductor.launch(JOB, 2, workspace=str(workspace))
    async with (
        redis_server(tmp_path / "redis") as redis,
        behind(redis) as edge,
        aiohttp.ClientSession(f"{edge.address}/") as session,
    ):
        async with (
            ahead(tmp_path, redis) as first,
            watching(session, f"api/jobs/{JOB}/stream") as status,
        ):
            async with watching(session, f"api/jobs/{JOB}/logs") as lines:
                await lines.saw("log")
            await says(status, live=True)
            first.send(signal.SIGKILL)
            await says(status, live=False)
        append(log, "two")
        # It would expire by itself.
        await redis.call("DEL", "marianne-stream:{oak}:lock")
        async with (
            server(tmp_path, "--publish-url", redis.url, "--source-name", "oak"),
            watching(session, f"api/jobs/{JOB}/logs", last_event_id=lines.last_event_id) as more,
            watching(session, f"api/jobs/{JOB}/stream") as status,
        ):
            await says(status, live=True)
            await more.saw("log")
            assert [(data["line"], data["line_number"]) for data in more.data("log")] == [
                ("two", 2)
            ]
            assert more.counts["log_gap"] == 0
