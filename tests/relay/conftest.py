"""Fixtures: Redis, a simulated conductor, and servers that publish, in this process."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from marianne_stream.app import create_app
from marianne_stream.config.settings import Settings
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.relay.schema import (
    LogEntry,
    LogEntryId,
    SourceKeys,
    parse_event,
    parse_log_entry,
)
from tests.support.redis_server import RedisServer, run_redis
from tests.support.viewers import Viewer
from tests.support.waiting import wait_for_value, wait_until

JOB = "lantern"
KEYS = SourceKeys("marianne-stream", "here")

StartRelay = Callable[..., AbstractAsyncContextManager[web.Application]]


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """Return a Redis that loses its data when it is killed."""
    async with run_redis(tmp_path) as server:
        yield server


@pytest.fixture
def start_relay(conductor: SimulatedConductor, tmp_path: Path, redis: RedisServer) -> StartRelay:
    """Return a context manager that runs a server that publishes."""
    del conductor

    def start(**given: Any) -> AbstractAsyncContextManager[web.Application]:
        place = {"conductor_socket": tmp_path / "c.sock", "registry_path": tmp_path / "state.db"}
        target = {"publish_url": redis.url, "source_name": KEYS.source}
        return run_app(Settings(**{**place, **target, "no_auth": True, **given}))

    return start


@asynccontextmanager
async def run_app(settings: Settings) -> AsyncIterator[web.Application]:
    """Run an application without a socket."""
    app = create_app(settings)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        yield app
    finally:
        await runner.cleanup()


@pytest.fixture
async def log_path(conductor: SimulatedConductor, tmp_path: Path) -> Path:
    """Return the path of a running job's log, which does not exist yet."""
    workspace = tmp_path / "ws"
    workspace.mkdir()
    conductor.launch(JOB, 2, workspace=str(workspace))
    return workspace / "marianne.log"


def append_lines(path: Path, *lines: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


async def wait_subscribed(conductor: SimulatedConductor) -> None:
    """Wait until a server receives events, which a conductor announces before it sends any."""
    await wait_until(lambda: conductor.statistics.monitor_streams_open)


async def publish_interest(redis: RedisServer, kind: str, job_id: str = JOB) -> None:
    """Publish an interest as an edge does."""
    await redis.call("XADD", KEYS.interest, "*", "k", kind, "j", job_id)


async def read_log_entries(
    redis: RedisServer, job_id: str = JOB
) -> list[tuple[LogEntryId, LogEntry]]:
    """Return the published entries of a log, and check that the ids rise."""
    found = await redis.read_stream(KEYS.log(job_id))
    logged = [(LogEntryId.parse(place), parse_log_entry(fields)) for place, fields in found]
    assert [place for place, _ in logged] == sorted({place for place, _ in logged})
    return logged


async def read_log_lines(redis: RedisServer, job_id: str = JOB) -> list[str]:
    """Return the published lines of a log, and its marks in brackets."""
    return [
        f"[{entry.mark}]" if entry.mark else entry.line.decode().strip('"')
        for _, entry in await read_log_entries(redis, job_id)
    ]


async def wait_for_log_lines(redis: RedisServer, *expected: str) -> None:
    """Wait until lines and marks are published, and compare them."""
    found = await wait_for_value(
        lambda: read_log_lines(redis), lambda found: len(found) >= len(expected)
    )
    assert found == list(expected)


async def read_events(redis: RedisServer) -> list[tuple[int, str]]:
    """Return the numbers and names of the published events; a gap has no name."""
    published = [parse_event(fields) for _, fields in await redis.read_stream(KEYS.events)]
    return [(entry.number, entry.event) for entry in published]


def events_with_ids(viewer: Viewer) -> list[tuple[str, str]]:
    """Return the events that have an id, with the ids."""
    return [(e.event, e.event_id) for e in viewer.events if e.event not in ("source", "heartbeat")]
