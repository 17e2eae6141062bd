"""The replay buffer keeps the newest events, and resumes clients."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.fanout.replay_entry import EntryFilter, ReplayEntry
from marianne_stream.fanout.source_positions import ReadPosition
from marianne_stream.fanout.subscriber_queue import DropOldestQueue
from marianne_stream.models import MonitorEvent
from marianne_stream.wire.cursors import TimelineCursor
from marianne_stream.wire.sse import EncodedFrames


def make_buffer(events: int, **bounds: Any) -> ReplayBuffer:
    buffer = ReplayBuffer(**bounds)
    for number in range(1, events + 1):
        buffer.add(MonitorEvent("a", f"job.step{number}", b"{}"))
    return buffer


def match_all(_entry: ReplayEntry) -> bool:
    return True


def names(entries: list[ReplayEntry] | None) -> list[str] | None:
    return None if entries is None else [entry.event for entry in entries]


def test_oldest_events_dropped_above_limit() -> None:
    assert names(make_buffer(5, max_events=2).get_newest(9, match_all)) == [
        "job.step4",
        "job.step5",
    ]
    one = make_buffer(1).get_newest(1, match_all)[0].memory_bytes
    kept = make_buffer(5, max_bytes=one * 3 + 2).get_newest(9, match_all)
    assert names(kept) == ["job.step3", "job.step4", "job.step5"]


def test_range_after_cursor_known_while_kept() -> None:
    buffer = make_buffer(5, max_events=3)

    def since(number: int) -> list[str] | None:
        kept = buffer.resolve_cursor(TimelineCursor(buffer.epoch, number)) is not None
        found = buffer.get_range(number, buffer.last_number, match_all)
        assert kept == (found is not None and number <= buffer.last_number)
        return names(found) if kept else None

    assert since(5) == []
    assert since(4) == ["job.step5"]
    assert since(2) == ["job.step3", "job.step4", "job.step5"]
    assert since(1) is None
    assert since(6) is None


def test_cursor_of_other_process_unknown() -> None:
    buffer = make_buffer(3)
    other = ReplayBuffer()
    assert buffer.epoch != other.epoch
    assert buffer.resolve_cursor(TimelineCursor(other.epoch, 2)) is None


def test_empty_buffer_resumes_at_start() -> None:
    buffer = ReplayBuffer()
    assert buffer.resolve_cursor(TimelineCursor(buffer.epoch, 0)) == ReadPosition(0)
    assert buffer.get_range(0, buffer.last_number, match_all) == []


def test_gap_among_newest_not_counted() -> None:
    buffer = make_buffer(2)
    buffer.add_gap()
    buffer.add(MonitorEvent("a", "job.step3", b"{}"))
    assert names(buffer.get_newest(2, match_all)) == ["job.step2", "", "job.step3"]


def test_unbuffered_frame_not_kept() -> None:
    buffer = make_buffer(1)
    buffer.broadcast_unbuffered(lambda _wanted: b"event: source\ndata: {}\n\n")
    assert names(buffer.get_newest(9, match_all)) == ["job.step1"]


class CountingFilter:
    """Filter for one job that counts the entries it examines."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.count = 0

    def __call__(self, entry: ReplayEntry) -> bool:
        """Return True for entries of the job."""
        self.count += 1
        return entry.job_id in (self.job_id, None)


def test_newest_of_one_job_found_without_scan() -> None:
    buffer = ReplayBuffer(max_events=1000)
    buffer.add(MonitorEvent("rare", "job.gone", b"{}"))
    for number in range(1000):
        buffer.add(MonitorEvent("rare" if number % 500 == 7 else "a", f"job.step{number}", b"{}"))
    buffer.add_gap()
    counting, jobs = CountingFilter("rare"), frozenset({"rare"})
    expected = ["job.step7", "job.step507", ""]
    assert names(buffer.get_newest(50, counting, jobs)) == expected
    assert (
        names(buffer.get_range(buffer.oldest_number, buffer.last_number, counting, jobs))
        == expected
    )
    assert names(buffer.get_range(600, buffer.last_number, counting, jobs)) == [""]
    assert names(buffer.get_newest(50, counting, frozenset({"nobody"}))) == [""]
    assert counting.count <= 8


def test_short_absence_resumed_without_scan() -> None:
    buffer, counting = make_buffer(1000), CountingFilter("a")
    assert names(buffer.get_range(999, 1000, counting)) == ["job.step1000"]
    assert names(buffer.get_newest(1, counting)) == ["job.step1000"]
    assert counting.count == 2


class FakeSink:
    """Sink with limited room."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.full = False

    def try_send(self, frames: EncodedFrames, /) -> bool:
        """Store frames if there is room."""
        if not self.full:
            self.sent.append(frames.data)
        return not self.full


@asynccontextmanager
async def waiting(
    buffer: ReplayBuffer, wanted: EntryFilter
) -> AsyncIterator[tuple[FakeSink, DropOldestQueue[ReplayEntry]]]:
    """Yield a subscriber whose reader waits."""
    room, queue = FakeSink(), DropOldestQueue[ReplayEntry]()
    queue.sink = room
    buffer.subscribe(queue, wanted)
    reader = asyncio.create_task(queue.wait())
    await asyncio.sleep(0)
    yield room, queue
    reader.cancel()
    buffer.unsubscribe(queue, wanted)


def add(buffer: ReplayBuffer, *names: str) -> None:
    for name in names:
        buffer.add(MonitorEvent("a", name, b"{}"))


async def test_events_of_one_iteration_sent_without_wakeup() -> None:
    buffer = ReplayBuffer()
    async with (
        waiting(buffer, match_all) as (one, queue),
        waiting(buffer, match_all) as (other, _),
    ):
        add(buffer, "job.a", "job.b", "job.c")
        assert one.sent == []
        await asyncio.sleep(0)
        assert len(one.sent) == 1
        assert one.sent[0].count(b"event: job.") == 3
        # The same bytes, not only equal ones.
        assert one.sent[0] is other.sent[0]
        assert not queue.take().items


async def test_events_of_one_iteration_split_into_writes() -> None:
    buffer = ReplayBuffer()
    async with waiting(buffer, match_all) as (room, _):
        for size in (20_000, 20_000, 100_000, 10, 10):
            buffer.add(MonitorEvent("a", "job.a", b"x" * size))
        buffer.flush()
    counts = [sent.count(b"event: job.a") for sent in room.sent]
    assert counts == [1, 1, 1, 2]


async def test_filtered_events_not_sent() -> None:
    buffer = ReplayBuffer()
    async with (
        waiting(buffer, match_all) as (one, _),
        waiting(buffer, lambda entry: entry.event == "job.b") as (other, _),
    ):
        add(buffer, "job.a")
        await asyncio.sleep(0)
        add(buffer, "job.b")
        await asyncio.sleep(0)
        assert (len(one.sent), len(other.sent)) == (2, 1)
        assert b"job.b" in other.sent[0]


async def test_events_without_room_queued_in_order() -> None:
    buffer = ReplayBuffer()
    async with waiting(buffer, match_all) as (room, queue):
        room.full = True
        add(buffer, "job.a")
        await asyncio.sleep(0)
        room.full = False
        # The reader has been woken, and has not taken it yet: what comes now stands behind it.
        add(buffer, "job.b")
        buffer.flush()
        assert room.sent == []
        assert names(list(queue.take().items)) == ["job.a", "job.b"]


async def test_subscriber_during_iteration_gets_nothing_twice() -> None:
    buffer = ReplayBuffer()
    async with waiting(buffer, match_all) as (early, _):
        add(buffer, "job.a")
        late, queue = FakeSink(), DropOldestQueue[ReplayEntry]()
        queue.sink = late
        buffer.subscribe(queue, match_all)
        past = buffer.get_newest(9, match_all)
        await asyncio.sleep(0)
        assert names(past) == ["job.a"]
        assert not queue.take().items
        assert len(early.sent) == 1


def test_restored_entries_above_the_limits_are_dropped() -> None:
    replay_buffer = ReplayBuffer(max_events=2)
    entries = [ReplayEntry(number, "a", "job.step", b"frame") for number in (4, 5, 6, 7)]
    replay_buffer.restore(entries, [], 7)
    assert (replay_buffer.oldest_number, replay_buffer.last_number) == (6, 7)
    assert [entry.number for entry in replay_buffer.get_newest(9, match_all)] == [6, 7]
