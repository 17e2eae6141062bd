"""Log of a job on an edge, read once for all clients, and the positions in its stream."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.feeds.log_frames import make_log_gap_data
from marianne_stream.logs.entries import MAX_ENTRY_LINES
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_reader import LogGap
from marianne_stream.logs.log_threads import JobThreads
from marianne_stream.relay.edge.relayed_queue import (
    LOG_COMPLETE,
    LogStreamEntry,
    RelayedBatch,
    RelayedBatchQueue,
    decode_log_items,
)
from marianne_stream.relay.edge.relayed_source import RelayedSource
from marianne_stream.relay.edge.source_reader import SourceReader
from marianne_stream.relay.redis_streams import (
    FIRST_ID,
    StreamEntry,
    is_id_after,
    parse_id,
    read_hash,
    xrange,
    xrevrange,
)
from marianne_stream.relay.schema import LogEntry, LogEntryId
from marianne_stream.relay.validation import is_number
from marianne_stream.wire.cursors import LogCursor

# Entries that a client which is behind reads at once.
PAGE_ENTRIES = 500

# Marks that may stand among the newest lines.
MAX_TAIL_MARKS = 20

TRIMMED_GAP = LogGap("rotated_away", None)

# A relay knows the last 100 generations of a log; more files may begin with the same line.
MAX_GENERATIONS = 100
MAX_FILES = 1_000


@dataclass(frozen=True, slots=True)
class RelayedStart:
    """Start of a feed.

    Attributes:
        entry_id: id behind which the feed continues.
        tail: entries that a new client gets first.
        gap: gap before the next entry, or None.
        is_truncated: whether Redis has fewer lines than the client wants.
    """

    entry_id: bytes
    tail: Sequence[LogStreamEntry] = ()
    gap: LogGap | None = None
    is_cursor_expired: bool = False
    is_exhausted: bool = False
    is_truncated: bool = False


class RelayedLog:
    """Log of a job, while clients watch it.

    Its methods raise StateUnavailableError if Redis does not answer.
    """

    def __init__(self, source: RelayedSource, job_id: str, threads: JobThreads) -> None:
        self.source = source
        self.threads = threads
        self.job_id = job_id
        self.key = source.reader.keys.log(job_id)
        self.last_id = FIRST_ID
        self.subscriber_count = self.read_bytes = 0
        self._last_cursor: LogCursor | None = None
        # Number of the newest line; 0 behind a mark.
        self._last_line_number = 0
        self._queues: set[RelayedBatchQueue] = set()
        self._exit_stack = ExitStack()
        self._start_lock = asyncio.Lock()
        self._is_started = False

    async def start(self) -> None:
        """Follow the stream from its present end, unless it is followed already."""
        async with self._start_lock:
            if self._is_started:
                return
            reader = self.source.reader
            self._exit_stack.enter_context(reader.interest_sender.hold("log", self.job_id))
            async with reader.client() as redis:
                last = decode_log_items(await xrevrange(redis, self.key, count=1))
            if last:
                self._set_position(last[0])
            reader.subscribe(self.key, self.last_id, self.on_entries)
            self._is_started = True

    def close(self) -> None:
        """Stop following the stream."""
        self.source.reader.unsubscribe(self.key)
        self._exit_stack.close()

    def subscribe(
        self, line_filter: LineFilter | None, sink: Sink | None, after_id: bytes
    ) -> RelayedBatchQueue:
        """Return a queue of what follows this moment, for a client that has all before it."""
        queue = RelayedBatchQueue(line_filter, sink, after_id)
        self._queues.add(queue)
        return queue

    def unsubscribe(self, queue: RelayedBatchQueue) -> None:
        """Stop offering batches to a queue."""
        self._queues.discard(queue)

    async def read_after(self, after_id: bytes) -> tuple[list[LogStreamEntry], bool]:
        """Return a page of entries behind an id, and whether none is missing before the first."""
        async with self.source.reader.client() as redis:
            # If the entry at the id is gone, others behind it may be gone too.
            found = await xrange(redis, self.key, from_id=after_id, count=PAGE_ENTRIES + 1)
        items = decode_log_items(found)
        if items and items[0][0] == after_id:
            return items[1:], True
        return items, after_id == FIRST_ID

    async def read_tail(self, line_count: int) -> tuple[list[LogStreamEntry], bool]:
        """Return the newest lines and their marks, and whether older lines were trimmed."""
        async with self.source.reader.client() as redis:
            found = decode_log_items(
                await xrevrange(redis, self.key, count=line_count + MAX_TAIL_MARKS)
            )
            oldest = decode_log_items(await xrange(redis, self.key, count=1))
        indices = [index for index, (_, entry) in enumerate(found) if entry.line]
        if len(indices) > line_count:
            return found[indices[-line_count] :] if line_count else [], False
        is_whole = not oldest or not oldest[0][1].line or oldest[0][1].number == 1
        return found, len(indices) < line_count and not is_whole

    async def read_before(
        self, entry_id: bytes, tail: Sequence[LogStreamEntry]
    ) -> list[LogStreamEntry]:
        """Return the entries before a start and its tail: a multi-line entry may begin there."""
        end_id = tail[0][0] if tail else entry_id
        async with self.source.reader.client() as redis:
            found = decode_log_items(
                await xrevrange(redis, self.key, count=MAX_ENTRY_LINES, to_id=end_id)
            )
        return [item for item in found if not tail or item[0] != end_id]

    async def on_entries(self, entries: list[StreamEntry]) -> None:
        """Offer new entries to all queues, after a gap if some are missing."""
        new = decode_log_items(entries)
        self.read_bytes += sum(len(entry.line) for _, entry in new)
        if self._may_have_gap(new) and not await self._resync():
            if not new or new[0][1].mark != "log_gap":
                gap = LogEntry("", mark="log_gap", data=make_log_gap_data(TRIMMED_GAP))
                new.insert(0, (entries[0][0], gap))
        else:
            new = [item for item in new if is_id_after(item[0], self.last_id)]
        if not new:
            return
        batch = RelayedBatch.from_items(new)
        self._set_position(new[-1])
        for queue in list(self._queues):
            queue.offer(batch)

    def _may_have_gap(self, items: Sequence[LogStreamEntry]) -> bool:
        """Return whether the line numbers leave open that lines are missing before entries."""
        if self.last_id == FIRST_ID:
            return False
        if not items or parse_id(items[0][0])[0] != parse_id(self.last_id)[0]:
            return True
        return bool(items[0][1].line) and items[0][1].number != self._last_line_number + 1

    async def _resync(self) -> bool:
        """Return whether the newest entry that was read is there, perhaps under a higher id."""
        async with self.source.reader.client() as redis:
            if await xrange(redis, self.key, from_id=self.last_id, to_id=self.last_id, count=1):
                return True
        start = None
        if self._last_cursor is not None:
            start = await find_resume_point(self.source.reader, self.job_id, self._last_cursor)
        if start is None or start.gap is not None or not is_id_after(start.entry_id, self.last_id):
            return False
        self.last_id = start.entry_id
        return True

    def _set_position(self, item: LogStreamEntry) -> None:
        self.last_id, entry = item
        cursor = LogCursor.parse(entry.cursor)
        self._last_cursor = cursor or self._last_cursor
        self._last_line_number = cursor.number if cursor is not None else 0


async def find_resume_point(
    reader: SourceReader, job_id: str, cursor: LogCursor
) -> RelayedStart | None:
    """Find the start of a feed behind a cursor, or None if the cursor is unknown."""
    generations = await find_generations(reader, job_id, cursor)
    key = reader.keys.log(job_id)
    async with reader.client() as redis:
        first = decode_log_items(await xrange(redis, key, count=1))
        last = decode_log_items(await xrevrange(redis, key, count=1))
        for generation in generations:
            for is_end in (True, False) if cursor.kind == "c" else (False,):
                entry_id = str(LogEntryId(generation, cursor.offset, is_end)).encode()
                found = decode_log_items(
                    await xrange(redis, key, from_id=entry_id, to_id=entry_id, count=1)
                )
                if found and is_entry_at(found[0], cursor):
                    is_last = last[0][0] == entry_id and last[0][1].mark == LOG_COMPLETE
                    return RelayedStart(entry_id, is_exhausted=is_end and is_last)
    if not first:
        return None
    if not cursor.offset and starts_after(first[0], cursor):
        return RelayedStart(FIRST_ID)
    if generations and cursor.offset:
        entry_id = str(LogEntryId(generations[0], cursor.offset)).encode()
        if is_id_after(first[0][0], entry_id):
            # The entries behind the cursor were trimmed.
            return RelayedStart(FIRST_ID, gap=TRIMMED_GAP)
    return None


async def find_generations(reader: SourceReader, job_id: str, cursor: LogCursor) -> list[int]:
    """Return the generations of the files that a cursor may be in, newest first."""
    async with reader.client() as redis:
        hashes = await read_hash(redis, reader.keys.files(job_id), MAX_FILES)
    wanted = b"%016x" % cursor.first_line_hash
    found = (int(name) for name, value in hashes.items() if value == wanted and is_number(name))
    return sorted(found, reverse=True)[:MAX_GENERATIONS]


def is_entry_at(item: LogStreamEntry, wanted_cursor: LogCursor) -> bool:
    """Return whether an entry is the one that a cursor stands behind."""
    cursor = LogCursor.parse(item[1].cursor)
    return cursor is not None and (cursor.first_line_hash, cursor.window_hash) == (
        wanted_cursor.first_line_hash,
        wanted_cursor.window_hash,
    )


def starts_after(item: LogStreamEntry, wanted_cursor: LogCursor) -> bool:
    """Return whether a stream begins behind a cursor of a log that had no line yet."""
    _, entry = item
    cursor = LogCursor.parse(entry.cursor)
    is_same_file = cursor is not None and cursor.inode == wanted_cursor.inode
    return is_same_file and (not entry.line or entry.number == 1)
