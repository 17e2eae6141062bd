"""Tests of catch-up and handover: each line once and in order, however slow the client is."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from marianne_stream.errors import StateUnavailableError
from marianne_stream.feeds.batch_queue import BatchQueue, FrameBatch
from marianne_stream.feeds.line_matcher import LineMatcher
from marianne_stream.feeds.live_log_feed import LiveLogFeed
from marianne_stream.logs.log_threads import JobThreads, LogThreads
from marianne_stream.wire.sse import EncodedFrames

MAX_READ_LINES = 3
MAX_QUEUED_BYTES = 20


class NumberBatch(FrameBatch):
    """Batch of one numbered line."""

    async def _match_frames(self, threads: JobThreads, matcher: LineMatcher) -> bytes:
        raise NotImplementedError


class NumberQueue(BatchQueue[NumberBatch]):
    """Queue that knows the number of the last line."""

    position = 0

    def _set_position(self, batch: NumberBatch) -> None:
        if not batch.is_complete:
            self.position = int(batch.frames)


class NumberLog:
    """Log of numbered lines, and its follower."""

    def __init__(self) -> None:
        self.last = 0
        self.is_complete = False
        self.queues: set[NumberQueue] = set()
        self.subscribed = asyncio.Event()

    def append(self) -> None:
        """Append a line and offer it."""
        self.last += 1
        for queue in self.queues:
            queue.offer(NumberBatch(frames=b"%d " % self.last))

    def complete(self) -> None:
        """End the log."""
        self.is_complete = True
        for queue in self.queues:
            queue.offer(NumberBatch(frames=b"end", is_complete=True))


class NumberFeed(LiveLogFeed[NumberQueue, bytes]):
    """Feed of a numbered log that reads a few lines at a time."""

    def __init__(self, log: NumberLog, threads: JobThreads) -> None:
        super().__init__(None, threads)
        self._log = log
        self._position = 0
        self.overflows = 0

    async def _first_frames(self) -> AsyncIterator[bytes]:
        yield b"first "

    def _is_behind(self) -> bool:
        return self._position < self._log.last

    async def _read_next(self) -> bytes | None:
        await asyncio.sleep(0)
        end = min(self._log.last, self._position + MAX_READ_LINES)
        frames = b"".join(b"%d " % number for number in range(self._position + 1, end + 1))
        self._position = end
        return frames

    async def _wait_for_source(self) -> None:
        raise NotImplementedError

    async def _make_end_frame(self) -> bytes:
        await asyncio.sleep(0)
        return b"end" if self._log.is_complete else b""

    def _subscribe(self) -> NumberQueue:
        queue = NumberQueue(None, self._sink, max_bytes=MAX_QUEUED_BYTES)
        queue.position = self._position
        self._log.queues.add(queue)
        self._log.subscribed.set()
        return queue

    def _unsubscribe(self, queue: NumberQueue) -> None:
        self._log.queues.discard(queue)

    def _resume_after(self, queue: NumberQueue) -> None:
        self.overflows += 1
        self._position = queue.position


class FlakySink:
    """Sink that takes some frames and refuses others.

    Args:
        received: where the frames go.
    """

    def __init__(self, received: list[bytes]) -> None:
        self._received = received

    def try_send(self, frames: EncodedFrames, /) -> bool:
        """Take frames, or not."""
        if random.random() < 0.5:
            return False
        self._received.append(frames.data)
        return True


@pytest.fixture
def threads() -> JobThreads:
    """Provide the threads of a job."""
    return LogThreads().for_job("a")


@pytest.mark.parametrize("seed", range(20))
async def test_handover_between_reading_and_following_gives_each_line_once(
    seed: int, threads: JobThreads
) -> None:
    random.seed(seed)
    log, received = NumberLog(), list[bytes]()
    for _ in range(10):
        log.append()
    feed = NumberFeed(log, threads)
    feed.set_sink(FlakySink(received))

    async def receive() -> None:
        async for frames in feed.frames():
            received.append(frames)
            for _ in range(random.choice((0, 0, 0, 30))):
                await asyncio.sleep(0)

    receiving = asyncio.create_task(receive())
    for _ in range(300):
        log.append()
        for _ in range(random.choice((0, 0, 5, 40))):
            await asyncio.sleep(0)
    log.complete()
    await asyncio.wait_for(receiving, 10)
    feed.close()
    assert b"".join(received).split() == [
        b"first",
        *(b"%d" % number for number in range(1, 311)),
        b"end",
    ]
    assert feed.overflows
    assert not log.queues


async def test_log_that_is_complete_ends_with_end_frame(threads: JobThreads) -> None:
    log = NumberLog()
    log.append()
    log.complete()
    feed = NumberFeed(log, threads)
    assert [frames async for frames in feed.frames()] == [b"first ", b"1 ", b"end"]
    feed.close()


async def test_failed_follower_raises_after_queued_batches(threads: JobThreads) -> None:
    log = NumberLog()
    feed = NumberFeed(log, threads)
    frames = feed.frames()
    assert await anext(frames) == b"first "
    pending = asyncio.ensure_future(anext(frames))
    await log.subscribed.wait()
    log.append()
    for queue in log.queues:
        queue.fail(StateUnavailableError("the log is no longer followed"))
    assert await pending == b"1 "
    with pytest.raises(StateUnavailableError):
        await anext(frames)
    feed.close()
    assert not log.queues
