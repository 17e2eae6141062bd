"""Log of a job on an edge, read once for all clients: its batches, and its feed for one client.

`feeds/live_log_feed.py` describes how a feed catches up with the log.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from marianne_stream.errors import MarianneStreamError
from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.feeds.batch_queue import BatchQueue, FrameBatch
from marianne_stream.feeds.line_matcher import LineMatcher
from marianne_stream.feeds.live_log_feed import LiveLogFeed
from marianne_stream.feeds.log_frames import (
    make_complete_data,
    make_conductor_members,
    make_facts_members,
    make_log_gap_frame,
)
from marianne_stream.feeds.log_start import LogRequest
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_threads import JobThreads
from marianne_stream.relay.edge.log_stream import (
    GAP_ENTRY,
    LogPosition,
    LogStart,
    LogStream,
    LogStreamEntry,
    decode_log_items,
)
from marianne_stream.relay.edge.relayed_source import RelayedSource
from marianne_stream.relay.redis_streams import FIRST_ID, StreamEntry, is_id_after, parse_id
from marianne_stream.relay.schema import LOG_COMPLETE, LogEntry, decode_string
from marianne_stream.wire import sse
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_levels import parse_line_facts

# Limit of a client's queue.
MAX_QUEUED_BYTES = 896 * 1024


def make_entry_frame(entry: LogEntry, *, is_initial: bool = False) -> bytes:
    """Return the frame of an entry, the same bytes as feeds/log_frames.py makes."""
    if entry.mark:
        return sse.frame(entry.data, event=entry.mark, event_id=entry.cursor)
    if not entry.line:
        return sse.id_only(entry.cursor)
    text = decode_string(entry.line)
    members = b"true" if is_initial else b"false"
    if entry.is_truncated:
        members += b',"truncated":true'
    members += make_facts_members(parse_line_facts(text))
    if entry.is_conductor_log:
        members += make_conductor_members(text.encode("utf-8", "replace"))
    return (
        b'id: %b\nevent: log\ndata: {"line":%b,"line_number":%d,"timestamp":"%b","initial":%b}\n\n'
        % (entry.cursor.encode(), entry.line, entry.number, entry.timestamp.encode(), members)
    )


def make_entry_frames(entries: Iterable[LogEntry], *, is_initial: bool = False) -> bytes:
    """Return the frames of entries."""
    return b"".join(make_entry_frame(entry, is_initial=is_initial) for entry in entries)


@dataclass(frozen=True, kw_only=True)
class RelayedBatch(FrameBatch):
    """Entries that were read at once, at least one, and the position behind them."""

    items: Sequence[LogStreamEntry]
    end: LogPosition

    @classmethod
    def from_items(cls, items: Sequence[LogStreamEntry], end: LogPosition) -> "RelayedBatch":
        """Encode entries for all clients."""
        return cls(
            items=items,
            end=end,
            frames=make_entry_frames(entry for _, entry in items),
            is_complete=items[-1][1].mark == LOG_COMPLETE,
        )

    def after(self, entry_id: bytes) -> "RelayedBatch | None":
        """Return the entries behind an id: usually all."""
        if is_id_after(self.items[0][0], entry_id):
            return self
        rest = [item for item in self.items if is_id_after(item[0], entry_id)]
        return RelayedBatch.from_items(rest, self.end) if rest else None

    async def _match_frames(self, threads: JobThreads, matcher: LineMatcher) -> bytes:
        return make_entry_frames(await select_entries(self.items, matcher, threads))


async def select_entries(
    items: Sequence[LogStreamEntry], matcher: LineMatcher | None, threads: JobThreads
) -> list[LogEntry]:
    """Return the lines that pass a filter, and every mark."""
    if matcher is not None:
        items = await matcher.select(threads, items, get_text)
    return [entry for _, entry in items]


def lines_after_last_mark(items: Sequence[LogStreamEntry]) -> list[bytes]:
    """Return the lines behind the last mark."""
    lines: list[bytes] = []
    for item in items:
        text = get_text(item)
        if text is None:
            lines.clear()
        else:
            lines.append(text)
    return lines


def get_text(item: LogStreamEntry) -> bytes | None:
    """Return the text of a line for filters, or None for a mark."""
    line = item[1].line
    return decode_string(line).encode() if line else None


class RelayedBatchQueue(BatchQueue[RelayedBatch]):
    """Batches behind a position that one client has not taken yet.

    Attributes:
        position: position behind the last batch that was sent or taken.
    """

    def __init__(
        self, line_filter: LineFilter | None, sink: Sink | None, position: LogPosition
    ) -> None:
        super().__init__(line_filter, sink, max_bytes=MAX_QUEUED_BYTES)
        self.position = position
        self._last_offered_id = position.entry_id

    def _accept(self, batch: RelayedBatch) -> RelayedBatch | None:
        rest = batch.after(self._last_offered_id)
        if rest is not None:
            self._last_offered_id = rest.items[-1][0]
        return rest

    def _set_position(self, batch: RelayedBatch) -> None:
        self.position = batch.end


# Interval of the question whether the job of a complete log has ended.
JOB_END_POLL_S = 1.0

# Interval of the search for entries that Redis has lost.
LOST_ENTRIES_POLL_S = 0.25


class RelayedLog:
    """Log of a job, while clients watch it.

    Attributes:
        position: end of what was read and offered to all queues.
    """

    def __init__(self, source: RelayedSource, job_id: str, threads: JobThreads) -> None:
        self.source = source
        self.threads = threads
        self.job_id = job_id
        self.stream = LogStream(source.reader, job_id)
        self.position = LogPosition()
        self.subscriber_count = self.read_bytes = 0
        self._queues: set[RelayedBatchQueue] = set()
        self._start_lock = asyncio.Lock()
        self._is_started = False

    async def start(self) -> None:
        """Follow the stream from its present end, unless it is followed already.

        Raises StateUnavailableError if Redis does not answer.
        """
        async with self._start_lock:
            if self._is_started:
                return
            reader = self.source.reader
            reader.watched_logs.add(self.job_id)
            self.position = await self.stream.find_end()
            reader.subscribe(self.stream.key, self.position.entry_id, self.on_entries)
            self._is_started = True

    async def wait_for_first_lines(self) -> None:
        """Wait until the relay, which now receives the interest, has published lines.

        Raises as `RelayedSource.wait_until_published` does.
        """

        async def find_lines() -> bytes | None:
            return self.position.entry_id if self.position.entry_id != FIRST_ID else None

        await self.source.wait_until_published("log", self.job_id, find_lines)

    def close(self) -> None:
        """Stop following the stream."""
        self.source.reader.unsubscribe(self.stream.key)
        self.source.reader.watched_logs.discard(self.job_id)

    def subscribe(
        self, line_filter: LineFilter | None, sink: Sink | None, position: LogPosition
    ) -> RelayedBatchQueue:
        """Return a queue of what follows this moment, for a client that has all before it."""
        queue = RelayedBatchQueue(line_filter, sink, position)
        self._queues.add(queue)
        return queue

    def unsubscribe(self, queue: RelayedBatchQueue) -> None:
        """Stop offering batches to a queue."""
        self._queues.discard(queue)

    async def on_entries(self, entries: Sequence[StreamEntry]) -> None:
        """Offer new entries to all queues, after those that lie before them."""
        items = decode_log_items(entries)
        before: LogPosition | None = None
        while before != self.position:
            before = self.position
            if items and not is_id_after(items[0][0], before.entry_id):
                items = [item for item in items if is_id_after(item[0], before.entry_id)]
            if before.is_followed_by(items):
                break
            self._offer(*await self.stream.read_after(before, b"(" + items[0][0]))
        self._offer(*self.position.follow(items, entries[-1][0]))

    def _offer(self, items: Sequence[LogStreamEntry], end: LogPosition) -> None:
        self.position = end
        if not items:
            return
        self.read_bytes += sum(len(entry.line) for _, entry in items)
        batch = RelayedBatch.from_items(items, end)
        for queue in list(self._queues):
            queue.offer(batch)


class RelayedLogFeed(LiveLogFeed[RelayedBatchQueue, bytes]):
    """Feed of a relayed log, which counts this client as a subscriber until `on_close`."""

    def __init__(
        self,
        log: RelayedLog,
        start: LogStart,
        *,
        log_request: LogRequest,
        has_job_ended: Callable[[], Awaitable[bool]],
        on_close: Callable[[RelayedLog], None],
    ) -> None:
        super().__init__(log_request.line_filter, log.threads)
        self.is_exhausted = start.is_exhausted
        self._log = log
        self._start = start
        self._position = start.position
        self._follows = log_request.follow
        self._has_job_ended = has_job_ended
        self._on_close = on_close
        # Newest entry when the client came; entries up to it are `initial`.
        self._initial_end_id = start.position.entry_id
        # A log_complete mark, if it is the last entry that the feed has read from Redis.
        self._completion: LogStreamEntry | None = None
        self._is_complete = False

    def close(self) -> None:
        """Finish, and leave the log."""
        super().close()
        self._on_close(self._log)

    async def _first_frames(self) -> AsyncIterator[bytes]:
        start = self._start
        self._initial_end_id = max(
            self._log.position.entry_id, start.position.entry_id, key=parse_id
        )
        if self._matcher is not None:
            above = await self._log.stream.read_before(start)
            await self._matcher.start_after(self._threads, partial(lines_after_last_mark, above))
        frames = make_log_gap_frame(None) if start.is_cursor_expired else b""
        if frames := frames + await self._make_matching_frames(start.tail):
            yield frames

    def _is_behind(self) -> bool:
        return is_id_after(self._log.position.entry_id, self._position.entry_id)

    async def _read_next(self) -> bytes | None:
        before = self._position
        entries, self._position = await self._log.stream.read_after(before)
        if not entries and self._position.entry_id == before.entry_id:
            if self._follows:
                # Redis has lost the entry at which the log is read: what replaces it comes here.
                return None
            is_missing = self._position.next_number == 0
            self._position = self._log.position
            return make_entry_frame(GAP_ENTRY) if is_missing else b""
        return await self._make_matching_frames(entries)

    async def _wait_for_source(self) -> None:
        await asyncio.sleep(LOST_ENTRIES_POLL_S)

    async def _make_end_frame(self) -> bytes:
        if not self._follows:
            cursor = LogCursor.parse(self._position.cursor)
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
        while self._completion is not None and self._completion[0] == queue.position.entry_id:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(JOB_END_POLL_S):
                    return await queue.wait()
            if queue.position.entry_id == self._completion[0] and await self._is_job_over():
                self._is_complete = True
                return False
        self._completion = None
        return await queue.wait()

    async def _make_matching_frames(self, items: Sequence[LogStreamEntry]) -> bytes:
        """Return the frames of entries from Redis, without log_complete marks."""
        if items:
            self._completion = items[-1] if items[-1][1].mark == LOG_COMPLETE else None
        lines = [item for item in items if item[1].mark != LOG_COMPLETE]
        initial = [item for item in lines if not is_id_after(item[0], self._initial_end_id)]
        later = lines[len(initial) :]
        old = await select_entries(initial, self._matcher, self._threads)
        new = await select_entries(later, self._matcher, self._threads)
        return make_entry_frames(old, is_initial=True) + make_entry_frames(new)

    def _subscribe(self) -> RelayedBatchQueue:
        return self._log.subscribe(self._line_filter, self._sink, self._position)

    def _unsubscribe(self, queue: RelayedBatchQueue) -> None:
        self._log.unsubscribe(queue)

    def _resume_after(self, queue: RelayedBatchQueue) -> None:
        self._position = queue.position
