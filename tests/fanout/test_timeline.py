"""The timeline keeps the newest events, and tells where a viewer stopped."""

from marianne_stream.fanout.timeline import Timeline, TimelineEntry
from marianne_stream.models import MonitorEvent
from marianne_stream.wire.cursors import TimelineCursor


def filled(events: int, **bounds: int) -> Timeline:
    timeline = Timeline(**bounds)
    for number in range(1, events + 1):
        timeline.add(MonitorEvent("a", f"job.step{number}", b"{}"))
    return timeline


def everything(_entry: TimelineEntry) -> bool:
    return True


def names(entries: list[TimelineEntry] | None) -> list[str] | None:
    return None if entries is None else [entry.event for entry in entries]


def test_the_oldest_events_go_when_there_are_too_many_or_they_are_too_big() -> None:
    assert names(filled(5, max_events=2).recent(9, everything)) == ["job.step4", "job.step5"]
    one = len(filled(1).recent(1, everything)[0].frame)
    kept = filled(5, max_bytes=one * 3 + 2).recent(9, everything)
    assert names(kept) == ["job.step3", "job.step4", "job.step5"]


def test_what_came_after_a_cursor_can_be_told_while_all_of_it_is_kept() -> None:
    timeline = filled(5, max_events=3)

    def since(number: int) -> list[str] | None:
        return names(timeline.since(TimelineCursor(timeline.epoch, number), everything))

    assert since(5) == []
    assert since(4) == ["job.step5"]
    assert since(2) == ["job.step3", "job.step4", "job.step5"]
    assert since(1) is None
    assert since(6) is None


def test_the_cursor_of_another_process_tells_nothing() -> None:
    timeline = filled(3)
    other = Timeline()
    assert timeline.epoch != other.epoch
    assert timeline.since(TimelineCursor(other.epoch, 2), everything) is None


def test_nothing_has_come_after_the_beginning() -> None:
    timeline = Timeline()
    assert timeline.since(TimelineCursor(timeline.epoch, 0), everything) == []


def test_a_gap_stands_among_the_newest_and_is_not_counted_as_an_event() -> None:
    timeline = filled(2)
    timeline.add_gap()
    timeline.add(MonitorEvent("a", "job.step3", b"{}"))
    assert names(timeline.recent(2, everything)) == ["job.step2", "", "job.step3"]


def test_what_is_only_said_is_not_kept() -> None:
    timeline = filled(1)
    timeline.say(b"event: source\ndata: {}\n\n")
    assert names(timeline.recent(9, everything)) == ["job.step1"]
