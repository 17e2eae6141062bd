"""Parts of a combined feed: turns, slow clients, and parts that are slow, broken or ended."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from marianne_stream.errors import JobNotFoundError, StateUnavailableError
from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.fanout.topic import Topic
from marianne_stream.feeds import combined_feed
from marianne_stream.feeds.combined_feed import CombinedFeed, OpenFeed, Part
from marianne_stream.feeds.feed import Feed, FeedKind
from marianne_stream.feeds.snapshot_feeds import SnapshotFeed
from marianne_stream.jobs.snapshots import RosterSnapshot
from marianne_stream.jobs.subscriptions import Subscription
from marianne_stream.models import Roster, RosterEntry
from marianne_stream.wire.sse import EncodedFrames, EventParser
from tests.support.waiting import wait_until


def frame(number: int, event: str = "log", **data: Any) -> bytes:
    """Return a frame whose data has a number."""
    text = json.dumps({"number": number, **data}, separators=(",", ":"))
    return f"id: i-{number}\nevent: {event}\ndata: {text}\n\n".encode()


class ScriptedFeed:
    """Feed that yields what the test puts into its queue: frames, an error, or None for its end."""

    kind: FeedKind = "log"
    has_heartbeats = False

    def __init__(self, *script: bytes | Exception | None, is_exhausted: bool = False) -> None:
        self.is_exhausted = is_exhausted
        self.queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        for item in script:
            self.queue.put_nowait(item)
        self.buffered_bytes = 0
        self.sink: Sink | None = None
        self.taken = 0
        self.closed = 0

    def set_sink(self, sink: Sink) -> None:
        self.sink = sink

    async def frames(self) -> AsyncIterator[bytes]:
        while (item := await self.queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            self.taken += 1
            yield item
            del item

    def finish(self) -> None:
        self.queue.put_nowait(None)

    def close(self) -> None:
        self.closed += 1


def opener(feed: Feed) -> OpenFeed:
    """Return a function that opens a feed at once."""

    async def open_feed() -> Feed:
        return feed

    return open_feed


def make_log_part(name: str, open_feed: OpenFeed) -> Part:
    """Return a part with the log of the job `a`."""
    return Part(name, open_feed, "a", kind="log")


async def make_feed(*feeds: ScriptedFeed) -> CombinedFeed:
    """Open a feed of parts with the names p0, p1, …."""
    feed = CombinedFeed([make_log_part(f"p{n}", opener(one)) for n, one in enumerate(feeds)])
    await feed.open()
    return feed


def parse(frames: bytes) -> list[tuple[str, Any]]:
    """Return the names and data of events."""
    return [(event.event, json.loads(event.data)) for event in EventParser().feed(frames)]


async def read_all(feed: CombinedFeed) -> list[tuple[str, Any]]:
    """Return all events up to the end of the feed, without the starts of parts."""
    events = [event async for frames in feed.frames() for event in parse(frames)]
    return [event for event in events if event[0] != "part_start"]


async def read_starts(frames: AsyncIterator[bytes], count: int) -> None:
    """Read the starts of parts, which come first."""
    for _ in range(count):
        assert [name for name, _ in parse(await anext(frames))] == ["part_start"]


async def test_parts_take_turns() -> None:
    busy = ScriptedFeed(*map(frame, range(50)), None)
    quiet = ScriptedFeed(*map(frame, range(3)), None)
    feed = await make_feed(busy, quiet)
    parts = [data["part"] for _, data in await read_all(feed)]
    assert parts[:6] == ["p0", "p1"] * 3
    assert parts.count("p0") == 50
    feed.close()


async def test_part_of_slow_client_holds_one_piece_and_is_counted() -> None:
    feeds = [ScriptedFeed(*map(frame, range(100))) for _ in range(3)]
    feeds[0].buffered_bytes = 1000
    feed = await make_feed(*feeds)
    frames = feed.frames()
    await read_starts(frames, 3)
    first = await anext(frames)
    for _ in range(20):
        await asyncio.sleep(0)
    assert [one.taken for one in feeds] == [1, 1, 1]
    # The client of the test has the first piece, and its part waits with the rest.
    assert feed.buffered_bytes == 1000 + 2 * len(first)
    feed.close()


async def test_part_that_opens_slowly_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combined_feed, "OPEN_TIMEOUT_S", 0.01)
    may_open, sent = asyncio.Event(), []

    class Client:
        def try_send(self, frames: EncodedFrames, /) -> bool:
            sent.append(frames.data)
            return True

    slow_feed = ScriptedFeed(frame(2), None)

    async def open_slowly() -> Feed:
        await may_open.wait()
        return slow_feed

    fast = make_log_part("fast", opener(ScriptedFeed(frame(1), None)))
    feed = CombinedFeed([make_log_part("slow", open_slowly), fast])
    await feed.open()
    assert not feed.is_exhausted
    feed.set_sink(Client())
    frames = feed.frames()
    await read_starts(frames, 1)
    assert parse(await anext(frames)) == [("log", {"number": 1, "part": "fast", "job_id": "a"})]
    may_open.set()
    await read_starts(frames, 1)
    assert parse(await anext(frames)) == [("log", {"number": 2, "part": "slow", "job_id": "a"})]
    assert slow_feed.sink is not None
    assert slow_feed.sink.try_send(EncodedFrames(frame(3)))
    assert parse(sent[0]) == [("log", {"number": 3, "part": "slow", "job_id": "a"})]
    feed.close()


def make_roster(status: str) -> RosterSnapshot:
    """Return a roster of one job."""
    entries = {"a": RosterEntry("a", status, 1.0)}
    return RosterSnapshot(Roster(entries, source="conductor", live=True), {})


async def test_part_begins_with_the_state_at_the_time_of_reading() -> None:
    topic: Topic[RosterSnapshot] = Topic()
    subscription = Subscription(topic, on_close=lambda: None)
    roster: SnapshotFeed[RosterSnapshot] = SnapshotFeed(
        "roster",
        make_roster("running"),
        subscription,
        restrict=lambda shown: shown,
        is_resumed=False,
    )
    may_open = asyncio.Event()

    async def open_slowly() -> Feed:
        await may_open.wait()
        return ScriptedFeed(is_exhausted=True)

    slow = Part("status:b", open_slowly, "b", kind="status")
    feed = CombinedFeed([Part("roster", opener(roster), kind="roster"), slow])
    opening = asyncio.create_task(feed.open())
    await wait_until(lambda: subscription.queue.sink)
    # The client's former stream tells it of this.
    topic.publish(make_roster("failed"))
    may_open.set()
    await opening
    events = parse(await anext(feed.frames()))
    assert [name for name, _ in events] == ["source", "roster"]
    assert [(d["complete"], d["jobs"][0]["status"]) for _, d in events[1:]] == [(True, "failed")]
    feed.close()


async def test_ended_part_is_closed_while_others_go_on() -> None:
    ended, going_on = ScriptedFeed(frame(1), None), ScriptedFeed()
    feed = await make_feed(ended, going_on)
    frames = feed.frames()
    await read_starts(frames, 2)
    await anext(frames)
    waiting = asyncio.ensure_future(anext(frames))
    await wait_until(lambda: ended.closed)
    assert (ended.closed, going_on.closed) == (1, 0)
    going_on.queue.put_nowait(frame(2))
    assert parse(await waiting) == [("log", {"number": 2, "part": "p1", "job_id": "a"})]
    feed.close()
    assert (ended.closed, going_on.closed) == (1, 1)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (StateUnavailableError(), (503, "state_unavailable")),
        (JobNotFoundError("a"), (404, "job_not_found")),
        (KeyError("/tmp/secret"), (500, "internal_error")),
    ],
)
async def test_failing_part_ends_alone_with_part_error(
    fault: Exception, expected: tuple[int, str], caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> Feed:
        raise fault

    broken = ScriptedFeed(frame(1), fault)
    other = ScriptedFeed(frame(2), None)
    feed = CombinedFeed(
        [
            Part("unopened", fail, kind="roster"),
            Part("broken", opener(broken), kind="roster"),
            Part("other", opener(other), kind="roster"),
        ]
    )
    await feed.open()
    events = await read_all(feed)
    errors = {data["part"]: data for name, data in events if name == "part_error"}
    assert set(errors) == {"unopened", "broken"}
    for data in errors.values():
        assert (data["status"], data["code"]) == expected
        assert "secret" not in data["detail"]
    assert ("log", {"number": 2, "part": "other"}) in events
    is_logged = any(record.levelno == logging.ERROR for record in caplog.records)
    assert is_logged == isinstance(fault, KeyError)
    assert (broken.closed, other.closed) == (1, 1)
    feed.close()


async def test_log_entry_of_a_failed_part_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> Feed:
        raise KeyError

    name = "log:a?x=\n2026-11-28 21:00:00 INFO signed in user=admin\x1b[2J" + 1000 * "x"
    feed = CombinedFeed([make_log_part(name, fail)], request_id="r-1")
    await feed.open()
    ((event, data),) = await read_all(feed)
    assert (event, data["part"], data["job_id"]) == ("part_error", name, "a")
    (record,) = caplog.records
    message = record.getMessage()
    assert message.isprintable()
    assert len(message) < 300
    assert message.endswith("request_id=r-1")
    feed.close()


async def test_piece_that_was_sent_is_not_kept() -> None:
    freed = []

    class Piece(bytes):
        def __del__(self) -> None:
            freed.append(self)

    class MarkingPart(Part):
        def mark(self, frames: bytes) -> bytes:
            return Piece(super().mark(frames))

    source = ScriptedFeed(Piece(frame(1)))
    feed = CombinedFeed([MarkingPart("log:a", opener(source), "a", kind="log")])
    await feed.open()
    frames = feed.frames()
    await read_starts(frames, 1)
    await anext(frames)
    waiting = asyncio.ensure_future(anext(frames))
    # The source's piece and the marked one.
    await wait_until(lambda: len(freed) == 2)
    waiting.cancel()
    await asyncio.wait([waiting])
    feed.close()


async def test_finish_sends_what_is_there_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combined_feed, "OPEN_TIMEOUT_S", 0.01)

    async def never_open() -> Feed:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    going_on = ScriptedFeed(frame(1))
    feed = CombinedFeed(
        [make_log_part("going on", opener(going_on)), make_log_part("opening", never_open)]
    )
    await feed.open()
    feed.finish()
    async with asyncio.timeout(10):
        events = await read_all(feed)
    assert events == [("log", {"number": 1, "part": "going on", "job_id": "a"})]
    feed.close()


async def test_cancelled_open_closes_opened_feeds() -> None:
    opened = ScriptedFeed(frame(1))
    cancelled = asyncio.Event()

    async def never_open() -> Feed:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()
        raise AssertionError

    feed = CombinedFeed(
        [make_log_part("opened", opener(opened)), make_log_part("opening", never_open)]
    )
    opening = asyncio.create_task(feed.open())
    await wait_until(lambda: opened.sink)
    opening.cancel()
    await asyncio.wait([opening])
    feed.close()
    await cancelled.wait()
    assert opened.closed == 1


async def test_exhausted_parts_make_an_exhausted_feed() -> None:
    ended = [ScriptedFeed(is_exhausted=True), ScriptedFeed(is_exhausted=True)]
    feed = await make_feed(*ended)
    assert feed.is_exhausted
    feed.close()
    await wait_until(lambda: [one.closed for one in ended] == [1, 1])
    other = await make_feed(ScriptedFeed(is_exhausted=True), ScriptedFeed(frame(1), None))
    assert not other.is_exhausted
    assert [data["part"] for _, data in await read_all(other)] == ["p1"]
    other.close()


def test_events_without_a_job_get_that_of_their_part() -> None:
    part = Part("events:a", opener(ScriptedFeed()), "a", kind="events")
    nested = b'event: gap\\ndata: {"job_id":null,'
    frames = (
        b'id: t-1\nevent: source\ndata: {"job_id":null,"source":"conductor","live":true}\n\n'
        b'event: gap\ndata: {"missed":null,"reason":"monitor_lost"}\n\n'
        + b'id: t-2\nevent: job.said\ndata: {"job_id":"a","text":"%b"}\n\n'
        % nested.replace(b'"', b"'")
    )
    events = list(EventParser().feed(part.mark(frames)))
    assert [json.loads(event.data)["job_id"] for event in events] == ["a", "a", "a"]
    assert all(event.data.count('"job_id"') == 1 for event in events)
    assert {json.loads(event.data)["part"] for event in events} == {"events:a"}


def test_mark_is_made_once_for_each_part_of_the_same_frames() -> None:
    marked: list[str] = []

    class Client:
        def try_send(self, frames: EncodedFrames, /) -> bool:
            return bool(frames.data)

    class CountingPart(Part):
        def mark(self, frames: bytes) -> bytes:
            marked.append(self.name)
            return super().mark(frames)

    names = ("log:a", "log:a?tail_lines=5")
    parts = [CountingPart(name, opener(ScriptedFeed()), "a", kind="log") for name in names * 3]
    frames = EncodedFrames(frame(1))
    for part in parts:
        part.sink = Client()
        assert part.try_send(frames)
    assert marked == [*names]


def test_mark_is_the_last_field_of_its_name() -> None:
    part = Part('log:a"\\1', opener(ScriptedFeed()), "b\\2", kind="log")
    mark = {"part": 'log:a"\\1', "job_id": "b\\2"}
    frames = (
        frame(1, part="theirs", line="}\n\n")
        + b"id: l-2\n\n"
        + b'event: log_partial\ndata: {"job_id":"own","line":""}\n\n'
        + frame(3, "log_gap")
    )
    events = list(EventParser().feed(part.mark(frames)))
    assert [(event.event, json.loads(event.data)) for event in events] == [
        ("log", {"number": 1, "line": "}\n\n", **mark}),
        ("part_start", mark),
        ("log_partial", {"job_id": "own", "line": "", "part": 'log:a"\\1'}),
        ("log_gap", {"number": 3, **mark}),
    ]
    assert [event.event_id for event in events] == ["i-1", "l-2", "l-2", "i-3"]
