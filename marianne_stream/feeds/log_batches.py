"""What was read of a log at once, as frames, and what of it a viewer has not taken yet."""

from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from marianne_stream.fanout.mailboxes import Sink, SubscriberQueue
from marianne_stream.feeds.log_frames import change_frames, line_frames, partial_frame, read_now
from marianne_stream.feeds.log_matching import Filtering, WantedOnce
from marianne_stream.logs.entries import NOTHING_ABOVE
from marianne_stream.logs.index import Selection
from marianne_stream.logs.reader import Position, Step
from marianne_stream.logs.threads import JobThreads
from marianne_stream.wire.log_lines import LogLine
from marianne_stream.wire.sse import Frames

# What is kept for one that does not read: with a batch that is on its way, it costs 1 MiB.
MAILBOX_BYTES = 768 * 1024


@dataclass(frozen=True)
class LogBatch:
    """What was read at once, ready to be sent.

    Attributes:
        step: what was read.
        lines: its lines as frames, each.
        rest: what follows the lines, as frames.
        frames: all of it.
        complete: whether the log ends behind it.
        partial: whether it is the last line while that has no newline.
        cleared: for such a line, what takes it from a viewer that it was shown to.
    """

    step: Step
    lines: tuple[bytes, ...]
    rest: bytes
    frames: bytes
    complete: bool = False
    partial: bool = False
    cleared: bytes = b""
    _wanted: WantedOnce = field(default_factory=WantedOnce, compare=False)

    @cached_property
    def all(self) -> Frames:
        """What a viewer is sent that wants all lines."""
        return Frames(self.frames)

    async def wanted(self, filtering: Filtering | None, threads: JobThreads) -> bytes:
        """Return the frames that a viewer wants, made once for all who want the same."""
        if filtering is None:
            return self.frames
        if self.partial:
            # It comes again when it is whole: then it counts for the lines below it.
            filtering = replace(filtering)
        return await self._wanted.get(filtering, partial(self._matched, threads))

    async def _matched(self, threads: JobThreads, filtering: Filtering) -> bytes:
        pairs = list(zip(self.step.lines, self.lines, strict=True))
        chosen = await filtering.choose(threads, pairs, lambda pair: pair[0].text)
        if self.step.changes:
            filtering.above = NOTHING_ABOVE
        return b"".join(frame for _, frame in chosen) + self.rest


class LogMailbox(SubscriberQueue):
    """Keeps batches up to a bound; one who is behind leaves, and reads from the file again.

    Args:
        only: which lines the reader wants; all where it is None.
        sink: where frames go while the reader waits.
        partial: whether the reader wants the last line while that has no newline.

    Attributes:
        position: behind what has gone out, or was taken last; None where nothing has.
        behind: whether more was offered than is kept.
        error: why nobody follows any more.
    """

    def __init__(
        self, only: Selection | None, outlet: Sink | None, *, partial: bool = True
    ) -> None:
        super().__init__()
        self._partial = partial
        self.sink = outlet
        self.only = only
        self.position: Position | None = None
        self.behind = False
        self.error: BaseException | None = None
        self._batches: list[LogBatch] = []
        self.held_bytes = 0

    def offer(self, batch: LogBatch, /) -> None:
        """Sends a batch at once, or keeps it, unless the reader has fallen behind."""
        if self._finished:
            return
        if self.behind or (batch.partial and not self._partial):
            return
        # What is filtered is matched in a thread, once it was taken.
        at_once = self.only is None and not batch.complete and self._is_reader_waiting
        if at_once and (not batch.frames or self._try_send(batch.all)):
            self.position = batch.step.end
            return
        if self._batches and self.held_bytes + len(batch.frames) > MAILBOX_BYTES:
            self.behind = True
        else:
            self.held_bytes += len(batch.frames)
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
        self.held_bytes -= len(batch.frames)
        self.position = batch.step.end
        return batch

    def _has_items(self) -> bool:
        return bool(self._batches or self.behind or self.error)


def batch_of(step: Step) -> LogBatch:
    """A step, encoded once for all. It belongs in a thread."""
    lines = tuple(line_frames(step, step.lines, timestamp=read_now(), initial=False))
    rest = b"".join(change_frames(step))
    return LogBatch(step, lines, rest, b"".join((*lines, rest)))


def partial_batch(job_id: str, line: LogLine, end: Position) -> LogBatch:
    """The last line of a log while it has no newline, behind the position of the last whole one."""
    frame = partial_frame(job_id, line)
    cleared = partial_frame(job_id, line._replace(text=b"", truncated=False))
    step = Step([line], 0, 0, end)
    return LogBatch(step, (frame,), b"", frame, partial=True, cleared=cleared)
