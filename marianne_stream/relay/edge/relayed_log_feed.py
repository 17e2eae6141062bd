"""A relayed log, for one viewer: what it missed or the newest lines, then what comes.

One that stands where the reading stands is offered what comes; one that stands further back reads
from Redis by itself. Comparing and joining happen in one turn of the loop. It must not know how
frames are sent.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial

from marianne_stream.errors import MarianneStreamError
from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.feeds.feed import FeedKind
from marianne_stream.feeds.line_matcher import LineMatcher
from marianne_stream.feeds.log_feeds import LogRequest
from marianne_stream.feeds.log_frames import make_log_gap_frame
from marianne_stream.relay.edge.relayed_log import (
    TRIMMED_GAP,
    RelayedLog,
    RelayedStart,
    find_resume_point,
)
from marianne_stream.relay.edge.relayed_queue import (
    LOG_COMPLETE,
    LogItem,
    RelayedBatchQueue,
    lines_after_last_mark,
    make_entry_frame,
    make_entry_frames,
    select_entries,
)
from marianne_stream.relay.redis_streams import is_id_after, parse_id
from marianne_stream.schemas import LogCompleteData
from marianne_stream.wire import sse
from marianne_stream.wire.cursors import LogCursor

# How often one looks whether a job is over whose log has ended.
JOB_END_POLL_S = 1.0

# How often one looks whether entries are there again that Redis has lost.
LOST_ENTRIES_POLL_S = 0.25


class RelayedLogFeed:
    """A log, for one viewer.

    Args:
        log: the log; it has counted this viewer.
        start: where it begins.
        log_request: what it asks for.
        has_job_ended: whether the job is over.
        on_close: called when it leaves.
    """

    kind: FeedKind = "log"
    has_heartbeats = False

    def __init__(
        self,
        log: RelayedLog,
        start: RelayedStart,
        *,
        log_request: LogRequest,
        has_job_ended: Callable[[], Awaitable[bool]],
        on_close: Callable[[RelayedLog], None],
    ) -> None:
        self._log = log
        self._start = start
        self._entry_id = start.entry_id
        self._line_filter = log_request.line_filter
        self._matcher = (
            LineMatcher(log_request.line_filter) if log_request.line_filter is not None else None
        )
        self._follows = log_request.follow
        self._threads = log.threads
        self._has_job_ended = has_job_ended
        self._on_close = on_close
        self._sink: Sink | None = None
        self._queue: RelayedBatchQueue | None = None
        self._is_finished = False
        # Of the last event that bore an id.
        self._cursor = ""
        # An end of the log, where that is the last that it has read by itself.
        self._completion: LogItem | None = None
        self.is_exhausted = start.is_exhausted

    @property
    def buffered_bytes(self) -> int:
        """What is kept for the viewer."""
        return self._queue.buffered_bytes if self._queue is not None else 0

    def set_sink(self, sink: Sink) -> None:
        """Says where new lines may go at once."""
        self._sink = sink

    async def frames(self) -> AsyncIterator[bytes]:
        """From where the viewer stands, to the log's end."""
        end = max(self._log.last_id, self._start.entry_id, key=parse_id)
        if self._matcher is not None:
            above = await self._log.read_before(self._start.entry_id, self._start.tail)
            await self._matcher.start_after(self._threads, partial(lines_after_last_mark, above))
        if first := await self._make_first_frames(end):
            yield first
        while not self._is_finished:
            async for chunk in self._catch_up(end):
                yield chunk
            if not self._follows:
                yield self._make_end_frame()
                return
            if self._completion is not None and await self._is_really_complete(
                self._completion, end
            ):
                yield make_entry_frame(self._completion[1])
                return
            if is_id_after(self._log.last_id, self._entry_id):
                continue
            # Compared and joined in one turn of the loop.
            mailbox = self._queue = self._log.subscribe(
                self._line_filter, self._sink, self._entry_id
            )
            try:
                async for chunk in self._read_live_frames(mailbox):
                    yield chunk
            finally:
                self._log.unsubscribe(mailbox)
            if not mailbox.has_overflowed:
                return
            self._entry_id, self._cursor = mailbox.last_id, mailbox.last_cursor or self._cursor

    async def _make_first_frames(self, initial_end_id: bytes) -> bytes:
        """What a viewer is told before all else, and the newest lines for a new one."""
        gap = b""
        if self._start.is_cursor_expired:
            gap = make_log_gap_frame(None)
        elif self._start.gap is not None:
            gap = make_log_gap_frame(self._start.gap)
        return gap + await self._make_matching_frames(
            self._start.tail, initial_end_id=initial_end_id
        )

    async def _catch_up(self, initial_end_id: bytes) -> AsyncIterator[bytes]:
        """What lies between the viewer and the reading, read from Redis."""
        while is_id_after(self._log.last_id, self._entry_id) and not self._is_finished:
            entries, whole = await self._log.read_after(self._entry_id)
            if not whole and await self._resync():
                continue
            if whole and not entries and self._follows:
                # Redis has lost what the reading stands at: what comes instead comes here, too.
                await asyncio.sleep(LOST_ENTRIES_POLL_S)
                continue
            gap = b"" if whole else make_log_gap_frame(TRIMMED_GAP)
            # Where there is nothing, the reading stands at what is gone.
            self._entry_id = entries[-1][0] if entries else self._log.last_id
            if frames := gap + await self._make_matching_frames(
                entries, initial_end_id=initial_end_id
            ):
                yield frames

    async def _resync(self) -> bool:
        """Whether the place is another one now: Redis has lost its data, and has it again."""
        seen = LogCursor.parse(self._cursor)
        if seen is None:
            return False
        start = await find_resume_point(self._log.source.reader, self._log.job_id, seen)
        if start is None or start.gap is not None or start.entry_id == self._entry_id:
            return False
        self._entry_id = start.entry_id
        return True

    async def _is_really_complete(self, completion: LogItem, initial_end_id: bytes) -> bool:
        """Whether the log ends where it says so: a job that runs again goes on behind it."""
        if is_id_after(completion[0], initial_end_id):
            return True
        try:
            return await self._has_job_ended()
        except MarianneStreamError:
            return False

    async def _read_live_frames(self, queue: RelayedBatchQueue) -> AsyncIterator[bytes]:
        while await self._wait_for_items(queue):
            while (batch := queue.take()) is not None:
                if frames := await batch.select_frames(self._matcher, self._threads):
                    yield frames
                if batch.is_complete:
                    return
            if queue.has_overflowed:
                return
        if self._completion is not None and not self._is_finished:
            yield make_entry_frame(self._completion[1])

    async def _wait_for_items(self, queue: RelayedBatchQueue) -> bool:
        """Waits for more; false where there will be none.

        The word that a job is over may come after its log has said so.
        """
        while self._completion is not None and self._completion[0] == queue.last_id:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(JOB_END_POLL_S):
                    return await queue.wait()
            if queue.last_id == self._completion[0] and await self._is_really_complete(
                self._completion, self._completion[0]
            ):
                return False
        self._completion = None
        return await queue.wait()

    async def _make_matching_frames(
        self, items: Sequence[LogItem], *, initial_end_id: bytes
    ) -> bytes:
        """Entries that are read from Redis, as frames; an end that was none is left out."""
        if items:
            self._cursor = items[-1][1].cursor or self._cursor
            self._completion = items[-1] if items[-1][1].mark == LOG_COMPLETE else None
        lines = [(i, e) for i, e in items if e.mark != LOG_COMPLETE]
        initial = [(i, e) for i, e in lines if not is_id_after(i, initial_end_id)]
        later = lines[len(initial) :]
        old = await select_entries(initial, self._matcher, self._threads)
        new = await select_entries(later, self._matcher, self._threads)
        return make_entry_frames(old, is_initial=True) + make_entry_frames(new)

    def _make_end_frame(self) -> bytes:
        """The end of a stream that was not to follow."""
        seen = LogCursor.parse(self._cursor)
        cursor = str(seen.as_complete(follow=False)) if seen is not None else ""
        data = LogCompleteData(message="This is the end so far.")
        return sse.frame(data.json_bytes(), event=LOG_COMPLETE, event_id=cursor)

    def finish(self) -> None:
        """Lets `frames` end."""
        self._is_finished = True
        if self._queue is not None:
            self._queue.finish()

    def close(self) -> None:
        """Lets go of the log."""
        self.finish()
        if self._queue is not None:
            self._queue.close()
        self._on_close(self._log)
