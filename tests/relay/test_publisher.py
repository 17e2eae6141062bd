"""Publication of status, roster, states, events and logs, as docs/reference/relay.md describes."""

import json
import logging
from pathlib import Path

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.errors import SourceNameInUseError
from marianne_stream.models import JobState
from marianne_stream.relay.schema import (
    decode_roster_entry,
    decode_state,
    decode_status,
    decode_unavailable,
)
from marianne_stream.web.app_keys import JOB_HUB
from tests.relay.conftest import (
    JOB,
    KEYS,
    StartRelay,
    append_lines,
    publish_interest,
    read_events,
    read_log_entries,
    read_log_lines,
    wait_for_log_lines,
    wait_subscribed,
)
from tests.support.redis_acl import relay_acl
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_for_value, wait_until


async def test_status_is_published(redis: RedisServer, start_relay: StartRelay) -> None:
    async with start_relay(public_url="https://origin.example.org"):
        about = decode_status(
            await wait_for_value(lambda: redis.client.get(KEYS.status), lambda found: found)
        )
        assert (about.source, about.live, about.events_live) == ("conductor", True, True)
        assert about.origin_url == "https://origin.example.org"
        assert 0 < await redis.client.ttl(KEYS.status) <= 6
    assert await redis.client.get(KEYS.status) is None
    assert await redis.client.get(KEYS.lock) is None


async def test_roster_changes_are_published_without_paths(
    conductor: SimulatedConductor, redis: RedisServer, start_relay: StartRelay, log_path: Path
) -> None:
    async with start_relay():
        found = await wait_for_value(lambda: redis.call("HGETALL", KEYS.jobs), lambda found: found)
        entry = decode_roster_entry(found[JOB.encode()])
        assert (entry.job_id, entry.status, entry.workspace) == (JOB, "running", None)
        conductor.launch("mill", 1)
        await wait_for_value(lambda: redis.call("HKEYS", KEYS.jobs), lambda found: b"mill" in found)
        conductor.finish("mill")
        conductor.remove("mill")
        await wait_for_value(lambda: redis.call("HKEYS", KEYS.jobs), lambda found: len(found) == 1)
        assert {b"k": b"jobs"} in [fields for _, fields in await redis.read_stream(KEYS.changes)]
        assert str(log_path.parent) not in str(await redis.call("HGETALL", KEYS.jobs))


async def test_states_of_running_jobs_are_published(
    conductor: SimulatedConductor, redis: RedisServer, start_relay: StartRelay, log_path: Path
) -> None:
    async with start_relay():
        await wait_for_value(
            lambda: read_state(redis), lambda found: found and found.status == "running"
        )
        conductor.dispatch(JOB, 1)
        conductor.complete_sheet(JOB, 1)
        await wait_for_value(lambda: read_state(redis), lambda found: found.completed_sheets == 1)
        conductor.dispatch(JOB, 2)
        conductor.complete_sheet(JOB, 2)
        conductor.finish(JOB)
        found = await wait_for_value(
            lambda: read_state(redis), lambda found: found and found.is_final
        )
        assert (found.status, found.workspace) == ("completed", None)


async def read_state(redis: RedisServer, job_id: str = JOB) -> JobState | None:
    """Return the published state of a job."""
    found = await redis.call("HGET", KEYS.states, job_id)
    return decode_state(found) if found else None


async def test_state_of_ended_job_is_published_on_interest(
    conductor: SimulatedConductor, redis: RedisServer, start_relay: StartRelay
) -> None:
    conductor.launch("mill", 1)
    conductor.finish("mill")
    async with start_relay():
        await wait_for_value(lambda: redis.call("HKEYS", KEYS.jobs), lambda found: found)
        assert await read_state(redis, "mill") is None
        await publish_interest(redis, "state", "mill")
        await wait_for_value(
            lambda: read_state(redis, "mill"), lambda found: found and found.is_final
        )


@pytest.mark.parametrize(
    ("kind", "job_id", "code"),
    [("state", "nobody", "job_not_found"), ("log", "nobody", "job_not_found")],
)
async def test_interest_in_unknown_job_publishes_the_reason(
    redis: RedisServer, start_relay: StartRelay, kind: str, job_id: str, code: str
) -> None:
    async with start_relay():
        await publish_interest(redis, kind, job_id)
        key = KEYS.unavailable(kind, job_id)
        found = await wait_for_value(lambda: redis.client.get(key), lambda found: found)
        assert decode_unavailable(found).code == code
        assert 0 < await redis.client.ttl(key) <= 15


async def test_missing_log_is_published_when_it_appears(
    redis: RedisServer, start_relay: StartRelay, log_path: Path
) -> None:
    async with start_relay():
        await publish_interest(redis, "log")
        key = KEYS.unavailable("log", JOB)
        found = await wait_for_value(lambda: redis.client.get(key), lambda found: found)
        assert decode_unavailable(found).code == "log_not_found"
        append_lines(log_path, "one")
        await wait_for_log_lines(redis, "one")
        assert await redis.client.get(key) is None


async def test_events_are_published_with_their_numbers(
    conductor: SimulatedConductor, redis: RedisServer, start_relay: StartRelay
) -> None:
    async with start_relay() as app:
        await wait_subscribed(conductor)
        for number in range(1, 4):
            conductor.emit(JOB, "job.said", {"number": number})
        await wait_for_value(lambda: read_events(redis), lambda found: len(found) == 3)
        _, fields = (await redis.read_stream(KEYS.events))[-1]
        assert fields[b"e"].decode() == app[JOB_HUB].events.replay_buffer.epoch
        assert (fields[b"n"], fields[b"j"], fields[b"v"]) == (b"3", b"lantern", b"job.said")
        assert json.loads(fields[b"d"])["data"] == {"number": 3}


async def test_events_of_new_process_begin_with_a_gap(
    conductor: SimulatedConductor, redis: RedisServer, start_relay: StartRelay
) -> None:
    for _ in range(2):
        async with start_relay():
            await wait_subscribed(conductor)
            before = len(await read_events(redis))
            conductor.emit(JOB, "job.said")
            # The gap and the next event may be written one after the other.
            await wait_for_value(
                lambda: read_events(redis),
                lambda found: len(found) > before and found[-1][1],  # noqa: B023
            )
    # The second process goes on with the numbers that it has stored.
    assert await read_events(redis) == [(1, "job.said"), (2, ""), (3, "job.said")]


async def test_log_is_published_on_interest(
    redis: RedisServer, start_relay: StartRelay, log_path: Path
) -> None:
    append_lines(log_path, *(f"line {number}" for number in range(1, 1502)))
    async with start_relay():
        await wait_for_value(lambda: redis.call("HKEYS", KEYS.jobs), lambda found: found)
        assert await read_log_lines(redis) == []
        await publish_interest(redis, "log")
        await wait_for_log_lines(redis, *(f"line {number}" for number in range(502, 1502)))
        append_lines(log_path, 'é✓ "quoted"')
        found = await wait_for_value(
            lambda: read_log_entries(redis), lambda found: len(found) == 1001
        )
        place, entry = found[-1]
        assert (json.loads(entry.line), entry.number) == ('é✓ "quoted"', 1502)
        assert place.offset == log_path.stat().st_size
        assert 0 < await redis.client.ttl(KEYS.log(JOB)) <= 24 * 3600


async def test_logs_of_all_running_jobs_are_published_if_configured(
    conductor: SimulatedConductor, redis: RedisServer, start_relay: StartRelay, log_path: Path
) -> None:
    append_lines(log_path, "one")
    async with start_relay(publish_logs="all"):
        await wait_for_log_lines(redis, "one")
        conductor.finish(JOB)
        append_lines(log_path, "two")
        await wait_for_log_lines(redis, "one", "two", "[log_complete]")


async def test_log_that_continues_after_its_end_is_published(
    conductor: SimulatedConductor, redis: RedisServer, start_relay: StartRelay, log_path: Path
) -> None:
    append_lines(log_path, "one")
    conductor.finish(JOB)
    async with start_relay():
        await publish_interest(redis, "log")
        await wait_for_log_lines(redis, "one", "[log_complete]")
        append_lines(log_path, "two")
        conductor.resume(JOB)
        await wait_for_log_lines(redis, "one", "[log_complete]", "two")


async def test_log_is_trimmed_to_max_lines(
    redis: RedisServer, start_relay: StartRelay, log_path: Path
) -> None:
    append_lines(log_path, "one")
    async with start_relay(redis_log_max_lines=100):
        await publish_interest(redis, "log")
        await wait_for_log_lines(redis, "one")
        append_lines(log_path, *(f"line {number}" for number in range(1000)))
        await wait_for_value(lambda: read_log_lines(redis), lambda found: found[-1] == "line 999")
        assert len(await read_log_lines(redis)) < 300


async def test_second_relay_of_the_same_source_is_refused(start_relay: StartRelay) -> None:
    async with start_relay():
        with pytest.raises(
            SourceNameInUseError, match=r"publishes as 'here', .* for another \d+\.\d s"
        ):
            async with start_relay():
                pytest.fail("it began")


async def test_relay_after_a_crash_takes_the_lock(
    redis: RedisServer, start_relay: StartRelay
) -> None:
    await redis.call("SET", KEYS.lock, "7-dead", "PX", "1500")
    async with start_relay():
        await wait_for_value(lambda: redis.client.get(KEYS.status), lambda found: found)


async def test_relay_without_the_lock_writes_nothing_until_it_is_free(
    conductor: SimulatedConductor,
    redis: RedisServer,
    start_relay: StartRelay,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with start_relay():
        await wait_for_value(lambda: redis.client.get(KEYS.status), lambda found: found)
        await redis.call("SET", KEYS.lock, "99-other", "PX", "3000")
        conductor.launch("mill", 1)
        await wait_until(lambda: "lock lost" in caplog.text)
        assert b"mill" not in await redis.call("HKEYS", KEYS.jobs)
        assert await redis.client.get(KEYS.lock) == b"99-other"
        await wait_for_value(lambda: redis.call("HKEYS", KEYS.jobs), lambda found: b"mill" in found)
        warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(warnings) == 1


async def test_documented_acl_user_suffices_for_relay(
    conductor: SimulatedConductor,
    redis: RedisServer,
    start_relay: StartRelay,
    log_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await redis.call("ACL", "SETUSER", *relay_acl(KEYS.source))
    append_lines(log_path, "one")
    async with start_relay(publish_url=redis.url.replace("//", "//relay-here:secret@")):
        await wait_subscribed(conductor)
        conductor.emit(JOB, "job.said")
        await publish_interest(redis, "state", "nobody")
        await publish_interest(redis, "log")
        await wait_for_log_lines(redis, "one")
        await wait_for_value(lambda: read_events(redis), lambda found: found)
        await wait_for_value(lambda: read_state(redis), lambda found: found)
        key = KEYS.unavailable("state", "nobody")
        await wait_for_value(lambda: redis.client.get(key), lambda found: found)
        conductor.finish(JOB)
        await wait_for_log_lines(redis, "one", "[log_complete]")
    assert await redis.client.get(KEYS.lock) is None
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert await redis.call("ACL", "LOG") == []
