"""Where a viewer of the timeline begins, and which events it wants."""

import json

import pytest

from marianne_stream.fanout.timeline import Timeline
from marianne_stream.feeds.events import EventFilter, past_frames
from marianne_stream.models import MonitorEvent
from marianne_stream.wire import sse
from marianne_stream.wire.cursors import TimelineCursor
from marianne_stream.wire.sse import EventParser


def source(event_id: str) -> bytes:
    return sse.frame(b"{}", event="source", event_id=event_id)


@pytest.fixture
def timeline() -> Timeline:
    """A timeline that keeps the last ten of twenty events."""
    timeline = Timeline(max_events=10)
    for number in range(1, 21):
        timeline.add(MonitorEvent("a", f"job.step{number}", b"{}"))
    return timeline


def past(timeline: Timeline, cursor: str, *, job_ids: frozenset[str] = frozenset()) -> list[str]:
    """The names of what a viewer gets at first, with what a gap says."""
    frames = past_frames(
        timeline,
        wanted=EventFilter(job_ids),
        limit=3,
        cursor=cursor,
        source=source,
    )
    events = EventParser().feed(b"".join(frames))
    return [
        f"gap {json.loads(event.data)['missed']}" if event.event == "gap" else event.event
        for event in events
    ]


def test_a_new_viewer_gets_the_newest(timeline: Timeline) -> None:
    assert past(timeline, "") == ["source", "job.step18", "job.step19", "job.step20"]


def test_a_cursor_that_is_too_old_is_told_how_much_is_missing(timeline: Timeline) -> None:
    cursor = str(TimelineCursor(timeline.epoch, 5))
    expected = ["gap 12", "source", "job.step18", "job.step19", "job.step20"]
    assert past(timeline, cursor) == expected


def test_how_much_of_a_part_is_missing_cannot_be_known(timeline: Timeline) -> None:
    cursor = str(TimelineCursor(timeline.epoch, 5))
    found = past(timeline, cursor, job_ids=frozenset({"a"}))
    assert found[0] == "gap None"


def test_a_cursor_that_is_kept_gives_all_that_came_since(timeline: Timeline) -> None:
    cursor = str(TimelineCursor(timeline.epoch, 12))
    assert past(timeline, cursor) == ["source", *(f"job.step{n}" for n in range(13, 21))]


def test_one_who_was_cut_off_before_its_first_event_has_a_position(timeline: Timeline) -> None:
    for limit, number in ((3, 17), (0, 20)):
        first, *_ = past_frames(
            timeline, wanted=EventFilter(), limit=limit, cursor="", source=source
        )
        event = next(iter(EventParser().feed(first)))
        assert event.event_id == str(TimelineCursor(timeline.epoch, number))
