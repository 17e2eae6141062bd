"""One job's log on an edge, read once for all of its viewers, and where in it one goes on."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.logs.entries import MAX_ENTRY_LINES
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_reader import LogGap
from marianne_stream.logs.log_threads import JobThreads
from marianne_stream.relay.edge.relayed_queue import (
    LOG_COMPLETE,
    LogItem,
    RelayedBatch,
    RelayedBatchQueue,
    decode_log_items,
    make_gap_entry,
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
from marianne_stream.relay.schema import LogEntryId
from marianne_stream.relay.validation import is_number
from marianne_stream.wire.cursors import LogCursor

# How many entries one that is behind reads at once.
PAGE_ENTRIES = 500

# So many marks may stand among the newest lines.
MAX_TAIL_MARKS = 20

TRIMMED_GAP = LogGap("rotated_away", None)

# A relay knows the last 100 generations of a log; more files may begin with the same line.
MAX_GENERATIONS = 100
MAX_FILES = 1_000


@dataclass(frozen=True, slots=True)
class RelayedStart:
    """Where a viewer begins.

    Attributes:
        entry_id: behind the entry with this id.
        tail: what is sent first: the newest lines of a new viewer.
        gap: whether something is missing before what comes, and why.
        is_cursor_expired: whether its cursor could not be used.
        is_exhausted: whether it has seen the end of all there is.
        is_truncated: whether fewer lines are kept than it wants.
    """

    entry_id: bytes
    tail: Sequence[LogItem] = ()
    gap: LogGap | None = None
    is_cursor_expired: bool = False
    is_exhausted: bool = False
    is_truncated: bool = False


class RelayedLog:
    """One job's log, for as long as somebody watches it.

    Args:
        source: whose it is.
        job_id: the job, as the source has it.
        threads: where its lines are matched against what viewers want.

    Attributes:
        last_id: the id of the entry that was read last.
        subscriber_count: how many watch.
        read_bytes: how much was read.
    """

    def __init__(self, source: RelayedSource, job_id: str, threads: JobThreads) -> None:
        self.source = source
        self.threads = threads
        self.job_id = job_id
        self.key = source.reader.keys.log(job_id)
        self.last_id = FIRST_ID
        self.subscriber_count = 0
        self.read_bytes = 0
        self._last_cursor: LogCursor | None = None
        # Of the line that was read last.
        self._last_line_number = 0
        self._queues: set[RelayedBatchQueue] = set()
        self._exit_stack = ExitStack()
        self._start_lock = asyncio.Lock()
        self._is_started = False

    async def start(self) -> None:
        """Begins to read where the stream ends at this moment, unless that was done.

        Raises:
            StateUnavailableError: Redis does not answer.
        """
        async with self._start_lock:
            if not self._is_started:
                await self._start()
                self._is_started = True

    async def _start(self) -> None:
        reading = self.source.reader
        self._exit_stack.enter_context(reading.interest_sender.hold("log", self.job_id))
        async with reading.client() as redis:
            last = decode_log_items(await xrevrange(redis, self.key, count=1))
        if last:
            self._set_position(last[0])
        reading.subscribe(self.key, self.last_id, self.on_entries)

    def close(self) -> None:
        """Nobody watches any more."""
        self.source.reader.unsubscribe(self.key)
        self._exit_stack.close()

    def subscribe(
        self, line_filter: LineFilter | None, sink: Sink | None, after_id: bytes
    ) -> RelayedBatchQueue:
        """A mailbox that holds what follows this moment, for one who has all until then."""
        mailbox = RelayedBatchQueue(line_filter, sink, after_id)
        self._queues.add(mailbox)
        return mailbox

    def unsubscribe(self, queue: RelayedBatchQueue) -> None:
        """Nothing more is put into a mailbox."""
        self._queues.discard(queue)

    async def read_after(self, after_id: bytes) -> tuple[list[LogItem], bool]:
        """The entries behind an id, and whether nothing lies between it and the first of them.

        Raises:
            StateUnavailableError: Redis does not answer.
        """
        async with self.source.reader.client() as redis:
            # With the one that was seen: where it is gone, others behind it may be, too.
            found = await xrange(redis, self.key, from_id=after_id, count=PAGE_ENTRIES + 1)
        entries = decode_log_items(found)
        if entries and entries[0][0] == after_id:
            return entries[1:], True
        return entries, after_id == FIRST_ID

    async def read_tail(self, line_count: int) -> tuple[list[LogItem], bool]:
        """The newest lines with what happened between them, and whether older ones are gone.

        Raises:
            StateUnavailableError: Redis does not answer.
        """
        async with self.source.reader.client() as redis:
            found = decode_log_items(
                await xrevrange(redis, self.key, count=line_count + MAX_TAIL_MARKS)
            )
            oldest = decode_log_items(await xrange(redis, self.key, count=1))
        places = [at for at, (_, entry) in enumerate(found) if entry.line]
        if len(places) > line_count:
            return found[places[-line_count] :] if line_count else found[len(found) :], False
        begins = not oldest or not oldest[0][1].line or oldest[0][1].number == 1
        return found, len(places) < line_count and not begins

    async def read_before(self, entry_id: bytes, tail: Sequence[LogItem]) -> list[LogItem]:
        """The entries above what a viewer begins with, which may go on with a line of theirs.

        Args:
            entry_id: the id behind which the viewer begins.
            tail: what it is given before that.

        Raises:
            StateUnavailableError: Redis does not answer.
        """
        most = tail[0][0] if tail else entry_id
        async with self.source.reader.client() as redis:
            found = decode_log_items(
                await xrevrange(redis, self.key, count=MAX_ENTRY_LINES, to_id=most)
            )
        return [entry for entry in found if not tail or entry[0] != most]

    async def on_entries(self, entries: list[StreamEntry]) -> None:
        """Offer what has come to all who stand here, behind a gap where something is missing.

        Raises:
            StateUnavailableError: Redis does not answer.
        """
        new = decode_log_items(entries)
        self.read_bytes += sum(len(entry.line) for _, entry in new)
        if self._may_have_gap(new) and not await self._resync():
            if not new or new[0][1].mark != "log_gap":
                new.insert(0, (entries[0][0], make_gap_entry()))
        else:
            new = [entry for entry in new if is_id_after(entry[0], self.last_id)]
        if not new:
            return
        batch = RelayedBatch.from_items(new)
        self._set_position(batch.last_item)
        for mailbox in list(self._queues):
            mailbox.offer(batch)

    def _may_have_gap(self, items: Sequence[LogItem]) -> bool:
        """Whether lines may be missing before some entries: their numbers do not tell."""
        if self.last_id == FIRST_ID:
            return False
        if not items or parse_id(items[0][0])[0] != parse_id(self.last_id)[0]:
            return True
        return bool(items[0][1].line) and items[0][1].number != self._last_line_number + 1

    async def _resync(self) -> bool:
        """Whether the entry that was read last is there, maybe again, under a higher id."""
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

    def _set_position(self, item: LogItem) -> None:
        self.last_id, entry = item
        seen = LogCursor.parse(entry.cursor)
        self._last_cursor = seen or self._last_cursor
        self._last_line_number = seen.number if seen is not None else 0


async def find_resume_point(
    reader: SourceReader, job_id: str, cursor: LogCursor
) -> RelayedStart | None:
    """Where one begins who has seen a line; None where it is not known here.

    Args:
        reader: of the source.
        job_id: whose log it is.
        cursor: the cursor of the line.

    Raises:
        StateUnavailableError: Redis does not answer.
    """
    generations = await find_generations(reader, job_id, cursor)
    key = reader.keys.log(job_id)
    async with reader.client() as redis:
        first = decode_log_items(await xrange(redis, key, count=1))
        last = decode_log_items(await xrevrange(redis, key, count=1))
        for generation in generations:
            for behind in (True, False) if cursor.kind == "c" else (False,):
                place = str(LogEntryId(generation, cursor.offset, behind)).encode()
                found = decode_log_items(
                    await xrange(redis, key, from_id=place, to_id=place, count=1)
                )
                if found and is_entry_at(found[0], cursor):
                    over = behind and last[0][0] == place and last[0][1].mark == LOG_COMPLETE
                    return RelayedStart(place, is_exhausted=over)
    if not first:
        return None
    if not cursor.offset and starts_after(first[0], cursor):
        return RelayedStart(FIRST_ID)
    if generations and cursor.offset:
        place = str(LogEntryId(generations[0], cursor.offset)).encode()
        if is_id_after(first[0][0], place):
            # What followed it was trimmed.
            return RelayedStart(FIRST_ID, gap=TRIMMED_GAP)
    return None


async def find_generations(reader: SourceReader, job_id: str, cursor: LogCursor) -> list[int]:
    """The generations of the files in which a cursor can lie, the newest first."""
    async with reader.client() as redis:
        raw = await read_hash(redis, reader.keys.files(job_id), MAX_FILES)
    first = b"%016x" % cursor.first_line_hash
    found = (int(number) for number, name in raw.items() if name == first and is_number(number))
    return sorted(found, reverse=True)[:MAX_GENERATIONS]


def is_entry_at(item: LogItem, wanted_cursor: LogCursor) -> bool:
    """Whether an entry is the one that a cursor stands behind."""
    cursor = LogCursor.parse(item[1].cursor)
    return cursor is not None and (cursor.first_line_hash, cursor.window_hash) == (
        wanted_cursor.first_line_hash,
        wanted_cursor.window_hash,
    )


def starts_after(item: LogItem, wanted_cursor: LogCursor) -> bool:
    """Whether a stream begins where one stands who has seen a log without a line."""
    _, entry = item
    cursor = LogCursor.parse(entry.cursor)
    same = cursor is not None and cursor.inode == wanted_cursor.inode
    return same and (not entry.line or entry.number == 1)
