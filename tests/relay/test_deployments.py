"""Redis by TLS, with Sentinels, and Valkey: the same is seen through all of them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from marianne_stream.demo.conductor import SimulatedConductor
from marianne_stream.errors import SettingsError
from marianne_stream.relay.connecting import connected
from tests.relay.conftest import JOB, append, told
from tests.support.deployments import (
    SERVICE,
    Deployment,
    by_tls,
    of_valkey,
    watched_by_sentinel,
)
from tests.support.edges import Site, edge, origin
from tests.support.redis import redis_server
from tests.support.rights import PASSWORD
from tests.support.viewers import Viewer
from tests.support.waiting import eventually, until

SOURCE = "oak"

LIMIT_S = 30.0

Deploy = Callable[[Path], AbstractAsyncContextManager[Deployment]]


@asynccontextmanager
async def served(
    folder: Path, redis: Deployment, *names: str, **given: Any
) -> AsyncIterator[tuple[Site, Site]]:
    """An origin that publishes, and an edge that has been told of its job."""
    if redis.password:
        file = given["redis_password_file"] = folder / "password"
        file.touch(mode=0o600)
        file.write_text(redis.password)
    async with (
        origin(folder, redis.first, SOURCE, url=redis.url, **given) as first,
        edge(redis.first, url=redis.url, **given) as second,
    ):
        await second.follows(JOB)
        yield first, second


@asynccontextmanager
async def viewers(first: Site, second: Site) -> AsyncIterator[tuple[Viewer, ...]]:
    """Of the events at the origin; and at the edge, of the events, the job, and its log."""
    async with (
        first.watch("/api/events/stream") as events_there,
        second.watch("/api/events/stream") as events,
        second.watch(f"/api/jobs/{JOB}/stream") as status,
        second.watch(f"/api/jobs/{JOB}/logs") as lines,
    ):
        yield events_there, events, status, lines


@pytest.mark.parametrize("deploy", [by_tls, of_valkey, watched_by_sentinel])
async def test_an_edge_shows_what_its_origin_does(
    tmp_path: Path, conductor: SimulatedConductor, log: Path, deploy: Deploy
) -> None:
    append(log, "one")
    async with (
        deploy(tmp_path / "redis") as redis,
        served(tmp_path, redis) as sites,
        viewers(*sites) as (events_there, events, status, lines),
    ):
        await lines.saw("log")
        conductor.dispatch(JOB, 1)
        conductor.emit(JOB, "job.said")
        append(log, "two")
        await lines.saw("log", 2)
        await status.saw_status(current_sheet=1)
        await events.saw("job.said")
        await until(lambda: events.last_event_id == events_there.last_event_id)


async def fail_over(redis: Deployment) -> None:
    """Kills the primary, and returns when its replica has taken over."""
    await redis.first.kill()
    await eventually(
        lambda: redis.replica.call("ROLE"), lambda role: role[0] == b"master", limit_s=LIMIT_S
    )


async def test_nothing_is_lost_or_repeated_when_a_replica_takes_over(
    tmp_path: Path, conductor: SimulatedConductor, log: Path
) -> None:
    append(log, *(f"line {number}" for number in range(1, 21)))
    async with (
        watched_by_sentinel(tmp_path / "redis") as redis,
        served(tmp_path, redis) as sites,
        viewers(*sites) as (events_there, events, status, lines),
    ):
        await lines.saw("log", 20)
        conductor.emit(JOB, "job.said", {"number": 1})
        await events.saw("job.said")
        await fail_over(redis)
        conductor.emit(JOB, "job.said", {"number": 2})
        conductor.dispatch(JOB, 1)
        append(log, *(f"line {number}" for number in range(21, 31)))
        await status.saw_status(current_sheet=1, limit_s=LIMIT_S)
        await lines.saw("log", 30, limit_s=LIMIT_S)
        await until(lambda: events.last_event_id == events_there.last_event_id, limit_s=LIMIT_S)
        assert told(events) == told(events_there)
        numbers = [data["line_number"] for data in lines.data("log")]
        assert numbers == list(range(1, 31))
        assert lines.counts["log_gap"] == 0
        assert not any(viewer.ended for viewer in (status, events, lines))


async def test_a_relay_and_an_edge_leave_a_server_that_others_have_given_up(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    """It answers on, as one that is cut off; here another one is named by hand."""
    conductor.launch(JOB, 2)
    async with (
        watched_by_sentinel(tmp_path / "redis") as redis,
        redis_server(tmp_path / "another") as another,
        served(tmp_path, redis) as (_, second),
        second.watch("/api/roster/stream") as roster,
    ):
        assert redis.sentinel is not None
        await redis.sentinel.call("SENTINEL", "REMOVE", SERVICE)
        await redis.sentinel.call("SENTINEL", "MONITOR", SERVICE, "127.0.0.1", another.port, 1)
        await eventually(
            lambda: another.call("KEYS", "*:status"), lambda found: found, limit_s=LIMIT_S
        )
        conductor.launch("later", 1)
        await until(lambda: b'"later"' in roster.raw, limit_s=LIMIT_S)
        assert await redis.first.call("PING")
        assert not roster.ended


async def test_edges_can_read_from_replicas_where_all_logs_are_published(
    tmp_path: Path, conductor: SimulatedConductor, log: Path
) -> None:
    append(log, "one")
    async with (
        redis_server(tmp_path / "primary") as primary,
        redis_server(
            tmp_path / "replica",
            options=("--replicaof", "127.0.0.1", primary.port, "--replica-read-only", "no"),
        ) as replica,
        origin(tmp_path, primary, SOURCE, publish_logs="all"),
        edge(replica) as second,
    ):
        await second.follows(JOB)
        async with (
            second.watch(f"/api/jobs/{JOB}/logs") as lines,
            second.watch(f"/api/jobs/{JOB}/stream") as status,
        ):
            await lines.saw("log")
            append(log, "two")
            await lines.saw("log", 2)
            conductor.dispatch(JOB, 1)
            await status.saw_status(current_sheet=1)
        # What the edge says stays with the replica.
        assert await primary.call("KEYS", "*:interest") == []


async def test_a_server_whose_certificate_is_not_trusted_is_told_nothing(
    tmp_path: Path, conductor: SimulatedConductor, caplog: pytest.LogCaptureFixture
) -> None:
    async with by_tls(tmp_path / "redis") as redis:
        url = redis.url.partition("?")[0].replace("://", f"://:{PASSWORD}@")
        async with origin(tmp_path, redis.first, SOURCE, url=url):
            await until(lambda: "cannot publish" in caplog.text)
        assert "certificate verify failed" in caplog.text.lower()
        assert PASSWORD not in caplog.text
        assert await redis.first.call("KEYS", "*") == []


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://u:Secret@here:1",
        "redis+sentinel://u:Secret@here:1,:2/main",
        "redis+sentinel://here:1/main?sentinel_password=Secret&what=1",
        "redis+sentinel://u:Secret@here:port/main",
        "redis+cluster://u:Secret@here:1",
        "redis://u:Secret@here:1?what=1",
        "redis://u:Secret@here:1?db=what",
        "redis://u:Secret#more@here:1",
        "redis+sentinel://u:Secret@here:1/main/what",
        "redis+sentinel://u:Secret@here:0/main",
        "redis+sentinel://u:Secret@here:1/main?what=1",
    ],
)
def test_a_url_that_cannot_be_understood_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(SettingsError, match="is no URL of Redis that can be understood") as caught:
        connected(url, None)
    assert "Secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://here:1?max_connections=5&timeout=3",
        "rediss+sentinel://here/main?ssl_ca_certs=/ca",
    ],
)
def test_what_redis_py_knows_of_a_url_is_taken(url: str) -> None:
    connected(url, None)
