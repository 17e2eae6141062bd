"""A log, for one viewer: what it missed or the newest lines, then what comes.

One that stands behind the follower reads from the file by itself, never past the follower's
position; one that stands there joins it, in one turn of the loop. It must not know how frames are
sent.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial

from marianne_stream.fanout.mailboxes import Sink
from marianne_stream.feeds.feed import Kind
from marianne_stream.feeds.followed import FollowedLog, FollowedLogs
from marianne_stream.feeds.log_batches import LogMailbox
from marianne_stream.feeds.log_frames import (
    change_frames,
    complete_frame,
    line_frames,
    partial_frame,
    read_now,
)
from marianne_stream.feeds.log_matching import Filtering
from marianne_stream.feeds.log_start import LogStart, LogTail
from marianne_stream.logs.entries import NOTHING_ABOVE, lines_above, passes_behind
from marianne_stream.logs.index import Selection
from marianne_stream.logs.opened import OpenLog
from marianne_stream.logs.reader import LogReader, Position, Step
from marianne_stream.logs.threads import JobThreads
from marianne_stream.wire import sse
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LogLine

# How long one waits for the follower to see what one has seen oneself: at first, and at most.
LOOK_AGAIN_S = 0.02
LOOK_AGAIN_LIMIT_S = 1.0


@dataclass(frozen=True, slots=True)
class LogWish:
    """What a viewer wants.

    Attributes:
        cursor: what it has seen, as it says; "" for a new one.
        tail_lines: how many lines a new one is given first.
        only: which lines it wants; all where it is None.
        over: whether the job was over when it came.
        partial: whether it wants the last line while that has no newline.
    """

    cursor: str
    tail_lines: int
    only: Selection | None
    over: bool
    partial: bool = True

    @property
    def seen(self) -> LogCursor | None:
        """The position that it has seen; None where there is none that can be read."""
        return LogCursor.parse(self.cursor)


async def start_of(log: OpenLog, end: Position, wish: LogWish) -> LogStart:
    """Where a viewer begins in a log that ends at a position at this moment."""
    seen = wish.seen
    position = await log.find(seen) if seen is not None else None
    if position is not None:
        at_end = position.file.key == end.file.key and (
            position.offset >= await log.threads.read(end.file.size)
        )
        return LogStart(position, resumes=True, at_end=at_end)
    gap = bool(wish.cursor)
    if wish.only is None or not wish.tail_lines:
        return LogStart(await log.before(end, wish.tail_lines), gap=gap)
    return LogStart(end, gap=gap, tail=LogTail(log, end, wish.only, wish.tail_lines))


class LogFeed:
    """The lines of a log that is followed.

    Args:
        logs: who is told when the viewer leaves.
        followed: the log, and who follows it.
        start: where the viewer begins.
        end: where the log ended when it came.
        wish: what it wants.
    """

    kind: Kind = "log"
    heartbeats = False

    def __init__(
        self,
        logs: FollowedLogs,
        followed: FollowedLog,
        *,
        start: LogStart,
        end: Position,
        wish: LogWish,
    ) -> None:
        self._logs = logs
        self._followed = followed
        self._start = start
        self._end = end
        self._only = wish.only
        self._partial = wish.partial
        self._filtering = Filtering(wish.only) if wish.only is not None else None
        self._outlet: Sink | None = None
        self._mailbox: LogMailbox | None = None
        self._closed = False
        seen = wish.seen
        self.nothing_new = wish.over and seen is not None and seen.kind != "l" and start.at_end

    @property
    def held_bytes(self) -> int:
        """What is kept for the viewer."""
        mailbox_bytes = self._mailbox.held_bytes if self._mailbox is not None else 0
        return self._start.held_bytes + mailbox_bytes

    def attach(self, outlet: Sink) -> None:
        """Says where new lines may go at once."""
        self._outlet = outlet

    async def frames(self) -> AsyncIterator[bytes]:
        """From the viewer's position to the end of the log."""
        position, threads = self._start.position, self._followed.log.threads
        async for chunk in self._start.frames():
            yield chunk
        await begin_at(self._followed.log, position, self._filtering)
        if (
            not self._closed
            and not self._start.resumes
            and self._start.position.same_place(self._end)
        ):
            # A position for one who is cut off before its first line.
            yield sse.position(await self._cursor_at(self._start.position))
        while not self._closed:
            reader = self._followed.log.reader(position)
            async for chunk in self._by_itself(reader):
                yield chunk
            # From here to the subscription, nothing else runs.
            if self._closed:
                return
            if self._followed.complete:
                yield await threads.read(complete_frame, reader.position)
                return
            mailbox = self._mailbox = self._followed.join(
                self._only, self._outlet, partial=self._partial
            )
            async for chunk in live_frames(mailbox, self._filtering, threads):
                yield chunk
            self._followed.leave(mailbox)
            if not mailbox.behind:
                return
            position = mailbox.position or reader.position

    async def _cursor_at(self, position: Position) -> str:
        return str(await self._followed.log.threads.read(position.cursor))

    async def _by_itself(self, reader: LogReader) -> AsyncIterator[bytes]:
        """Reads from the file until it stands where the follower does."""
        followed, delay_s = self._followed, LOOK_AGAIN_S
        while not self._closed:
            bound = followed.position
            if bound is None or reader.position.same_place(bound):
                return
            read = await read_frames(
                followed.log.threads, reader, bound, self._end, self._filtering
            )
            if read:
                delay_s = LOOK_AGAIN_S
                yield read
            elif read is None:
                # It has seen a change before the follower has, or stands in a line that has not
                # ended.
                followed.ring()
                await asyncio.sleep(delay_s)
                delay_s = min(LOOK_AGAIN_LIMIT_S, 2 * delay_s)
                if followed.error is not None:
                    raise followed.error

    def close(self) -> None:
        """Lets `frames` end."""
        self._closed = True
        self._start.close()
        if self._mailbox is not None:
            self._followed.leave(self._mailbox)
            self._mailbox.finish()

    def leave(self) -> None:
        """Lets go of the log."""
        self.close()
        self._outlet = None
        if self._mailbox is not None:
            self._mailbox.close()
        self._logs.leave(self._followed)


async def live_frames(
    mailbox: LogMailbox, filtering: Filtering | None, threads: JobThreads
) -> AsyncIterator[bytes]:
    """What arrives and does not go out at once, until the log ends or the viewer falls behind.

    Raises:
        MarianneStreamError: nobody follows the log any more.
    """
    # What takes an unfinished line from a filtered viewer: what follows may not be for it.
    cleared = b""
    while await mailbox.wait():
        while (batch := mailbox.take()) is not None:
            frames = await batch.wanted(filtering, threads)
            if frames or cleared:
                yield frames or cleared
            cleared = batch.cleared if batch.partial and frames else b""
            if batch.complete:
                return
        if mailbox.error is not None:
            raise mailbox.error
        if mailbox.behind:
            return


class LogPart:
    """The lines of a log up to its end at one moment, and no more.

    Args:
        log: the log.
        start: where the viewer begins.
        end: where the log ended when it came.
        wish: what it wants. Where the job is over, a line without a newline will not get one.
        partial: the frame of the line that has no newline yet.
    """

    kind: Kind = "log"
    heartbeats = False
    nothing_new = False

    def __init__(
        self,
        log: OpenLog,
        start: LogStart,
        end: Position,
        wish: LogWish,
        partial: bytes = b"",
    ) -> None:
        self._partial = partial
        self._log = log
        self._start = start
        self._end = end
        self._over = wish.over
        self._filtering = Filtering(wish.only) if wish.only is not None else None
        self._closed = False

    @property
    def held_bytes(self) -> int:
        """What was looked for; the rest it reads from the file."""
        return self._start.held_bytes

    def attach(self, outlet: Sink) -> None:
        """Has nothing to send but what is taken."""

    async def frames(self) -> AsyncIterator[bytes]:
        """From the viewer's position to that end."""
        async for chunk in self._start.frames():
            yield chunk
        await begin_at(self._log, self._start.position, self._filtering)
        reader = self._log.reader(self._start.position)
        threads = self._log.threads
        while not self._closed:
            read = await read_frames(threads, reader, self._end, self._end, self._filtering)
            if read is None:
                break
            if read:
                yield read
        if self._closed:
            return
        if self._over:
            async for chunk in self._last(reader):
                yield chunk
        elif self._partial:
            yield self._partial
        yield await threads.read(partial(complete_frame, reader.position, follow=False))

    async def _last(self, reader: LogReader) -> AsyncIterator[bytes]:
        """What stands behind the last newline, where the job will not write the next one."""
        threads = self._log.threads
        if frames := await read_frames(threads, reader, None, self._end, self._filtering):
            yield frames
        if (step := await threads.read(reader.finish)) is not None:
            yield await wanted_frames(threads, step, step.end, self._filtering)

    def close(self) -> None:
        """Lets `frames` end."""
        self._closed = True
        self._start.close()

    def leave(self) -> None:
        """Has nothing to let go of."""


async def begin_at(log: OpenLog, position: Position, filtering: Filtering | None) -> None:
    """Have what a viewer wants begin at a position, which may be within an entry."""
    if filtering is not None:
        file, offset = position.file, position.offset
        await filtering.begin_behind(log.threads, lambda: lines_above(file, offset, log.selection))


async def read_frames(
    threads: JobThreads,
    reader: LogReader,
    bound: Position | None,
    end: Position,
    filtering: Filtering | None,
) -> bytes | None:
    """What a reader's next step gives, as frames; None where there is nothing more right now."""
    if filtering is None:
        return await threads.read(frames_of_next, reader, bound, end)
    step = await threads.read(reader.step, bound)
    return await wanted_frames(threads, step, end, filtering) if step is not None else None


async def wanted_frames(
    threads: JobThreads, step: Step, end: Position, filtering: Filtering | None
) -> bytes:
    """The lines of a step that a viewer wants, and what follows them, as frames."""
    lines: Sequence[LogLine] = step.lines
    if filtering is not None:
        lines = await filtering.choose(threads, lines, lambda line: line.text)
        if step.changes:
            filtering.above = NOTHING_ABOVE
    return await threads.read(frames_of, step, lines, end)


def frames_of_next(reader: LogReader, bound: Position | None, end: Position) -> bytes | None:
    """All of a reader's next step, as frames; None where there is none."""
    step = reader.step(bound)
    return frames_of(step, step.lines, end) if step is not None else None


def frames_of(step: Step, lines: Sequence[LogLine], end: Position) -> bytes:
    """Some lines of a step, and what follows them, as frames."""
    later = step.end.file.key == end.file.key and step.end.offset > end.offset
    frames = line_frames(step, lines, timestamp=read_now(), initial=not later)
    return b"".join((*frames, *change_frames(step)))


async def log_feed(logs: FollowedLogs, log: OpenLog, job_id: str, wish: LogWish) -> LogFeed:
    """A feed of a log that is followed, which must be left.

    Raises:
        LogNotFoundError: it is not there any more.
        LogForbiddenError: it may not be read any more.
    """
    followed = logs.follow(log, job_id, over=wish.over)
    try:
        end = await followed.begun()
        start = await start_of(log, end, wish)
    except BaseException:
        logs.leave(followed)
        raise
    return LogFeed(logs, followed, start=start, end=end, wish=wish)


async def log_part(log: OpenLog, job_id: str, wish: LogWish) -> LogPart:
    """A feed of what a log holds at this moment.

    Raises:
        LogNotFoundError: it is not there any more.
        LogForbiddenError: it may not be read any more.
    """
    end = await log.end()
    line = await log.unfinished(end)
    if line is not None and wish.only is not None:
        above = partial(lines_above, end.file, end.offset, log.selection)
        is_wanted = await log.threads.match(passes_behind, wish.only, above, line.text)
        line = line if is_wanted else None
    unfinished = partial_frame(job_id, line) if line is not None else b""
    return LogPart(log, await start_of(log, end, wish), end, wish, unfinished)
