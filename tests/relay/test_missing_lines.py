"""Lines that are missing between two reads of a log's stream: read, or named by a gap."""

import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.relay.edge.relayed_log import RelayedLog
from marianne_stream.relay.edge.relayed_source import RelayedSource
from marianne_stream.relay.edge.source_reader import ReadPacing
from marianne_stream.relay.publish.log_publisher import TAIL_LINES
from marianne_stream.relay.redis_client import close_connections, make_client
from marianne_stream.relay.schema import LogEntry, SourceKeys
from marianne_stream.wire.cursors import LogCursor
from tests.relay.conftest import JOB, append_lines
from tests.support.hostile_source import HostileSource
from tests.support.redis_server import RedisServer
from tests.support.relay_servers import RelayServer, run_edge, run_origin
from tests.support.viewers import Viewer
from tests.support.waiting import wait_for_value, wait_until

KEYS = SourceKeys("marianne-stream", "oak")
KEY = KEYS.log(JOB)

LINE_BYTES = 10
FIRST_LINE_HASH = 0xAB

GAP = "[log_gap]"


def make_entry(number: int) -> LogEntry:
    """Return a line whose text is its number."""
    cursor = f"l-1-{FIRST_LINE_HASH:016x}-{number * LINE_BYTES}-{number}-00000000000000cd"
    return LogEntry(cursor, b'"%d"' % number, number, "2026-11-24T03:00:00.000000Z")


async def write_lines(redis: RedisServer, numbers: Iterable[int], *, generation: int = 7) -> None:
    async with redis.client.pipeline(transaction=False) as pipe:
        for number in numbers:
            entry_id = f"{generation}-{2 * LINE_BYTES * number}"
            fields: dict[Any, Any] = dict(make_entry(number).fields())
            pipe.xadd(KEY, fields, id=entry_id)
        await pipe.execute()


def lines_and_gaps(viewer: Viewer) -> list[str]:
    """Return the lines that a viewer got, and the gaps in brackets."""
    events = [event for event in viewer.events if event.event in ("log", "log_gap")]
    data = viewer.event_data("log", "log_gap")
    return [
        told["line"] if event.event == "log" else GAP
        for event, told in zip(events, data, strict=True)
    ]


def texts(numbers: Iterable[int]) -> list[str]:
    return [str(number) for number in numbers]


class RecordedLog:
    """Log of which one subscriber records all frames."""

    def __init__(self, log: RelayedLog) -> None:
        self._queue = log.subscribe(None, None, log.position)

    def take(self) -> list[str]:
        """Return the lines and gaps that were offered."""
        found: list[str] = []
        while (batch := self._queue.take()) is not None:
            for _, entry in batch.items:
                found.append(f"[{entry.mark}]" if entry.mark else entry.line.decode().strip('"'))
        return found


@pytest.fixture
async def log(redis: RedisServer) -> AsyncIterator[RelayedLog]:
    """Return the log of a stream with lines 1 to 3, which nothing is read from by itself."""
    await write_lines(redis, range(1, 4))
    client = make_client(redis.url, None)
    found = RelayedLog(
        RelayedSource(client, KEYS, ReadPacing.for_sources(1), prefix="", on_status=Mock()),
        JOB,
        Mock(),
    )
    await found.start()
    yield found
    found.close()
    await close_connections(client)


async def test_lines_before_those_that_arrive_are_read(redis: RedisServer, log: RelayedLog) -> None:
    recorded = RecordedLog(log)
    await write_lines(redis, range(4, 2001))
    entries = await redis.read_stream(KEY)
    await log.on_entries(entries[-100:])
    assert recorded.take() == texts(range(4, 2001))


async def test_entries_that_arrive_again_are_ignored(redis: RedisServer, log: RelayedLog) -> None:
    recorded = RecordedLog(log)
    await write_lines(redis, [4, 5, 6])
    entries = await redis.read_stream(KEY)
    await log.on_entries(entries[3:5])
    await log.on_entries(entries[2:])
    await log.on_entries(entries[2:4])
    assert recorded.take() == ["4", "5", "6"]


async def test_rotation_before_entries_that_arrive_is_read(
    redis: RedisServer, log: RelayedLog
) -> None:
    recorded = RecordedLog(log)
    await write_lines(redis, [4])
    await redis.call("XADD", KEY, "8-0", "m", "log_rotated", "d", "{}")
    await write_lines(redis, [1, 2], generation=8)
    entries = await redis.read_stream(KEY)
    # The rotation itself arrives, and the line before it is missing.
    await log.on_entries(entries[-3:])
    assert recorded.take() == ["4", "[log_rotated]", "1", "2"]


async def test_trimmed_lines_before_those_that_arrive_are_a_gap(
    redis: RedisServer, log: RelayedLog
) -> None:
    recorded = RecordedLog(log)
    await write_lines(redis, range(4, 11))
    await redis.call("XTRIM", KEY, "MAXLEN", "=", "5")
    entries = await redis.read_stream(KEY)
    await log.on_entries(entries[-2:])
    assert recorded.take() == [GAP, *texts(range(6, 11))]


async def test_entries_missing_in_the_stream_itself_are_a_gap(
    redis: RedisServer, log: RelayedLog
) -> None:
    recorded = RecordedLog(log)
    await write_lines(redis, [4, 6, 7])
    await log.on_entries((await redis.read_stream(KEY))[3:])
    assert recorded.take() == ["4", GAP, "6", "7"]


async def test_invalid_entry_is_a_gap(redis: RedisServer, log: RelayedLog) -> None:
    recorded = RecordedLog(log)
    await redis.call("XADD", KEY, "7-80", "c", "invalid")
    await log.on_entries((await redis.read_stream(KEY))[3:])
    assert recorded.take() == []
    await write_lines(redis, [5])
    await log.on_entries((await redis.read_stream(KEY))[4:])
    assert recorded.take() == [GAP, "5"]


async def test_other_file_without_rotation_is_a_gap(redis: RedisServer, log: RelayedLog) -> None:
    recorded = RecordedLog(log)
    await write_lines(redis, [4], generation=8)
    await log.on_entries((await redis.read_stream(KEY))[3:])
    assert recorded.take() == [GAP, "4"]


@contextlib.asynccontextmanager
async def run_edge_of_stream(redis: RedisServer) -> AsyncIterator[RelayServer]:
    """Run an edge of a source with one job, whose log the test writes."""
    source = HostileSource(redis, KEYS)
    await source.write_valid_source(jobs=(JOB,), with_log=False)
    async with run_edge(redis, sources=(KEYS.source,)) as edge:
        await edge.wait_live(JOB)
        yield edge


LOG = f"/api/jobs/{JOB}/logs"


async def test_viewers_that_arrive_or_resume_get_a_gap_of_a_missing_line(
    redis: RedisServer,
) -> None:
    await write_lines(redis, [1, 2, 4, 5])
    async with run_edge_of_stream(redis) as edge:
        async with edge.open_viewer(LOG) as new:
            await new.wait_for("log", 4)
            assert lines_and_gaps(new) == ["1", "2", GAP, "4", "5"]
            first_id = next(e.event_id for e in new.events if e.event == "log")
        async with edge.open_viewer(LOG, last_event_id=first_id) as back:
            await back.wait_for("log", 3)
            assert lines_and_gaps(back) == ["2", GAP, "4", "5"]
            await write_lines(redis, [7])
            await back.wait_for("log", 4)
            assert lines_and_gaps(back)[-2:] == [GAP, "7"]
            await write_lines(redis, [8])
            await back.wait_for("log", 5)
            assert lines_and_gaps(back)[-2:] == ["7", "8"]


async def test_resume_at_a_page_boundary_misses_no_gap(redis: RedisServer) -> None:
    numbers = [number for number in range(1, 1203) if number not in (501, 502)]
    await write_lines(redis, numbers)
    async with (
        run_edge_of_stream(redis) as edge,
        edge.open_viewer(LOG, last_event_id=make_entry(1).cursor) as back,
    ):
        await back.wait_for("log", len(numbers) - 1)
        expected = [*texts(range(2, 501)), GAP, *texts(range(503, 1203))]
        assert lines_and_gaps(back) == expected


async def test_lines_behind_an_invalid_end_of_the_stream_are_published_behind_a_gap(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_lines(log_path, "a1", "a2")
    async with run_edge(redis, sources=(KEYS.source,)) as edge:
        async with run_origin(tmp_path, redis):
            await edge.wait_live(JOB)
            async with edge.open_viewer(LOG) as early:
                await early.wait_for("log", 2)
        async with edge.open_viewer(LOG, last_event_id=early.last_event_id) as viewer:
            last_id = (await redis.read_stream(KEY))[-1][0].decode()
            generation, _, offset = last_id.partition("-")
            await redis.call("XADD", KEY, f"{generation}-{int(offset) + 2}", "c", "invalid")
            later = [f"b{number}" for number in range(TAIL_LINES + 100)]
            append_lines(log_path, *later)
            async with run_origin(tmp_path, redis):
                await viewer.wait_for("log", TAIL_LINES, timeout_s=30)
                assert lines_and_gaps(viewer) == [GAP, *later[100:]]
                async with edge.open_viewer(
                    LOG, last_event_id=early.last_event_id, tail_lines=str(TAIL_LINES)
                ) as back:
                    await wait_until(lambda: later[-1] in lines_and_gaps(back))
                    assert lines_and_gaps(back) == [GAP, *later[100:]]


@pytest.mark.parametrize("before", [["one"], []], ids=["last line", "only line"])
async def test_log_resumes_after_an_unfinished_line_without_a_gap(
    tmp_path: Path,
    redis: RedisServer,
    conductor: SimulatedConductor,
    log_path: Path,
    before: list[str],
) -> None:
    log_path.write_text("\n".join([*before, "part"]))
    number = len(before) + 1
    async with run_origin(tmp_path, redis), run_edge(redis, sources=(KEYS.source,)) as edge:
        await edge.wait_live(JOB)
        async with edge.open_viewer(LOG) as early:
            await wait_for_value(lambda: redis.read_stream(KEY), lambda found: len(found) == 1)
            conductor.finish(JOB)
            await early.wait_for("log_complete")
        with log_path.open("a") as file:
            file.write(" and rest\nlast\n")
        conductor.resume(JOB)
        newest = b'"last"'
        await wait_for_value(
            lambda: redis.read_stream(KEY), lambda found: found[-1][1].get(b"l") == newest
        )
        async with edge.open_viewer(LOG, last_event_id=early.last_event_id) as back:
            await back.wait_for("log", 2)
            assert lines_and_gaps(back) == [" and rest", "last"]
        async with edge.open_viewer(LOG) as new:
            await new.wait_for("log", number + 2)
            assert lines_and_gaps(new) == [*before, "part", " and rest", "last"]
            numbers = [line["line_number"] for line in new.event_data("log")]
            assert numbers[-3:] == [number, number, number + 1]


async def test_finished_line_repeated_in_the_stream_is_a_gap(
    redis: RedisServer, log: RelayedLog
) -> None:
    recorded = RecordedLog(log)
    fields: dict[Any, Any] = dict(make_entry(3).fields())
    await redis.client.xadd(KEY, fields, id="7-70")
    await log.on_entries((await redis.read_stream(KEY))[3:])
    assert recorded.take() == [GAP, "3"]


async def test_search_for_a_cursor_ends_at_its_file(redis: RedisServer, log: RelayedLog) -> None:
    for generation in range(8, 40):
        await write_lines(redis, [1, 2], generation=generation)
    cursor = LogCursor.parse(make_entry(2).cursor)
    assert cursor is not None
    await redis.call("CONFIG", "RESETSTAT")
    start = await log.stream.find_start(cursor)
    assert start is not None
    assert start.position.entry_id == b"39-40"
    calls = await redis.client.info("commandstats")
    assert calls["cmdstat_xrevrange"]["calls"] == 1


async def test_waiting_viewer_searches_no_files(redis: RedisServer, log: RelayedLog) -> None:
    # The newest entries are lost, and nothing is published again yet.
    await write_lines(redis, [4])
    end = await log.stream.find_end()
    await redis.call("XDEL", KEY, "7-80")
    await redis.call("CONFIG", "RESETSTAT")
    found, position = await log.stream.read_after(end)
    assert (found, position.entry_id) == ([], end.entry_id)
    assert "cmdstat_xrevrange" not in await redis.client.info("commandstats")


async def test_entry_of_generation_zero_ends_the_search(redis: RedisServer) -> None:
    await write_lines(redis, [1, 2], generation=0)
    async with (
        run_edge_of_stream(redis) as edge,
        edge.open_viewer(LOG, last_event_id=make_entry(3).cursor) as back,
    ):
        await back.wait_for("log", 2)
        assert lines_and_gaps(back) == [GAP, "1", "2"]
