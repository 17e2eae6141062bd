"""Feed of a relayed log for one client; see `feeds/live_log_feed.py`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial

from marianne_stream.errors import MarianneStreamError
from marianne_stream.feeds.live_log_feed import LiveLogFeed
from marianne_stream.feeds.log_feeds import LogRequest
from marianne_stream.feeds.log_frames import make_complete_data, make_log_gap_frame
from marianne_stream.relay.edge.relayed_log import (
    TRIMMED_GAP,
    RelayedLog,
    RelayedStart,
    find_resume_point,
)
from marianne_stream.relay.edge.relayed_queue import (
    LOG_COMPLETE,
    LogStreamEntry,
    RelayedBatchQueue,
    lines_after_last_mark,
    make_entry_frame,
    make_entry_frames,
    select_entries,
)
from marianne_stream.relay.redis_streams import is_id_after, parse_id
from marianne_stream.wire import sse
from marianne_stream.wire.cursors import LogCursor

# Interval of the question whether the job of a complete log has ended.
JOB_END_POLL_S = 1.0

# Interval of the search for entries that Redis has lost.
LOST_ENTRIES_POLL_S = 0.25


class RelayedLogFeed(LiveLogFeed[RelayedBatchQueue, bytes]):
    """Feed of a relayed log, which counts this client as a subscriber until `on_close`."""

    def __init__(
        self,
        log: RelayedLog,
        start: RelayedStart,
        *,
        log_request: LogRequest,
        has_job_ended: Callable[[], Awaitable[bool]],
        on_close: Callable[[RelayedLog], None],
    ) -> None:
        super().__init__(log_request.line_filter, log.threads)
        self.is_exhausted = start.is_exhausted
        self._log = log
        self._start = start
        self._entry_id = start.entry_id
        self._follows = log_request.follow
        self._has_job_ended = has_job_ended
        self._on_close = on_close
        # Newest entry when the client came; entries up to it are `initial`.
        self._initial_end_id = start.entry_id
        # Cursor of the last entry that has one.
        self._cursor = ""
        # A log_complete mark, if it is the last entry that the feed has read from Redis.
        self._completion: LogStreamEntry | None = None
        self._is_complete = False

    def close(self) -> None:
        """Finish, and leave the log."""
        super().close()
        self._on_close(self._log)

    async def _first_frames(self) -> AsyncIterator[bytes]:
        start = self._start
        self._initial_end_id = max(self._log.last_id, start.entry_id, key=parse_id)
        if self._matcher is not None:
            above = await self._log.read_before(start.entry_id, start.tail)
            await self._matcher.start_after(self._threads, partial(lines_after_last_mark, above))
        frames = b""
        if start.is_cursor_expired or start.gap is not None:
            frames = make_log_gap_frame(None if start.is_cursor_expired else start.gap)
        if frames := frames + await self._make_matching_frames(start.tail):
            yield frames

    def _is_behind(self) -> bool:
        return is_id_after(self._log.last_id, self._entry_id)

    async def _read_next(self) -> bytes | None:
        entries, is_continuous = await self._log.read_after(self._entry_id)
        if not is_continuous and await self._resync():
            return b""
        if is_continuous and not entries and self._follows:
            # Redis has lost the entry at which the log is read: what comes instead comes here too.
            return None
        gap = b"" if is_continuous else make_log_gap_frame(TRIMMED_GAP)
        self._entry_id = entries[-1][0] if entries else self._log.last_id
        return gap + await self._make_matching_frames(entries)

    async def _wait_for_source(self) -> None:
        await asyncio.sleep(LOST_ENTRIES_POLL_S)

    async def _resync(self) -> bool:
        """Find the position under another id, after Redis has lost entries and has them again."""
        cursor = LogCursor.parse(self._cursor)
        if cursor is None:
            return False
        start = await find_resume_point(self._log.source.reader, self._log.job_id, cursor)
        if start is None or start.gap is not None or start.entry_id == self._entry_id:
            return False
        self._entry_id = start.entry_id
        return True

    async def _make_end_frame(self) -> bytes:
        if not self._follows:
            cursor = LogCursor.parse(self._cursor)
            event_id = str(cursor.as_complete(follow=False)) if cursor is not None else ""
            return sse.frame(
                make_complete_data(follow=False), event=LOG_COMPLETE, event_id=event_id
            )
        completion = self._completion
        if completion is None:
            return b""
        is_new = is_id_after(completion[0], self._initial_end_id)
        if self._is_complete or is_new or await self._is_job_over():
            return make_entry_frame(completion[1])
        return b""

    async def _is_job_over(self) -> bool:
        """Return whether the job has ended: if it runs again, its log goes on behind the mark."""
        with contextlib.suppress(MarianneStreamError):
            return await self._has_job_ended()
        return False

    async def _wait_for_batches(self, queue: RelayedBatchQueue) -> bool:
        # The end of the job may be known later than the end of its log.
        while self._completion is not None and self._completion[0] == queue.last_id:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(JOB_END_POLL_S):
                    return await queue.wait()
            if queue.last_id == self._completion[0] and await self._is_job_over():
                self._is_complete = True
                return False
        self._completion = None
        return await queue.wait()

    async def _make_matching_frames(self, items: Sequence[LogStreamEntry]) -> bytes:
        """Return the frames of entries from Redis, without log_complete marks."""
        if items:
            self._cursor = items[-1][1].cursor or self._cursor
            self._completion = items[-1] if items[-1][1].mark == LOG_COMPLETE else None
        lines = [item for item in items if item[1].mark != LOG_COMPLETE]
        initial = [item for item in lines if not is_id_after(item[0], self._initial_end_id)]
        later = lines[len(initial) :]
        old = await select_entries(initial, self._matcher, self._threads)
        new = await select_entries(later, self._matcher, self._threads)
        return make_entry_frames(old, is_initial=True) + make_entry_frames(new)

    def _subscribe(self) -> RelayedBatchQueue:
        return self._log.subscribe(self._line_filter, self._sink, self._entry_id)

    def _unsubscribe(self, queue: RelayedBatchQueue) -> None:
        self._log.unsubscribe(queue)

    def _resume_after(self, queue: RelayedBatchQueue) -> None:
        self._entry_id, self._cursor = queue.last_id, queue.last_cursor or self._cursor
