"""Batches of encoded log lines, and the bounded queue in which a subscriber gets them.

The follower of a log encodes what it has read once, as one batch for all subscribers. The files'
logs and the relay's edge share this module: each derives a batch class (`FrameBatch`) that can
select the lines of a filter, and a queue class (`BatchQueue`) that knows what a position is.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Generic, TypeVar

from marianne_stream.fanout.subscriber_queue import Sink, SubscriberQueue
from marianne_stream.feeds.line_matcher import LineMatcher, MatchCache
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_threads import JobThreads
from marianne_stream.wire.sse import EncodedFrames


@dataclass(frozen=True, kw_only=True)
class FrameBatch(ABC):
    """Lines that were read at once, encoded for all subscribers.

    Attributes:
        frames: the frames of all lines.
        is_complete: whether the log ends with this batch.
        is_partial: whether the batch is the unfinished last line of the log.
        clearing_frame: for an unfinished line, the frame that removes it from a client's view.
    """

    frames: bytes
    is_complete: bool = False
    is_partial: bool = False
    clearing_frame: bytes = b""
    _match_cache: MatchCache = field(
        default_factory=MatchCache, init=False, repr=False, compare=False
    )

    @cached_property
    def encoded_frames(self) -> EncodedFrames:
        """The frames of all lines, as a response sends them."""
        return EncodedFrames(self.frames)

    async def select_frames(self, matcher: LineMatcher | None, threads: JobThreads) -> bytes:
        """Return the frames that pass a filter, computed once for all equal filters.

        The matcher is moved on behind the batch; None selects all lines.
        """
        if matcher is None:
            return self.frames
        if self.is_partial:
            # The line comes again when it is whole; only then does it count for those below it.
            matcher = replace(matcher)
        return await self._match_cache.get_or_compute(matcher, partial(self._match_frames, threads))

    @abstractmethod
    async def _match_frames(self, threads: JobThreads, matcher: LineMatcher) -> bytes:
        """Return the frames that pass a filter; move the matcher on behind the batch."""


B = TypeVar("B", bound=FrameBatch)


class BatchQueue(SubscriberQueue, Generic[B]):
    """Batches that one subscriber has not taken yet, up to a limit.

    While the subscriber waits and wants all lines, a batch goes straight to its sink. Otherwise it
    is queued. A subscriber that falls behind the limit gets nothing more: it takes what is queued,
    sees `has_overflowed`, and reads on from its source, behind the last batch that it was given.

    A subclass stores that position in `_set_position`, and can drop or cut what is offered in
    `_accept`. A single batch is queued whatever its size. Without a sink, everything is queued.
    With an `error`, no more batches come.
    """

    def __init__(
        self, line_filter: LineFilter | None, sink: Sink | None, *, max_bytes: int
    ) -> None:
        super().__init__()
        self.line_filter = line_filter
        self.sink = sink
        self.has_overflowed = False
        self.error: BaseException | None = None
        self.buffered_bytes = 0
        self._max_bytes = max_bytes
        self._batches: list[B] = []

    def offer(self, batch: B, /) -> None:
        """Send a batch at once or queue it. Ignored after `finish` and after an overflow."""
        if self._finished or self.has_overflowed:
            return
        accepted = self._accept(batch)
        if accepted is None:
            return
        if self._can_send(accepted) and (
            not accepted.frames or self._try_send(accepted.encoded_frames)
        ):
            self._set_position(accepted)
            return
        if self._batches and self.buffered_bytes + len(accepted.frames) > self._max_bytes:
            self.has_overflowed = True
        else:
            self.buffered_bytes += len(accepted.frames)
            self._batches.append(accepted)
        self._wake()

    def take(self) -> B | None:
        """Remove and return the oldest batch, or None if the queue is empty."""
        if not self._batches:
            return None
        batch = self._batches.pop(0)
        self.buffered_bytes -= len(batch.frames)
        self._set_position(batch)
        return batch

    def fail(self, error: BaseException) -> None:
        """Wake the subscriber with an error, which it raises after the queued batches."""
        self.error = error
        self._wake()

    def _can_send(self, batch: B) -> bool:
        # A filter runs in a thread, after the batch was taken; the last batch ends the feed.
        return self.line_filter is None and not batch.is_complete and self._is_reader_waiting

    def _accept(self, batch: B) -> B | None:
        """Return what of a batch the subscriber wants: all of it unless overridden."""
        return batch

    @abstractmethod
    def _set_position(self, batch: B) -> None:
        """Store the end of a batch that was sent or taken as the subscriber's position."""

    def _has_items(self) -> bool:
        return bool(self._batches or self.has_overflowed or self.error)
