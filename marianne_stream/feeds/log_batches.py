"""Batches of lines that were read from a log's files, and the queue in which a client gets them."""

from dataclasses import dataclass

from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.feeds.batch_queue import BatchQueue, FrameBatch
from marianne_stream.feeds.line_matcher import LineMatcher
from marianne_stream.feeds.log_frames import (
    make_change_frames,
    make_line_frames,
    make_partial_frame,
    now_iso,
)
from marianne_stream.logs.entries import NO_ENTRY
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_reader import ReadResult
from marianne_stream.logs.log_threads import JobThreads
from marianne_stream.logs.positions import Position
from marianne_stream.wire.log_lines import LogLine

# Limit of a client's queue. With a batch on its way, a slow client costs 1 MiB.
MAX_QUEUED_BYTES = 768 * 1024


@dataclass(frozen=True, kw_only=True)
class LogBatch(FrameBatch):
    """Lines that were read from a file at once, with a frame for each.

    `change_frames` are those of the gap and the rotation behind the lines.
    """

    result: ReadResult
    timestamp: str = ""
    line_frames: tuple[bytes, ...] = ()
    change_frames: bytes = b""

    async def _match_frames(self, threads: JobThreads, matcher: LineMatcher) -> bytes:
        pairs = list(zip(self.result.lines, self.line_frames, strict=True))
        selected = await matcher.select(threads, pairs, lambda pair: pair[0].text)
        if self.result.is_discontinuous:
            matcher.entry_state = NO_ENTRY
        return b"".join(frame for _, frame in selected) + self.change_frames


class LogBatchQueue(BatchQueue[LogBatch]):
    """Batches that one client of a log has not taken yet.

    `position` is the end of the last batch that was sent or taken; None before the first.
    """

    def __init__(
        self, line_filter: LineFilter | None, sink: Sink | None, *, wants_partial: bool = True
    ) -> None:
        super().__init__(line_filter, sink, max_bytes=MAX_QUEUED_BYTES)
        self.position: Position | None = None
        self._wants_partial = wants_partial

    def _accept(self, batch: LogBatch) -> LogBatch | None:
        return batch if self._wants_partial or not batch.is_partial else None

    def _set_position(self, batch: LogBatch) -> None:
        self.position = batch.result.end


def make_batch(result: ReadResult) -> LogBatch:
    """Encode a read result for all clients. Call in a thread."""
    now = now_iso()
    lines = tuple(make_line_frames(result, result.lines, timestamp=now, is_initial=False))
    changes = b"".join(make_change_frames(result))
    return LogBatch(
        result=result,
        timestamp=now,
        line_frames=lines,
        change_frames=changes,
        frames=b"".join((*lines, changes)),
    )


def make_partial_batch(job_id: str, line: LogLine, end: Position) -> LogBatch:
    """Encode the unfinished last line of a log, behind the end of its whole lines."""
    frame = make_partial_frame(job_id, line)
    return LogBatch(
        result=ReadResult([line], 0, 0, end),
        line_frames=(frame,),
        frames=frame,
        is_partial=True,
        clearing_frame=make_partial_frame(job_id, line._replace(text=b"", truncated=False)),
    )
