"""A process that begins to record while events come in, and clients that resume from its store."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from marianne_stream.errors import HistoryClosedError
from marianne_stream.feeds.event_feed import ALL_EVENTS, EventFeed, open_event_feed
from marianne_stream.feeds.stored_event_feed import StoredEventFeed, open_stored_event_feed
from marianne_stream.history import queries, retention
from marianne_stream.history.migrations import MIGRATIONS
from marianne_stream.wire import sse
from marianne_stream.wire.cursors import TimelineCursor
from marianne_stream.wire.sse import EventParser
from tests.support.recording import Recording
from tests.support.waiting import wait_for_value


async def open_feed(recording: Recording, cursor: str) -> EventFeed | StoredEventFeed:
    """Open the feed of a client."""

    def open_at(at: str) -> EventFeed:
        return open_event_feed(
            recording.buffer,
            event_filter=ALL_EVENTS,
            limit=50,
            cursor=at,
            make_source_frame=lambda at: sse.frame(b"{}", event="source", event_id=at),
        )

    feed = await open_stored_event_feed(
        recording.events,
        recording.buffer,
        event_filter=ALL_EVENTS,
        cursor=cursor,
        open_feed=open_at,
    )
    return feed or open_at(cursor)


async def read_steps(feed: EventFeed | StoredEventFeed, until: int) -> list[int | str]:
    """Return the steps and the reasons of gaps that a client gets."""
    parser, found = EventParser(), []
    async with asyncio.timeout(5):
        async for frames in feed.frames():
            events = [event for event in parser.feed(frames) if event.event != "source"]
            found += [json.loads(event.data) for event in events]
            if found and found[-1].get("step") == until:
                break
    feed.close()
    return [data.get("step", data.get("reason")) for data in found]


@pytest.fixture
async def earlier(tmp_path: Path) -> AsyncIterator[Recording]:
    """Yield a process that has stored the steps 1 to 3."""
    recording = Recording(tmp_path / "history.db")
    await recording.recorder.open(restore=True)
    recording.publish(1, 2, 3)
    yield recording
    await recording.recorder.close()


async def replace_with_small_buffer(earlier: Recording, *steps: int) -> Recording:
    """Return the process that follows, whose buffer holds two of its numbered events."""
    await earlier.recorder.close()
    later = Recording(earlier.store.path, max_events=2)
    await later.recorder.open(restore=True)
    later.publish(*steps)
    return later


@pytest.mark.parametrize("seen", [0, 1, 4, 5])
async def test_events_that_come_during_the_takeover_are_stored(
    earlier: Recording, tmp_path: Path, seen: int
) -> None:
    """`seen` events came before: with four, the numbers of both processes are the same."""
    waiting = Recording(tmp_path / "history.db", max_events=2)
    waiting.add(*range(100, 100 + seen))
    assert not await waiting.recorder.open(restore=False)
    await earlier.recorder.close()
    opening = asyncio.create_task(waiting.recorder.open(restore=False))
    while not opening.done():
        waiting.add(waiting.buffer.last_number)
        await asyncio.sleep(0)
    assert opening.result()
    waiting.publish(200, 201)
    await waiting.recorder.close()

    later = Recording(tmp_path / "history.db")
    await later.recorder.open(restore=True)
    later.add(300)
    cursor = str(TimelineCursor(earlier.buffer.epoch, 2))
    steps = await read_steps(await open_feed(later, cursor), 300)
    assert steps[:2] == [3, "monitor_lost"]
    assert steps[-4:] == [200, 201, "monitor_lost", 300]
    between = steps[2:-4]
    assert between
    assert between == list(
        range(waiting.buffer.last_number - 2 - len(between), waiting.buffer.last_number - 2)
    )
    await later.recorder.close()


async def test_events_after_a_takeover_are_restored_with_those_before(
    earlier: Recording, tmp_path: Path
) -> None:
    """The numbers of both processes are the same."""
    await earlier.recorder.close()
    waiting = Recording(tmp_path / "history.db")
    waiting.add(101, 102, 103, 104)
    await waiting.recorder.open(restore=False)
    waiting.publish(200)
    await waiting.recorder.close()
    later = Recording(tmp_path / "history.db")
    await later.recorder.open(restore=True)
    # Three events, two gaps, one event.
    assert (later.buffer.oldest_number, later.buffer.last_number) == (1, 6)
    await later.recorder.close()


async def test_store_that_can_no_longer_be_read_is_named_by_a_gap(earlier: Recording) -> None:
    later = await replace_with_small_buffer(earlier, 4, 5, 6)
    writing = asyncio.create_task(later.recorder.run())
    newest = partial(queries.select_newest_events, limit=100, max_bytes=10_000)
    await wait_for_value(partial(later.store.read, newest), lambda found: len(found) == 7)
    writing.cancel()
    cursor = str(TimelineCursor(earlier.buffer.epoch, 1))
    before, after = await open_feed(later, cursor), await open_feed(later, cursor)
    # The gap of the restart is no longer in the buffer.
    assert await read_steps(before, 6) == [2, 3, "monitor_lost", 4, 5, 6]
    with closing(sqlite3.connect(later.store.path, isolation_level=None)) as database:
        # A newer release has taken the file over.
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    database.close()
    assert await read_steps(after, 6) == ["slow_consumer", 5, 6]
    assert await read_steps(await open_feed(later, cursor), 6) == ["cursor_expired", 5, 6]
    await later.recorder.close()


async def test_feed_of_stored_events_ends_with_the_history_so_that_its_client_resumes(
    earlier: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that drains its streams closes the history first."""
    monkeypatch.setattr(queries, "MAX_PAGE_EVENTS", 1)
    later = await replace_with_small_buffer(earlier, 4, 5, 6)
    cursor = str(TimelineCursor(earlier.buffer.epoch, 0))
    feed = await open_feed(later, cursor)
    frames = feed.frames()
    (first,) = EventParser().feed(await anext(frames))
    assert json.loads(first.data) == {"step": 1}
    await later.recorder.close()
    assert [each async for each in frames] == []
    with pytest.raises(HistoryClosedError):
        await open_feed(later, cursor)
    feed.close()
    last = Recording(tmp_path / "history.db", max_events=2)
    await last.recorder.open(restore=True)
    last.add(7)
    steps = await read_steps(await open_feed(last, first.event_id), 7)
    assert steps == [2, 3, "monitor_lost", 4, 5, 6, "monitor_lost", 7]
    await last.recorder.close()


async def test_events_removed_while_a_client_reads_are_named_by_a_gap(
    earlier: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first page has the first event; then a prune removes the two events after it."""
    monkeypatch.setattr(queries, "MAX_PAGE_EVENTS", 1)
    later = await replace_with_small_buffer(earlier, 4, 5)
    feed = await open_feed(later, str(TimelineCursor(earlier.buffer.epoch, 0)))
    frames = feed.frames()
    (first,) = EventParser().feed(await anext(frames))
    assert json.loads(first.data) == {"step": 1}
    with closing(sqlite3.connect(later.store.path, isolation_level=None)) as database:
        retention.drop_events(database, 3)
    database.close()
    rest = EventParser().feed(b"".join([await anext(frames) for _ in range(3)]))
    found = [json.loads(event.data) for event in rest if event.event != "source"]
    assert [data.get("step", data.get("reason")) for data in found] == [
        "slow_consumer",
        "monitor_lost",
        4,
        5,
    ]
    await frames.aclose()  # type: ignore[attr-defined]
    feed.close()
    await later.recorder.close()


async def test_process_that_waits_for_the_lock_serves_no_stored_events(
    earlier: Recording, tmp_path: Path
) -> None:
    waiting = Recording(tmp_path / "history.db")
    waiting.add(100)
    assert not await waiting.recorder.open(restore=False)
    feed = await open_feed(waiting, str(TimelineCursor(earlier.buffer.epoch, 1)))
    assert await read_steps(feed, 100) == ["cursor_expired", 100]
    await waiting.recorder.close()
