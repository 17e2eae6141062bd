"""Origins and edges with different formats refuse each other."""

import logging
from pathlib import Path

import pytest

from marianne_stream.app import TASKS
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.errors import SourceNameInUseError
from marianne_stream.relay.schema import FORMAT_VERSION, SourceKeys
from marianne_stream.web.app_keys import JOB_HUB
from tests.relay.conftest import JOB, KEYS, StartRelay
from tests.support.processes import run_process
from tests.support.redis_server import RedisServer, run_redis
from tests.support.relay_servers import run_edge, run_origin
from tests.support.waiting import wait_for_value, wait_until

ELM = SourceKeys("marianne-stream", "elm")


async def publish_as(redis: RedisServer, keys: SourceKeys, version: int) -> None:
    """Write the keys of a relay of another format; version 1 did not write its version."""
    await redis.call("INCR", keys.fence)
    await redis.call("HSET", keys.jobs, JOB, "{}")
    if version > 1:
        await redis.call("SET", keys.format, version)


@pytest.mark.parametrize("version", [1, 2, FORMAT_VERSION + 1])
async def test_origin_refuses_data_of_another_format(
    redis: RedisServer, start_relay: StartRelay, version: int
) -> None:
    await publish_as(redis, KEYS, version)
    before = sorted(await redis.call("KEYS", "*"))
    sentence = (
        f"data of 'here' in format {version}, and this server publishes in format {FORMAT_VERSION}"
    )
    with pytest.raises(SourceNameInUseError, match=sentence):
        async with start_relay():
            pytest.fail("it began")
    assert sorted(await redis.call("KEYS", "*")) == before


async def test_origin_process_with_data_of_another_format_exits_with_advice(
    conductor: SimulatedConductor, redis: RedisServer, tmp_path: Path
) -> None:
    await publish_as(redis, KEYS, 1)
    async with run_process(
        *("-m", "marianne_stream", "--port", "none"),
        *("--conductor-socket", tmp_path / "c.sock", "--registry-path", tmp_path / "state.db"),
        *("--data-dir", tmp_path / "private", "--source-name", KEYS.source),
        *("--publish-url", redis.url),
    ) as server:
        assert await server.wait() == 1
        assert "give it another source_name, or, if no other server publishes" in server.log
        assert "delete the keys marianne-stream:{here}:*" in server.log
        assert "Traceback" not in server.log


async def test_origin_that_finds_another_format_later_warns_and_serves(
    start_relay: StartRelay, log_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_redis(tmp_path / "data", is_durable=True) as redis:
        await publish_as(redis, KEYS, 1)
        await redis.kill()
        async with start_relay(publish_url=redis.url) as app:
            await wait_until(lambda: "publishing failed" in caplog.text)
            caplog.clear()
            await redis.start()
            await wait_until(
                lambda: f"this server publishes in format {FORMAT_VERSION}" in caplog.text
            )
            assert JOB in (await app[JOB_HUB].roster.get()).entries
            assert not app[TASKS].failed.is_set()
        assert await redis.call("EXISTS", KEYS.lock, KEYS.status) == 0


@pytest.mark.parametrize("version", [1, 2, FORMAT_VERSION + 1])
async def test_edge_does_not_serve_source_of_another_format(
    tmp_path: Path,
    redis: RedisServer,
    conductor: SimulatedConductor,
    caplog: pytest.LogCaptureFixture,
    version: int,
) -> None:
    conductor.launch(JOB, 2)
    await publish_as(redis, ELM, version)
    sentence = (
        f"it is published in format {version}, and this edge reads format {FORMAT_VERSION}: run "
        f"the same "
        "release on both"
    )
    async with run_origin(tmp_path, redis), run_edge(redis, sources=("oak", "elm")) as both:
        await wait_for_value(
            lambda: both.get("/api/jobs"),
            lambda found: [job["job_id"] for job in found[1].get("jobs", ())] == [f"oak:{JOB}"],
        )
        status, ready = await both.get("/ready")
        assert (status, ready["live"]) == (200, False)
        assert ready["reasons"] == [f"Source 'elm' is not served: {sentence}."]
        assert (await both.get(f"/api/jobs/elm:{JOB}"))[0] in (404, 503)
        async with run_edge(redis, sources=("elm",)) as one:
            await wait_until(lambda: caplog.text.count(sentence) == 2)
            status, ready = await one.get("/ready")
            assert (status, ready["reasons"]) == (503, [f"Source 'elm' is not served: {sentence}."])
            assert (await one.get("/api/jobs"))[0] == 503
            assert (await one.get(f"/api/jobs/{JOB}/logs"))[0] == 503
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert warnings == [f"source not served source=elm: {sentence}"] * 2
    assert await redis.call("KEYS", "*{elm}:interest") == []


async def test_edge_follows_changes_of_the_format(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor
) -> None:
    conductor.launch(JOB, 2)
    keys = SourceKeys("marianne-stream", "oak")
    async with run_origin(tmp_path, redis), run_edge(redis) as second:
        await second.wait_live(JOB)
        await redis.call("SET", keys.format, FORMAT_VERSION + 1)
        _, ready = await wait_for_value(
            lambda: second.get("/ready"), lambda found: found[0] == 503, timeout_s=30
        )
        assert f"in format {FORMAT_VERSION + 1}" in ready["reasons"][0]
        await redis.call("SET", keys.format, FORMAT_VERSION)
        await second.wait_live(JOB)
