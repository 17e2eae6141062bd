"""A Redis, a conductor, and relays that publish what it says, in this process."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from marianne_stream.app import create_app
from marianne_stream.config.settings import Settings
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.relay.redis_keys import SourceKeys
from marianne_stream.relay.schema import EventEntry, LogEntry, LogEntryId
from tests.support.redis_server import RedisServer, run_redis
from tests.support.viewers import Viewer
from tests.support.waiting import wait_for_value, wait_until

JOB = "lantern"
KEYS = SourceKeys("marianne-stream", "here")

StartRelay = Callable[..., AbstractAsyncContextManager[web.Application]]


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A Redis that loses its data when it is killed."""
    async with run_redis(tmp_path) as server:
        yield server


@pytest.fixture
def start_relay(conductor: SimulatedConductor, tmp_path: Path, redis: RedisServer) -> StartRelay:
    """Starts a server that publishes, for as long as a context lasts."""
    del conductor

    def start(**given: Any) -> AbstractAsyncContextManager[web.Application]:
        place = {"conductor_socket": tmp_path / "c.sock", "registry_path": tmp_path / "state.db"}
        target = {"publish_url": redis.url, "source_name": KEYS.source}
        return run_app(Settings(**{**place, **target, "no_auth": True, **given}))

    return start


@asynccontextmanager
async def run_app(settings: Settings) -> AsyncIterator[web.Application]:
    """A server that listens nowhere."""
    app = create_app(settings)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        yield app
    finally:
        await runner.cleanup()


@pytest.fixture
async def log_path(conductor: SimulatedConductor, tmp_path: Path) -> Path:
    """The log file of a running job; it is not there yet."""
    workspace = tmp_path / "ws"
    workspace.mkdir()
    conductor.launch(JOB, 2, workspace=str(workspace))
    return workspace / "marianne.log"


def append_lines(path: Path, *lines: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


async def wait_subscribed(conductor: SimulatedConductor) -> None:
    """Waits until a server is told of events: a conductor says so before it does so."""
    await wait_until(lambda: conductor.statistics.monitor_streams_open)


async def publish_interest(redis: RedisServer, kind: str, job_id: str = JOB) -> None:
    """Says what an edge says of what its viewers watch."""
    await redis.call("XADD", KEYS.interest, "*", "k", kind, "j", job_id)


async def read_log_entries(
    redis: RedisServer, job_id: str = JOB
) -> list[tuple[LogEntryId, LogEntry]]:
    """What is published of a log; the ids are found to rise."""
    found = await redis.read_stream(KEYS.log(job_id))
    logged = [(LogEntryId.parse(place), LogEntry.from_fields(fields)) for place, fields in found]
    assert [place for place, _ in logged] == sorted({place for place, _ in logged})
    return logged


async def read_log_lines(redis: RedisServer, job_id: str = JOB) -> list[str]:
    """The lines that are published of a log, and the marks between them, in brackets."""
    return [
        f"[{entry.mark}]" if entry.mark else entry.line.decode().strip('"')
        for _, entry in await read_log_entries(redis, job_id)
    ]


async def wait_for_log_lines(redis: RedisServer, *expected: str) -> None:
    """Waits until as many lines and marks are published, and checks that they are these."""
    found = await wait_for_value(
        lambda: read_log_lines(redis), lambda found: len(found) >= len(expected)
    )
    assert found == list(expected)


async def read_events(redis: RedisServer) -> list[tuple[int, str]]:
    """The numbers and names of the events that are published; a gap has no name."""
    published = [
        EventEntry.from_fields(fields) for _, fields in await redis.read_stream(KEYS.events)
    ]
    return [(entry.number, entry.event) for entry in published]


def events_with_ids(viewer: Viewer) -> list[tuple[str, str]]:
    """The events that bear an id of their own, with the ids."""
    return [(e.event, e.event_id) for e in viewer.events if e.event not in ("source", "heartbeat")]
