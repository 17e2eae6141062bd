"""Where a viewer of the timeline begins, and which events it wants."""

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
    return sse.frame(b"{}", event="source", event_id=event_id)


@pytest.fixture
def timeline() -> ReplayBuffer:
    """A timeline that keeps the last ten of twenty events."""
    timeline = ReplayBuffer(max_events=10)
    for number in range(1, 21):
        timeline.add(MonitorEvent("a", f"job.step{number}", b"{}"))
    return timeline


async def past(
    timeline: ReplayBuffer, cursor: str, *, job_ids: frozenset[str] = frozenset()
) -> list[str]:
    """The names of what a viewer gets at first, with what a gap says."""
    wanted = EventFilter(job_ids)
    feed = open_event_feed(
        timeline, event_filter=wanted, limit=3, cursor=cursor, make_source_frame=source
    )
    feed.finish()
    return shown([chunk async for chunk in feed.frames()])


def shown(chunks: list[bytes]) -> list[str]:
    """The names of events, with what a gap says."""
    events = EventParser().feed(b"".join(chunks))
    return [
        f"gap {json.loads(event.data)['missed']}" if event.event == "gap" else event.event
        for event in events
    ]


async def test_a_new_viewer_gets_the_newest(timeline: ReplayBuffer) -> None:
    assert await past(timeline, "") == ["source", "job.step18", "job.step19", "job.step20"]


async def test_a_cursor_that_is_too_old_is_told_how_much_is_missing(timeline: ReplayBuffer) -> None:
    cursor = str(TimelineCursor(timeline.epoch, 5))
    expected = ["gap 12", "source", "job.step18", "job.step19", "job.step20"]
    assert await past(timeline, cursor) == expected


async def test_how_much_of_a_part_is_missing_cannot_be_known(timeline: ReplayBuffer) -> None:
    cursor = str(TimelineCursor(timeline.epoch, 5))
    found = await past(timeline, cursor, job_ids=frozenset({"a"}))
    assert found[0] == "gap None"


async def test_a_cursor_that_is_kept_gives_all_that_came_since(timeline: ReplayBuffer) -> None:
    cursor = str(TimelineCursor(timeline.epoch, 12))
    assert await past(timeline, cursor) == ["source", *(f"job.step{n}" for n in range(13, 21))]


async def test_one_who_was_cut_off_before_its_first_event_has_a_position(
    timeline: ReplayBuffer,
) -> None:
    for limit, number in ((3, 17), (0, 20)):
        feed = open_event_feed(
            timeline, event_filter=EventFilter(), limit=limit, cursor="", make_source_frame=source
        )
        first = await anext(feed)
        event = next(iter(EventParser().feed(first)))
        assert event.event_id == str(TimelineCursor(timeline.epoch, number))


def fill(timeline: ReplayBuffer, events: int, data_bytes: int = 2) -> None:
    """Adds events, each in a turn of its own."""
    for number in range(events):
        timeline.add(MonitorEvent("a", f"job.new{number}", b"x" * data_bytes))
        timeline.flush()


async def test_what_is_past_is_taken_a_piece_at_a_time_and_held_for_nobody() -> None:
    timeline = ReplayBuffer()
    fill(timeline, 100, 10_000)
    cursor = str(TimelineCursor(timeline.epoch, 0))
    feed = open_event_feed(
        timeline, event_filter=EventFilter(), limit=3, cursor=cursor, make_source_frame=source
    )
    assert feed.buffered_bytes == 0
    feed.finish()
    chunks = [chunk async for chunk in feed.frames()]
    assert shown(chunks) == ["source", *(f"job.new{number}" for number in range(100))]
    assert max(map(len, chunks)) <= MAX_BATCH_BYTES + 1000


async def test_one_that_is_slower_than_the_past_is_forgotten_is_told_of_a_gap() -> None:
    timeline = ReplayBuffer(max_events=20)
    fill(timeline, 20, 10_000)
    cursor = str(TimelineCursor(timeline.epoch, 0))
    feed = open_event_feed(
        timeline, event_filter=EventFilter(), limit=3, cursor=cursor, make_source_frame=source
    )
    first = await anext(feed)
    assert shown([first]) == ["source", *(f"job.new{number}" for number in range(6))]
    fill(timeline, 10)
    feed.finish()
    rest = shown([chunk async for chunk in feed.frames()])
    older = [f"job.new{number}" for number in range(10, 20)]
    assert rest == ["gap 4", "source", *older, *(f"job.new{number}" for number in range(10))]
    assert timeline.slow_consumer_gaps == 1


async def read(feed: EventFeed) -> list[str]:
    """What a viewer gets until it has all."""
    feed.finish()
    return shown([chunk async for chunk in feed.frames()])


async def test_what_a_mailbox_lets_go_is_read_from_the_timeline_while_that_keeps_it() -> None:
    timeline = ReplayBuffer()
    feed = open_event_feed(
        timeline, event_filter=EventFilter(), limit=0, cursor="", make_source_frame=source
    )
    await anext(feed)
    timeline.broadcast_unbuffered(lambda _wanted: source(""))
    fill(timeline, 3000, 500)
    assert feed.buffered_bytes < 1000 * 700
    # It may have lost where events come from, and is told that again.
    assert await read(feed) == ["source", *(f"job.new{number}" for number in range(3000))]
    assert timeline.slow_consumer_gaps == 0


@pytest.mark.parametrize(
    ("job_ids", "with_gap", "missed"),
    [((), False, 100), ((), True, None), (("a",), False, None)],
)
async def test_one_that_is_slower_than_the_timeline_forgets_is_told_of_a_gap(
    job_ids: tuple[str, ...], *, with_gap: bool, missed: int | None
) -> None:
    """How many are missing is not known where a gap is among them, or some are not wanted."""
    timeline = ReplayBuffer(max_events=1900)
    wanted = EventFilter(frozenset(job_ids))
    feed = open_event_feed(
        timeline, event_filter=wanted, limit=0, cursor="", make_source_frame=source
    )
    await anext(feed)
    fill(timeline, 50)
    if with_gap:
        timeline.add_gap()
    fill(timeline, 1950)
    rest = await read(feed)
    assert rest[:4] == ["source", f"gap {missed}", "source", "job.new50"]
    assert len(rest) == 3 + 1900
    assert timeline.slow_consumer_gaps == 1
