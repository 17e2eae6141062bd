"""The timeline keeps the newest events, and tells where a viewer stopped."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from marianne_stream.fanout.replay_buffer import EntryFilter, ReplayBuffer, ReplayEntry
from marianne_stream.fanout.source_positions import ReadPosition
from marianne_stream.fanout.subscriber_queue import DropOldestQueue
from marianne_stream.models import MonitorEvent
from marianne_stream.wire.cursors import TimelineCursor
from marianne_stream.wire.sse import EncodedFrames


def filled(events: int, **bounds: Any) -> ReplayBuffer:
    timeline = ReplayBuffer(**bounds)
    for number in range(1, events + 1):
        timeline.add(MonitorEvent("a", f"job.step{number}", b"{}"))
    return timeline


def everything(_entry: ReplayEntry) -> bool:
    return True


def names(entries: list[ReplayEntry] | None) -> list[str] | None:
    return None if entries is None else [entry.event for entry in entries]


def test_the_oldest_events_go_when_there_are_too_many_or_they_are_too_big() -> None:
    assert names(filled(5, max_events=2).get_newest(9, everything)) == ["job.step4", "job.step5"]
    one = filled(1).get_newest(1, everything)[0].size_bytes
    kept = filled(5, max_bytes=one * 3 + 2).get_newest(9, everything)
    assert names(kept) == ["job.step3", "job.step4", "job.step5"]


def test_what_came_after_a_cursor_can_be_told_while_all_of_it_is_kept() -> None:
    timeline = filled(5, max_events=3)

    def since(number: int) -> list[str] | None:
        kept = timeline.resolve_cursor(TimelineCursor(timeline.epoch, number)) is not None
        found = timeline.get_range(number, timeline.last_number, everything)
        assert kept == (found is not None and number <= timeline.last_number)
        return names(found) if kept else None

    assert since(5) == []
    assert since(4) == ["job.step5"]
    assert since(2) == ["job.step3", "job.step4", "job.step5"]
    assert since(1) is None
    assert since(6) is None


def test_the_cursor_of_another_process_tells_nothing() -> None:
    timeline = filled(3)
    other = ReplayBuffer()
    assert timeline.epoch != other.epoch
    assert timeline.resolve_cursor(TimelineCursor(other.epoch, 2)) is None


def test_nothing_has_come_after_the_beginning() -> None:
    timeline = ReplayBuffer()
    assert timeline.resolve_cursor(TimelineCursor(timeline.epoch, 0)) == ReadPosition(0)
    assert timeline.get_range(0, timeline.last_number, everything) == []


def test_a_gap_stands_among_the_newest_and_is_not_counted_as_an_event() -> None:
    timeline = filled(2)
    timeline.add_gap()
    timeline.add(MonitorEvent("a", "job.step3", b"{}"))
    assert names(timeline.get_newest(2, everything)) == ["job.step2", "", "job.step3"]


def test_what_is_only_said_is_not_kept() -> None:
    timeline = filled(1)
    timeline.broadcast_unbuffered(lambda _wanted: b"event: source\ndata: {}\n\n")
    assert names(timeline.get_newest(9, everything)) == ["job.step1"]


class Looked:
    """Counts the entries that it is asked about, and wants those of one job."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.count = 0

    def __call__(self, entry: ReplayEntry) -> bool:
        """Whether an entry is wanted."""
        self.count += 1
        return entry.job_id in (self.job_id, None)


def test_what_is_wanted_of_a_rare_job_is_found_without_a_look_at_all_others() -> None:
    timeline = ReplayBuffer(max_events=1000)
    timeline.add(MonitorEvent("rare", "job.gone", b"{}"))
    for number in range(1000):
        timeline.add(MonitorEvent("rare" if number % 500 == 7 else "a", f"job.step{number}", b"{}"))
    timeline.add_gap()
    looked, jobs = Looked("rare"), frozenset({"rare"})
    expected = ["job.step7", "job.step507", ""]
    assert names(timeline.get_newest(50, looked, jobs)) == expected
    assert (
        names(timeline.get_range(timeline.oldest_number, timeline.last_number, looked, jobs))
        == expected
    )
    assert names(timeline.get_range(600, timeline.last_number, looked, jobs)) == [""]
    assert names(timeline.get_newest(50, looked, frozenset({"nobody"}))) == [""]
    assert looked.count <= 8


def test_one_who_was_away_for_a_moment_costs_no_look_at_all_that_is_kept() -> None:
    timeline, looked = filled(1000), Looked("a")
    assert names(timeline.get_range(999, 1000, looked)) == ["job.step1000"]
    assert names(timeline.get_newest(1, looked)) == ["job.step1000"]
    assert looked.count == 2


class Room:
    """An outlet that takes what it is sent, as long as it has room."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.full = False

    def try_send(self, frames: EncodedFrames, /) -> bool:
        """Takes frames."""
        if not self.full:
            self.sent.append(frames.data)
        return not self.full


@asynccontextmanager
async def waiting(
    timeline: ReplayBuffer, wanted: EntryFilter
) -> AsyncIterator[tuple[Room, DropOldestQueue[ReplayEntry]]]:
    """A subscriber whose reader waits."""
    room, mailbox = Room(), DropOldestQueue[ReplayEntry]()
    mailbox.sink = room
    timeline.subscribe(mailbox, wanted)
    reader = asyncio.create_task(mailbox.wait())
    await asyncio.sleep(0)
    yield room, mailbox
    reader.cancel()
    timeline.unsubscribe(mailbox, wanted)


def add(timeline: ReplayBuffer, *names: str) -> None:
    for name in names:
        timeline.add(MonitorEvent("a", name, b"{}"))


async def test_what_comes_in_one_turn_goes_out_at_once_and_wakes_nobody() -> None:
    timeline = ReplayBuffer()
    async with (
        waiting(timeline, everything) as (one, mailbox),
        waiting(timeline, everything) as (other, _),
    ):
        add(timeline, "job.a", "job.b", "job.c")
        assert one.sent == []
        await asyncio.sleep(0)
        assert len(one.sent) == 1
        assert one.sent[0].count(b"event: job.") == 3
        # The same bytes, not only equal ones.
        assert one.sent[0] is other.sent[0]
        assert not mailbox.take().items


async def test_what_comes_in_one_turn_is_no_more_than_one_write_at_a_time() -> None:
    timeline = ReplayBuffer()
    async with waiting(timeline, everything) as (room, _):
        for size in (20_000, 20_000, 100_000, 10, 10):
            timeline.add(MonitorEvent("a", "job.a", b"x" * size))
        timeline.flush()
    counts = [sent.count(b"event: job.a") for sent in room.sent]
    assert counts == [1, 1, 1, 2]


async def test_only_what_is_wanted_goes_out() -> None:
    timeline = ReplayBuffer()
    async with (
        waiting(timeline, everything) as (one, _),
        waiting(timeline, lambda entry: entry.event == "job.b") as (other, _),
    ):
        add(timeline, "job.a")
        await asyncio.sleep(0)
        add(timeline, "job.b")
        await asyncio.sleep(0)
        assert (len(one.sent), len(other.sent)) == (2, 1)
        assert b"job.b" in other.sent[0]


async def test_without_room_it_is_kept_and_stays_in_order() -> None:
    timeline = ReplayBuffer()
    async with waiting(timeline, everything) as (room, mailbox):
        room.full = True
        add(timeline, "job.a")
        await asyncio.sleep(0)
        room.full = False
        # The reader has been woken, and has not taken it yet: what comes now stands behind it.
        add(timeline, "job.b")
        timeline.flush()
        assert room.sent == []
        assert names(list(mailbox.take().items)) == ["job.a", "job.b"]


async def test_one_who_subscribes_in_the_middle_of_a_turn_gets_nothing_twice() -> None:
    timeline = ReplayBuffer()
    async with waiting(timeline, everything) as (early, _):
        add(timeline, "job.a")
        late, mailbox = Room(), DropOldestQueue[ReplayEntry]()
        mailbox.sink = late
        timeline.subscribe(mailbox, everything)
        past = timeline.get_newest(9, everything)
        await asyncio.sleep(0)
        assert names(past) == ["job.a"]
        assert not mailbox.take().items
        assert len(early.sent) == 1
