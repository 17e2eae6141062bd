"""Tests of the event feed: its start, its filter and its gaps."""

import json

import pytest

from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.feeds.event_feed import EventFeed, EventFilter, open_event_feed
from marianne_stream.feeds.feed import MAX_BATCH_BYTES
from marianne_stream.models import MonitorEvent
from marianne_stream.wire import sse
from marianne_stream.wire.cursors import TimelineCursor
from marianne_stream.wire.sse import EventParser


def source(event_id: str) -> bytes:
    """Return the frame of a source event."""
    return sse.frame(b"{}", event="source", event_id=event_id)


@pytest.fixture
def replay_buffer() -> ReplayBuffer:
    """Provide a buffer that holds the last ten of twenty events."""
    replay_buffer = ReplayBuffer(max_events=10)
    for number in range(1, 21):
        replay_buffer.add(MonitorEvent("a", f"job.step{number}", b"{}"))
    return replay_buffer


async def read_first(
    replay_buffer: ReplayBuffer, cursor: str, *, job_ids: frozenset[str] = frozenset()
) -> list[str]:
    """Return the names of the first events of a client, with the count of a gap."""
    event_filter = EventFilter(job_ids)
    feed = open_event_feed(
        replay_buffer, event_filter=event_filter, limit=3, cursor=cursor, make_source_frame=source
    )
    feed.finish()
    return event_names([chunk async for chunk in feed.frames()])


def event_names(chunks: list[bytes]) -> list[str]:
    """Return the names of events, with the count of a gap."""
    events = EventParser().feed(b"".join(chunks))
    return [
        f"gap {json.loads(event.data)['missed']}" if event.event == "gap" else event.event
        for event in events
    ]


async def test_new_client_gets_newest_events(replay_buffer: ReplayBuffer) -> None:
    assert await read_first(replay_buffer, "") == [
        "source",
        "job.step18",
        "job.step19",
        "job.step20",
    ]


async def test_expired_cursor_gets_gap_with_count(replay_buffer: ReplayBuffer) -> None:
    cursor = str(TimelineCursor(replay_buffer.epoch, 5))
    expected = ["gap 12", "source", "job.step18", "job.step19", "job.step20"]
    assert await read_first(replay_buffer, cursor) == expected


async def test_expired_cursor_with_filter_gets_gap_without_count(
    replay_buffer: ReplayBuffer,
) -> None:
    cursor = str(TimelineCursor(replay_buffer.epoch, 5))
    found = await read_first(replay_buffer, cursor, job_ids=frozenset({"a"}))
    assert found[0] == "gap None"


async def test_valid_cursor_gets_all_later_events(replay_buffer: ReplayBuffer) -> None:
    cursor = str(TimelineCursor(replay_buffer.epoch, 12))
    assert await read_first(replay_buffer, cursor) == [
        "source",
        *(f"job.step{n}" for n in range(13, 21)),
    ]


async def test_source_event_has_cursor_before_first_event(
    replay_buffer: ReplayBuffer,
) -> None:
    for limit, number in ((3, 17), (0, 20)):
        feed = open_event_feed(
            replay_buffer,
            event_filter=EventFilter(),
            limit=limit,
            cursor="",
            make_source_frame=source,
        )
        first = await anext(feed)
        event = next(iter(EventParser().feed(first)))
        assert event.event_id == str(TimelineCursor(replay_buffer.epoch, number))


def fill(replay_buffer: ReplayBuffer, events: int, data_bytes: int = 2) -> None:
    """Add events, each published by itself."""
    for number in range(events):
        replay_buffer.add(MonitorEvent("a", f"job.new{number}", b"x" * data_bytes))
        replay_buffer.flush()


async def test_replay_is_read_in_batches_and_not_buffered() -> None:
    replay_buffer = ReplayBuffer()
    fill(replay_buffer, 100, 10_000)
    cursor = str(TimelineCursor(replay_buffer.epoch, 0))
    feed = open_event_feed(
        replay_buffer, event_filter=EventFilter(), limit=3, cursor=cursor, make_source_frame=source
    )
    assert feed.buffered_bytes == 0
    feed.finish()
    chunks = [chunk async for chunk in feed.frames()]
    assert event_names(chunks) == ["source", *(f"job.new{number}" for number in range(100))]
    assert max(map(len, chunks)) <= MAX_BATCH_BYTES + 1000


async def test_slow_client_during_replay_gets_gap() -> None:
    replay_buffer = ReplayBuffer(max_events=20)
    fill(replay_buffer, 20, 10_000)
    cursor = str(TimelineCursor(replay_buffer.epoch, 0))
    feed = open_event_feed(
        replay_buffer, event_filter=EventFilter(), limit=3, cursor=cursor, make_source_frame=source
    )
    first = await anext(feed)
    assert event_names([first]) == ["source", *(f"job.new{number}" for number in range(6))]
    fill(replay_buffer, 10)
    feed.finish()
    rest = event_names([chunk async for chunk in feed.frames()])
    older = [f"job.new{number}" for number in range(10, 20)]
    assert rest == ["gap 4", "source", *older, *(f"job.new{number}" for number in range(10))]
    assert replay_buffer.slow_consumer_gaps == 1


async def read_rest(feed: EventFeed) -> list[str]:
    """Return the names of all remaining events."""
    feed.finish()
    return event_names([chunk async for chunk in feed.frames()])


async def test_dropped_queue_entries_are_replayed_from_buffer() -> None:
    replay_buffer = ReplayBuffer()
    feed = open_event_feed(
        replay_buffer, event_filter=EventFilter(), limit=0, cursor="", make_source_frame=source
    )
    await anext(feed)
    replay_buffer.broadcast_unbuffered(lambda _wanted: source(""))
    fill(replay_buffer, 3000, 500)
    assert feed.buffered_bytes < 1000 * 700
    # A source event may be among the dropped entries, so it is sent again.
    assert await read_rest(feed) == ["source", *(f"job.new{number}" for number in range(3000))]
    assert replay_buffer.slow_consumer_gaps == 0


@pytest.mark.parametrize(
    ("job_ids", "with_gap", "missed"),
    [((), False, 100), ((), True, None), (("a",), False, None)],
)
async def test_slow_client_beyond_replay_buffer_gets_gap(
    job_ids: tuple[str, ...], *, with_gap: bool, missed: int | None
) -> None:
    """Check that the count is unknown with a gap among the lost events, or with a filter."""
    replay_buffer = ReplayBuffer(max_events=1900)
    event_filter = EventFilter(frozenset(job_ids))
    feed = open_event_feed(
        replay_buffer, event_filter=event_filter, limit=0, cursor="", make_source_frame=source
    )
    await anext(feed)
    fill(replay_buffer, 50)
    if with_gap:
        replay_buffer.add_gap()
    fill(replay_buffer, 1950)
    rest = await read_rest(feed)
    assert rest[:4] == ["source", f"gap {missed}", "source", "job.new50"]
    assert len(rest) == 3 + 1900
    assert replay_buffer.slow_consumer_gaps == 1
