"""Catch-up and handover of a log feed: from the client's position to the live end of the log.

A follower reads each log once for all clients. A client that is behind the follower reads its
source (files, or Redis on an edge) by itself until it stands where the follower does. Then it
subscribes to the follower's batches. Comparison and subscription happen in one iteration of the
event loop, so no line is lost and none comes twice. A client that falls behind the limit of its
queue goes back to reading by itself.

To use it, derive from `LiveLogFeed` with the queue of the source, and implement the abstract
methods: `_first_frames` for whatever comes first (a `log_gap`, the newest lines), the others for
reading, comparing and subscribing.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Generic, TypeVar

from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.feeds.batch_queue import BatchQueue
from marianne_stream.feeds.feed import FeedKind
from marianne_stream.feeds.line_matcher import LineMatcher
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_threads import JobThreads

Q = TypeVar("Q", bound=BatchQueue[Any])

# Items that a feed yields: encoded frames (bytes), or values for a publisher. Empty ones are falsy.
F = TypeVar("F")


class LiveLogFeed(ABC, Generic[Q, F]):
    """Feed of a log that is followed."""

    kind: FeedKind = "log"
    has_heartbeats = False

    def __init__(self, line_filter: LineFilter | None, threads: JobThreads) -> None:
        self._line_filter = line_filter
        self._matcher = LineMatcher(line_filter) if line_filter is not None else None
        self._threads = threads
        self._sink: Sink | None = None
        self._queue: Q | None = None
        self._is_finished = False
        self.is_exhausted = False

    @property
    def buffered_bytes(self) -> int:
        """Size of the queued frames."""
        return self._queue.buffered_bytes if self._queue is not None else 0

    def set_sink(self, sink: Sink) -> None:
        """Send new lines to a sink while `frames` waits for more."""
        self._sink = sink

    async def frames(self) -> AsyncIterator[F]:
        """Yield frames from the client's position to the end of the log. Cancelling is safe.

        Raises:
            MarianneStreamError: the log cannot be read or followed any more.
        """
        # What comes next may be a long time coming: nothing that was sent is kept meanwhile.
        async for frames in self._first_frames():
            yield frames
            del frames
        while not self._is_finished:
            async for frames in self._catch_up():
                yield frames
                del frames
            if self._is_finished:
                return
            if end_frame := await self._make_end_frame():
                yield end_frame
                return
            # No await between this comparison and the subscription.
            if self._is_behind():
                continue
            queue = self._queue = self._subscribe()
            try:
                async for frames in self._read_live_frames(queue):
                    yield frames
                    del frames
            finally:
                self._unsubscribe(queue)
            if not queue.has_overflowed:
                return
            self._resume_after(queue)

    def finish(self) -> None:
        """Let `frames` end after what is queued."""
        self._is_finished = True
        if self._queue is not None:
            self._queue.finish()

    def close(self) -> None:
        """Finish, and release the sink, the queue and its subscription."""
        self.finish()
        self._sink = None
        if self._queue is not None:
            self._unsubscribe(self._queue)
            self._queue.close()

    async def _catch_up(self) -> AsyncIterator[F]:
        """Read from the source until the feed stands where the follower does."""
        while self._is_behind() and not self._is_finished:
            frames = await self._read_next()
            if frames is None:
                await self._wait_for_source()
            elif frames:
                yield frames

    async def _read_live_frames(self, queue: Q) -> AsyncIterator[F]:
        """Yield what is queued, until the log ends or the queue overflows."""
        # Removes an unfinished line from a filtered view: the line that replaces it may not pass.
        clearing_frame: Any = b""
        while await self._wait_for_batches(queue):
            while (batch := queue.take()) is not None:
                frames = await self._encode_batch(batch)
                if frames or clearing_frame:
                    yield frames or clearing_frame
                clearing_frame = batch.clearing_frame if batch.is_partial and frames else b""
                del frames
                if batch.is_complete:
                    return
            if queue.error is not None:
                raise queue.error
            if queue.has_overflowed:
                return
        if not self._is_finished and (end_frame := await self._make_end_frame()):
            yield end_frame

    async def _encode_batch(self, batch: Any) -> Any:
        """Return the frames of a batch that pass the filter."""
        return await batch.select_frames(self._matcher, self._threads)

    def _wait_for_batches(self, queue: Q) -> Awaitable[bool]:
        """Wait until there is something to take; return False if nothing will come any more.

        A feed that finds out by itself that the log has ended returns False, and gives the last
        frame in `_make_end_frame`.
        """
        return queue.wait()

    @abstractmethod
    def _first_frames(self) -> AsyncIterator[F]:
        """Yield what comes before the lines behind the feed's position."""

    @abstractmethod
    def _is_behind(self) -> bool:
        """Return whether the follower has published lines that this feed has not read."""

    @abstractmethod
    async def _read_next(self) -> F | None:
        """Read the next lines up to the follower's position, and move on behind them.

        Returns:
            The frames that pass the filter; empty if none does; None if there is nothing to read
            yet, although the follower stands somewhere else.
        """

    @abstractmethod
    async def _wait_for_source(self) -> None:
        """Wait after `_read_next` has returned None; raise the follower's error if it failed."""

    @abstractmethod
    async def _make_end_frame(self) -> F:
        """Return the last frame of the feed if the log ends here, or an empty one to go on.

        Called where the feed stands at the follower's position.
        """

    @abstractmethod
    def _subscribe(self) -> Q:
        """Subscribe to the follower's batches behind the feed's position."""

    @abstractmethod
    def _unsubscribe(self, queue: Q) -> None:
        """Unsubscribe from the follower. Called once or more for each queue."""

    @abstractmethod
    def _resume_after(self, queue: Q) -> None:
        """Move the feed to the position of a queue that has overflowed."""
