"""What was read of a log at once, as frames, and what of it a viewer has not taken yet."""

from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from marianne_stream.fanout.subscriber_queue import Sink, SubscriberQueue
from marianne_stream.feeds.line_matcher import LineMatcher, MatchCache
from marianne_stream.feeds.log_frames import (
    make_change_frames,
    make_line_frames,
    make_partial_frame,
    now_iso,
)
from marianne_stream.logs.entries import NO_ENTRY
from marianne_stream.logs.line_index import LineFilter
from marianne_stream.logs.log_reader import Position, ReadResult
from marianne_stream.logs.log_threads import JobThreads
from marianne_stream.wire.log_lines import LogLine
from marianne_stream.wire.sse import EncodedFrames

# What is kept for one that does not read: with a batch that is on its way, it costs 1 MiB.
MAX_QUEUED_BYTES = 768 * 1024


@dataclass(frozen=True)
class LogBatch:
    """What was read at once, ready to be sent.

    Attributes:
        result: what was read.
        line_frames: its lines as frames, each.
        change_frames: what follows the lines, as frames.
        frames: all of it.
        is_complete: whether the log ends behind it.
        is_partial: whether it is the last line while that has no newline.
        clearing_frame: for such a line, what takes it from a viewer that it was shown to.
    """

    result: ReadResult
    line_frames: tuple[bytes, ...]
    change_frames: bytes
    frames: bytes
    is_complete: bool = False
    is_partial: bool = False
    clearing_frame: bytes = b""
    _match_cache: MatchCache = field(default_factory=MatchCache, compare=False)

    @cached_property
    def encoded_frames(self) -> EncodedFrames:
        """What a viewer is sent that wants all lines."""
        return EncodedFrames(self.frames)

    async def select_frames(self, matcher: LineMatcher | None, threads: JobThreads) -> bytes:
        """Return the frames that a viewer wants, made once for all who want the same."""
        if matcher is None:
            return self.frames
        if self.is_partial:
            # It comes again when it is whole: then it counts for the lines below it.
            matcher = replace(matcher)
        return await self._match_cache.get_or_compute(matcher, partial(self._match_frames, threads))

    async def _match_frames(self, threads: JobThreads, matcher: LineMatcher) -> bytes:
        pairs = list(zip(self.result.lines, self.line_frames, strict=True))
        chosen = await matcher.select(threads, pairs, lambda pair: pair[0].text)
        if self.result.is_discontinuous:
            matcher.entry_state = NO_ENTRY
        return b"".join(frame for _, frame in chosen) + self.change_frames


class LogBatchQueue(SubscriberQueue):
    """Keeps batches up to a bound; one who is behind leaves, and reads from the file again.

    Args:
        line_filter: which lines the reader wants; all where it is None.
        sink: where frames go while the reader waits.
        wants_partial: whether the reader wants the last line while that has no newline.

    Attributes:
        position: behind what has gone out, or was taken last; None where nothing has.
        has_overflowed: whether more was offered than is kept.
        error: why nobody follows any more.
    """

    def __init__(
        self, line_filter: LineFilter | None, sink: Sink | None, *, wants_partial: bool = True
    ) -> None:
        super().__init__()
        self._wants_partial = wants_partial
        self.sink = sink
        self.line_filter = line_filter
        self.position: Position | None = None
        self.has_overflowed = False
        self.error: BaseException | None = None
        self._batches: list[LogBatch] = []
        self.buffered_bytes = 0

    def offer(self, batch: LogBatch, /) -> None:
        """Sends a batch at once, or keeps it, unless the reader has fallen behind."""
        if self._finished:
            return
        if self.has_overflowed or (batch.is_partial and not self._wants_partial):
            return
        # What is filtered is matched in a thread, once it was taken.
        at_once = self.line_filter is None and not batch.is_complete and self._is_reader_waiting
        if at_once and (not batch.frames or self._try_send(batch.encoded_frames)):
            self.position = batch.result.end
            return
        if self._batches and self.buffered_bytes + len(batch.frames) > MAX_QUEUED_BYTES:
            self.has_overflowed = True
        else:
            self.buffered_bytes += len(batch.frames)
            self._batches.append(batch)
        self._wake()

    def fail(self, error: BaseException) -> None:
        """Tells the reader of a fault."""
        self.error = error
        self._wake()

    def take(self) -> LogBatch | None:
        """The oldest batch; None where there is none."""
        if not self._batches:
            return None
        batch = self._batches.pop(0)
        self.buffered_bytes -= len(batch.frames)
        self.position = batch.result.end
        return batch

    def _has_items(self) -> bool:
        return bool(self._batches or self.has_overflowed or self.error)


def make_batch(result: ReadResult) -> LogBatch:
    """A step, encoded once for all. It belongs in a thread."""
    lines = tuple(make_line_frames(result, result.lines, timestamp=now_iso(), is_initial=False))
    rest = b"".join(make_change_frames(result))
    return LogBatch(result, lines, rest, b"".join((*lines, rest)))


def make_partial_batch(job_id: str, line: LogLine, end: Position) -> LogBatch:
    """The last line of a log while it has no newline, behind the position of the last whole one."""
    frame = make_partial_frame(job_id, line)
    cleared = make_partial_frame(job_id, line._replace(text=b"", truncated=False))
    step = ReadResult([line], 0, 0, end)
    return LogBatch(step, (frame,), b"", frame, is_partial=True, clearing_frame=cleared)
