"""Redis over TLS, Redis with Sentinels, and Valkey."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.errors import SettingsError
from marianne_stream.relay.redis_client import make_client
from tests.relay.conftest import JOB, append_lines, events_with_ids
from tests.support.redis_acl import PASSWORD
from tests.support.redis_deployments import (
    SENTINEL_SERVICE,
    RedisDeployment,
    run_sentinel,
    run_tls_redis,
    run_valkey,
)
from tests.support.redis_server import run_redis
from tests.support.relay_servers import RelayServer, run_edge, run_origin
from tests.support.viewers import Viewer
from tests.support.waiting import wait_for_value, wait_until

SOURCE = "oak"

LIMIT_S = 30.0

Deploy = Callable[[Path], AbstractAsyncContextManager[RedisDeployment]]


@asynccontextmanager
async def run_origin_and_edge(
    folder: Path, redis: RedisDeployment, *names: str, **given: Any
) -> AsyncIterator[tuple[RelayServer, RelayServer]]:
    """Run an origin, and an edge that knows its job."""
    if redis.password:
        file = given["redis_password_file"] = folder / "password"
        file.touch(mode=0o600)
        file.write_text(redis.password)
    async with (
        run_origin(folder, redis.primary, SOURCE, url=redis.url, **given) as first,
        run_edge(redis.primary, url=redis.url, **given) as second,
    ):
        await second.wait_live(JOB)
        yield first, second


@asynccontextmanager
async def open_viewers(
    first: RelayServer, second: RelayServer
) -> AsyncIterator[tuple[Viewer, ...]]:
    """Open viewers of the origin's events, and of the edge's events, job and log."""
    async with (
        first.open_viewer("/api/events/stream") as events_there,
        second.open_viewer("/api/events/stream") as events,
        second.open_viewer(f"/api/jobs/{JOB}/stream") as status,
        second.open_viewer(f"/api/jobs/{JOB}/logs") as lines,
    ):
        yield events_there, events, status, lines


@pytest.mark.parametrize("deploy", [run_tls_redis, run_valkey, run_sentinel])
async def test_edge_over_any_redis_shows_what_its_origin_does(
    tmp_path: Path, conductor: SimulatedConductor, log_path: Path, deploy: Deploy
) -> None:
    append_lines(log_path, "one")
    async with (
        deploy(tmp_path / "redis") as redis,
        run_origin_and_edge(tmp_path, redis) as sites,
        open_viewers(*sites) as (events_there, events, status, lines),
    ):
        await lines.wait_for("log")
        conductor.dispatch(JOB, 1)
        conductor.emit(JOB, "job.said")
        append_lines(log_path, "two")
        await lines.wait_for("log", 2)
        await status.wait_for_status(current_sheet=1)
        await events.wait_for("job.said")
        await wait_until(lambda: events.last_event_id == events_there.last_event_id)


async def fail_over(redis: RedisDeployment) -> None:
    """Kill the primary, and wait until its replica is promoted."""
    await redis.primary.kill()
    await wait_for_value(
        lambda: redis.replica.call("ROLE"), lambda role: role[0] == b"master", timeout_s=LIMIT_S
    )


async def test_failover_to_replica_loses_and_repeats_nothing(
    tmp_path: Path, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_lines(log_path, *(f"line {number}" for number in range(1, 21)))
    async with (
        run_sentinel(tmp_path / "redis") as redis,
        run_origin_and_edge(tmp_path, redis) as sites,
        open_viewers(*sites) as (events_there, events, status, lines),
    ):
        await lines.wait_for("log", 20)
        conductor.emit(JOB, "job.said", {"number": 1})
        await events.wait_for("job.said")
        await fail_over(redis)
        conductor.emit(JOB, "job.said", {"number": 2})
        conductor.dispatch(JOB, 1)
        append_lines(log_path, *(f"line {number}" for number in range(21, 31)))
        await status.wait_for_status(current_sheet=1, timeout_s=LIMIT_S)
        await lines.wait_for("log", 30, timeout_s=LIMIT_S)
        await wait_until(
            lambda: events.last_event_id == events_there.last_event_id, timeout_s=LIMIT_S
        )
        assert events_with_ids(events) == events_with_ids(events_there)
        numbers = [data["line_number"] for data in lines.event_data("log")]
        assert numbers == list(range(1, 31))
        assert lines.event_counts["log_gap"] == 0
        assert not any(viewer.has_ended for viewer in (status, events, lines))


async def test_isolated_primary_is_left_by_origin_and_edge(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    """Let the Sentinel name another server while the primary keeps answering."""
    conductor.launch(JOB, 2)
    async with (
        run_sentinel(tmp_path / "redis") as redis,
        run_redis(tmp_path / "another") as another,
        run_origin_and_edge(tmp_path, redis) as (_, second),
        second.open_viewer("/api/roster/stream") as roster,
    ):
        assert redis.sentinel is not None
        await redis.sentinel.call("SENTINEL", "REMOVE", SENTINEL_SERVICE)
        await redis.sentinel.call(
            "SENTINEL", "MONITOR", SENTINEL_SERVICE, "127.0.0.1", another.port, 1
        )
        await wait_for_value(
            lambda: another.call("KEYS", "*:status"), lambda found: found, timeout_s=LIMIT_S
        )
        conductor.launch("later", 1)
        await wait_until(lambda: b'"later"' in roster.raw, timeout_s=LIMIT_S)
        assert await redis.primary.call("PING")
        assert not roster.has_ended


async def test_edge_on_read_only_replica_serves_when_all_logs_are_published(
    tmp_path: Path, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_lines(log_path, "one")
    async with (
        run_redis(tmp_path / "primary") as primary,
        run_redis(
            tmp_path / "replica",
            options=("--replicaof", "127.0.0.1", primary.port, "--replica-read-only", "no"),
        ) as replica,
        run_origin(tmp_path, primary, SOURCE, publish_logs="all"),
        run_edge(replica) as second,
    ):
        await second.wait_live(JOB)
        async with (
            second.open_viewer(f"/api/jobs/{JOB}/logs") as lines,
            second.open_viewer(f"/api/jobs/{JOB}/stream") as status,
        ):
            await lines.wait_for("log")
            append_lines(log_path, "two")
            await lines.wait_for("log", 2)
            conductor.dispatch(JOB, 1)
            await status.wait_for_status(current_sheet=1)
        # Interests of the edge stay on the replica.
        assert await primary.call("KEYS", "*:interest") == []


async def test_untrusted_certificate_gets_no_password(
    tmp_path: Path, conductor: SimulatedConductor, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_tls_redis(tmp_path / "redis") as redis:
        url = redis.url.partition("?")[0].replace("://", f"://:{PASSWORD}@")
        async with run_origin(tmp_path, redis.primary, SOURCE, url=url):
            await wait_until(lambda: "publishing failed" in caplog.text)
        assert "certificate verify failed" in caplog.text.lower()
        assert PASSWORD not in caplog.text
        assert await redis.primary.call("KEYS", "*") == []


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
def test_invalid_redis_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="is not a URL of Redis") as caught:
        make_client(url, None)
    assert "Secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://here:1?max_connections=5&timeout=3",
        "rediss+sentinel://here/main?ssl_ca_certs=/ca",
    ],
)
def test_redis_url_options_reach_the_connections(url: str) -> None:
    make_client(url, None)
