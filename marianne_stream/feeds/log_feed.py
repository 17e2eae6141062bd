"""The log feed of one viewer: missed lines or the newest ones, then new lines as they come.

A feed behind the shared follower reads the file itself, never past the follower's position. At
that position it joins the follower, within one iteration of the event loop.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial

from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.feeds.feed import FeedKind
from marianne_stream.feeds.line_matcher import LineMatcher
from marianne_stream.feeds.log_batches import LogBatchQueue
from marianne_stream.feeds.log_follower import LogFollower, LogFollowers
from marianne_stream.feeds.log_frames import (
    make_change_frames,
    make_complete_frame,
    make_line_frames,
    make_partial_frame,
    now_iso,
)
from marianne_stream.feeds.log_start import LogTail, StartPoint
from marianne_stream.logs.entries import NO_ENTRY, matches_after, read_lines_above
from marianne_stream.logs.line_index import LineFilter
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.logs.log_reader import LogReader, Position, ReadResult
from marianne_stream.logs.log_threads import JobThreads
from marianne_stream.wire import sse
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LogLine

# How long one waits for the follower to see what one has seen oneself: at first, and at most.
FOLLOWER_WAIT_S = 0.02
MAX_FOLLOWER_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class LogFeedOptions:
    """What a viewer wants.

    Attributes:
        cursor: what it has seen, as it says; "" for a new one.
        tail_lines: how many lines a new one is given first.
        line_filter: which lines it wants; all where it is None.
        job_ended: whether the job was over when it came.
        wants_partial: whether it wants the last line while that has no newline.
    """

    cursor: str
    tail_lines: int
    line_filter: LineFilter | None
    job_ended: bool
    wants_partial: bool = True

    @property
    def parsed_cursor(self) -> LogCursor | None:
        """The position that it has seen; None where there is none that can be read."""
        return LogCursor.parse(self.cursor)


async def resolve_start(log: LogHandle, end: Position, options: LogFeedOptions) -> StartPoint:
    """Where a viewer begins in a log that ends at a position at this moment."""
    seen = options.parsed_cursor
    position = await log.find_position(seen) if seen is not None else None
    if position is not None:
        at_end = position.file.key == end.file.key and (
            position.offset >= await log.threads.read(end.file.size)
        )
        return StartPoint(position, is_resumed=True, is_at_end=at_end)
    gap = bool(options.cursor)
    if options.line_filter is None or not options.tail_lines:
        return StartPoint(await log.find_tail_start(end, options.tail_lines), has_gap=gap)
    return StartPoint(
        end, has_gap=gap, tail=LogTail(log, end, options.line_filter, options.tail_lines)
    )


class LogFeed:
    """The lines of a log that is followed.

    Args:
        followers: who is told when the viewer leaves.
        follower: the log, and who follows it.
        start: where the viewer begins.
        initial_end: where the log ended when it came.
        options: what it wants.
    """

    kind: FeedKind = "log"
    has_heartbeats = False

    def __init__(
        self,
        followers: LogFollowers,
        follower: LogFollower,
        *,
        start: StartPoint,
        initial_end: Position,
        options: LogFeedOptions,
    ) -> None:
        self._followers = followers
        self._follower = follower
        self._start = start
        self._initial_end = initial_end
        self._line_filter = options.line_filter
        self._wants_partial = options.wants_partial
        self._matcher = (
            LineMatcher(options.line_filter) if options.line_filter is not None else None
        )
        self._sink: Sink | None = None
        self._queue: LogBatchQueue | None = None
        self._is_finished = False
        seen = options.parsed_cursor
        self.is_exhausted = (
            options.job_ended and seen is not None and seen.kind != "l" and start.is_at_end
        )

    @property
    def buffered_bytes(self) -> int:
        """What is kept for the viewer."""
        mailbox_bytes = self._queue.buffered_bytes if self._queue is not None else 0
        return self._start.buffered_bytes + mailbox_bytes

    def set_sink(self, sink: Sink) -> None:
        """Says where new lines may go at once."""
        self._sink = sink

    async def frames(self) -> AsyncIterator[bytes]:
        """From the viewer's position to the end of the log."""
        position, threads = self._start.position, self._follower.log.threads
        async for chunk in self._start.frames():
            yield chunk
        await start_matcher(self._follower.log, position, self._matcher)
        if (
            not self._is_finished
            and not self._start.is_resumed
            and self._start.position.is_same_position(self._initial_end)
        ):
            # A position for one who is cut off before its first line.
            yield sse.id_only(await self._make_cursor(self._start.position))
        while not self._is_finished:
            reader = self._follower.log.make_reader(position)
            async for chunk in self._catch_up(reader):
                yield chunk
            # From here to the subscription, nothing else runs.
            if self._is_finished:
                return
            if self._follower.is_complete:
                yield await threads.read(make_complete_frame, reader.position)
                return
            mailbox = self._queue = self._follower.subscribe(
                self._line_filter, self._sink, wants_partial=self._wants_partial
            )
            async for chunk in read_live_frames(mailbox, self._matcher, threads):
                yield chunk
            self._follower.unsubscribe(mailbox)
            if not mailbox.has_overflowed:
                return
            position = mailbox.position or reader.position

    async def _make_cursor(self, position: Position) -> str:
        return str(await self._follower.log.threads.read(position.make_cursor))

    async def _catch_up(self, reader: LogReader) -> AsyncIterator[bytes]:
        """Reads from the file until it stands where the follower does."""
        followed, delay_s = self._follower, FOLLOWER_WAIT_S
        while not self._is_finished:
            bound = followed.position
            if bound is None or reader.position.is_same_position(bound):
                return
            read = await read_next_frames(
                followed.log.threads, reader, bound, self._initial_end, self._matcher
            )
            if read:
                delay_s = FOLLOWER_WAIT_S
                yield read
            elif read is None:
                # It has seen a change before the follower has, or stands in a line that has not
                # ended.
                followed.wake()
                await asyncio.sleep(delay_s)
                delay_s = min(MAX_FOLLOWER_WAIT_S, 2 * delay_s)
                if followed.error is not None:
                    raise followed.error

    def finish(self) -> None:
        """Lets `frames` end."""
        self._is_finished = True
        self._start.close()
        if self._queue is not None:
            self._follower.unsubscribe(self._queue)
            self._queue.finish()

    def close(self) -> None:
        """Lets go of the log."""
        self.finish()
        self._sink = None
        if self._queue is not None:
            self._queue.close()
        self._followers.unfollow(self._follower)


async def read_live_frames(
    queue: LogBatchQueue, matcher: LineMatcher | None, threads: JobThreads
) -> AsyncIterator[bytes]:
    """What arrives and does not go out at once, until the log ends or the viewer falls behind.

    Raises:
        MarianneStreamError: nobody follows the log any more.
    """
    # What takes an unfinished line from a filtered viewer: what follows may not be for it.
    cleared = b""
    while await queue.wait():
        while (batch := queue.take()) is not None:
            frames = await batch.select_frames(matcher, threads)
            if frames or cleared:
                yield frames or cleared
            cleared = batch.clearing_frame if batch.is_partial and frames else b""
            if batch.is_complete:
                return
        if queue.error is not None:
            raise queue.error
        if queue.has_overflowed:
            return


class LogSnapshotFeed:
    """The lines of a log up to its end at one moment, and no more.

    Args:
        log: the log.
        start: where the viewer begins.
        end: where the log ended when it came.
        options: what it wants. Where the job is over, a line without a newline will not get one.
        partial_event: the frame of the line that has no newline yet.
    """

    kind: FeedKind = "log"
    has_heartbeats = False
    is_exhausted = False

    def __init__(
        self,
        log: LogHandle,
        start: StartPoint,
        end: Position,
        options: LogFeedOptions,
        partial_event: bytes = b"",
    ) -> None:
        self._partial_event = partial_event
        self._log = log
        self._start = start
        self._end = end
        self._job_ended = options.job_ended
        self._matcher = (
            LineMatcher(options.line_filter) if options.line_filter is not None else None
        )
        self._is_finished = False

    @property
    def buffered_bytes(self) -> int:
        """What was looked for; the rest it reads from the file."""
        return self._start.buffered_bytes

    def set_sink(self, sink: Sink) -> None:
        """Has nothing to send but what is taken."""

    async def frames(self) -> AsyncIterator[bytes]:
        """From the viewer's position to that end."""
        async for chunk in self._start.frames():
            yield chunk
        await start_matcher(self._log, self._start.position, self._matcher)
        reader = self._log.make_reader(self._start.position)
        threads = self._log.threads
        while not self._is_finished:
            read = await read_next_frames(threads, reader, self._end, self._end, self._matcher)
            if read is None:
                break
            if read:
                yield read
        if self._is_finished:
            return
        if self._job_ended:
            async for chunk in self._read_last_line(reader):
                yield chunk
        elif self._partial_event:
            yield self._partial_event
        yield await threads.read(partial(make_complete_frame, reader.position, follow=False))

    async def _read_last_line(self, reader: LogReader) -> AsyncIterator[bytes]:
        """What stands behind the last newline, where the job will not write the next one."""
        threads = self._log.threads
        if frames := await read_next_frames(threads, reader, None, self._end, self._matcher):
            yield frames
        if (step := await threads.read(reader.flush)) is not None:
            yield await make_matching_frames(threads, step, step.end, self._matcher)

    def finish(self) -> None:
        """Lets `frames` end."""
        self._is_finished = True
        self._start.close()

    def close(self) -> None:
        """Has nothing to let go of."""


async def start_matcher(log: LogHandle, position: Position, matcher: LineMatcher | None) -> None:
    """Have what a viewer wants begin at a position, which may be within an entry."""
    if matcher is not None:
        file, offset = position.file, position.offset
        await matcher.start_after(
            log.threads, lambda: read_lines_above(file, offset, log.job_filter)
        )


async def read_next_frames(
    threads: JobThreads,
    reader: LogReader,
    limit: Position | None,
    initial_end: Position,
    matcher: LineMatcher | None,
) -> bytes | None:
    """What a reader's next step gives, as frames; None where there is nothing more right now."""
    if matcher is None:
        return await threads.read(read_unfiltered_frames, reader, limit, initial_end)
    step = await threads.read(reader.read, limit)
    return (
        await make_matching_frames(threads, step, initial_end, matcher)
        if step is not None
        else None
    )


async def make_matching_frames(
    threads: JobThreads, result: ReadResult, initial_end: Position, matcher: LineMatcher | None
) -> bytes:
    """The lines of a step that a viewer wants, and what follows them, as frames."""
    lines: Sequence[LogLine] = result.lines
    if matcher is not None:
        lines = await matcher.select(threads, lines, lambda line: line.text)
        if result.is_discontinuous:
            matcher.entry_state = NO_ENTRY
    return await threads.read(make_result_frames, result, lines, initial_end)


def read_unfiltered_frames(
    reader: LogReader, limit: Position | None, initial_end: Position
) -> bytes | None:
    """All of a reader's next step, as frames; None where there is none."""
    step = reader.read(limit)
    return make_result_frames(step, step.lines, initial_end) if step is not None else None


def make_result_frames(
    result: ReadResult, lines: Sequence[LogLine], initial_end: Position
) -> bytes:
    """Some lines of a step, and what follows them, as frames."""
    later = result.end.file.key == initial_end.file.key and result.end.offset > initial_end.offset
    frames = make_line_frames(result, lines, timestamp=now_iso(), is_initial=not later)
    return b"".join((*frames, *make_change_frames(result)))


async def open_log_feed(
    followers: LogFollowers, log: LogHandle, job_id: str, options: LogFeedOptions
) -> LogFeed:
    """A feed of a log that is followed, which must be left.

    Raises:
        LogNotFoundError: it is not there any more.
        LogForbiddenError: it may not be read any more.
    """
    followed = followers.follow(log, job_id, job_ended=options.job_ended)
    try:
        end = await followed.wait_started()
        start = await resolve_start(log, end, options)
    except BaseException:
        followers.unfollow(followed)
        raise
    return LogFeed(followers, followed, start=start, initial_end=end, options=options)


async def open_log_snapshot_feed(
    log: LogHandle, job_id: str, options: LogFeedOptions
) -> LogSnapshotFeed:
    """A feed of what a log holds at this moment.

    Raises:
        LogNotFoundError: it is not there any more.
        LogForbiddenError: it may not be read any more.
    """
    end = await log.find_end()
    line = await log.read_partial_line(end)
    if line is not None and options.line_filter is not None:
        above = partial(read_lines_above, end.file, end.offset, log.job_filter)
        is_wanted = await log.threads.match(matches_after, options.line_filter, above, line.text)
        line = line if is_wanted else None
    unfinished = make_partial_frame(job_id, line) if line is not None else b""
    return LogSnapshotFeed(log, await resolve_start(log, end, options), end, options, unfinished)
