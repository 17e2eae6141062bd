"""Stream of a job's log in Redis: positions in it, and reads that name missing lines by a gap."""

import contextlib
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from marianne_stream.feeds.log_frames import make_log_gap_data
from marianne_stream.logs.entries import MAX_ENTRY_LINES
from marianne_stream.logs.log_reader import LogGap
from marianne_stream.relay.edge.source_reader import SourceReader
from marianne_stream.relay.redis_streams import (
    FIRST_ID,
    StreamEntry,
    decode_entries,
    is_id_after,
    parse_id,
    xrange,
    xrevrange,
)
from marianne_stream.relay.schema import LOG_COMPLETE, LogEntry, LogEntryId, parse_log_entry
from marianne_stream.wire.cursors import LogCursor

GAP_ENTRY = LogEntry("", mark="log_gap", data=make_log_gap_data(LogGap("rotated_away", None)))

# Entries that are read at once.
PAGE_ENTRIES = 500

# Marks that may stand among the newest lines.
MAX_TAIL_MARKS = 20

# Files whose entries are searched for a cursor.
MAX_GENERATIONS = 100

LogStreamEntry = tuple[bytes, LogEntry]


def decode_log_items(entries: Iterable[StreamEntry]) -> list[LogStreamEntry]:
    """Decode entries of a log, with their ids."""
    return decode_entries(entries, parse_log_entry)


class LogPosition(NamedTuple):
    """Position behind an entry of a log's stream.

    Attributes:
        entry_id: id of the entry. The entry may be invalid.
        cursor: cursor of the last valid entry that has one, or "".
        next_number: number of the next line; None if it is unknown, 0 if lines are missing here.
    """

    entry_id: bytes = FIRST_ID
    cursor: str = ""
    next_number: int | None = None

    def is_followed_by(self, items: Sequence[LogStreamEntry]) -> bool:
        """Return whether the line numbers show that no entry is missing before these entries.

        The result is False for a rotation or a gap: it has no number.
        """
        if self.next_number is None or not items:
            return True
        return not begins_generation(items[0][1]) and self._is_before(items[0])

    def follow(
        self, items: Iterable[LogStreamEntry], end_id: bytes
    ) -> tuple[list[LogStreamEntry], "LogPosition"]:
        """Return entries with a gap wherever lines are missing, and the position behind them.

        Args:
            items: all valid entries between this position and the end.
            end_id: id of the last entry.
        """
        found: list[LogStreamEntry] = []
        last = self
        for item in items:
            entry_id, entry = item
            if not last._is_before(item):
                found.append((entry_id, GAP_ENTRY))
            found.append(item)
            last = LogPosition(entry_id, entry.cursor or last.cursor, get_next_number(entry))
        return found, last._replace(entry_id=max(self.entry_id, end_id, key=parse_id))

    def _is_before(self, item: LogStreamEntry) -> bool:
        """Return whether no line is missing before the next entry of the stream."""
        entry_id, entry = item
        if self.next_number is None:
            return True
        if begins_generation(entry):
            return self.next_number > 0 or entry.mark == "log_gap"
        if self.entry_id != FIRST_ID and parse_id(self.entry_id)[0] != parse_id(entry_id)[0]:
            return False
        number = entry.number if entry.line else get_next_number(entry)
        # The rest of an unfinished line has the number of that line.
        return number == self.next_number or (
            number == self.next_number - 1 and is_unfinished(self.cursor)
        )


def begins_generation(entry: LogEntry) -> bool:
    """Return whether an entry is a rotation or a gap, which begins a generation."""
    return bool(entry.mark) and entry.mark != LOG_COMPLETE


def is_unfinished(cursor: str) -> bool:
    """Return whether a cursor is behind a line without a newline."""
    parsed = LogCursor.parse(cursor)
    return parsed is not None and parsed.unterminated


def get_next_number(entry: LogEntry) -> int | None:
    """Return the number of the line behind an entry; None behind a gap."""
    if entry.line:
        return entry.number + 1
    if begins_generation(entry):
        return 1 if entry.mark == "log_rotated" else None
    cursor = LogCursor.parse(entry.cursor)
    return cursor.number + 1 if cursor is not None else None


@dataclass(frozen=True, slots=True)
class LogStart:
    """Start of a feed.

    Attributes:
        position: position behind the tail, where the feed continues.
        tail: entries that a new client gets first.
        is_truncated: whether Redis has fewer lines than the client wants.
    """

    position: LogPosition
    tail: Sequence[LogStreamEntry] = ()
    is_cursor_expired: bool = False
    is_exhausted: bool = False
    is_truncated: bool = False


class LogStream:
    """Stream of a log. Its methods raise StateUnavailableError if Redis does not answer."""

    def __init__(self, reader: SourceReader, job_id: str) -> None:
        self.key = reader.keys.log(job_id)
        self._reader = reader

    async def find_end(self) -> LogPosition:
        """Return the position behind the newest entry."""
        newest = await self._read_newest(b"+")
        end_id = newest[0][0] if newest else FIRST_ID
        return LogPosition().follow(decode_log_items(newest), end_id)[1]

    async def _read_newest(self, to_id: bytes) -> list[StreamEntry]:
        async with self._reader.client() as redis:
            return await xrevrange(redis, self.key, count=1, to_id=to_id)

    async def _read_oldest(self, from_id: bytes, to_id: bytes) -> list[LogStreamEntry]:
        async with self._reader.client() as redis:
            found = await xrange(redis, self.key, from_id=from_id, to_id=to_id, count=1)
        return decode_log_items(found)

    async def read_after(
        self, position: LogPosition, end_id: bytes = b"+"
    ) -> tuple[list[LogStreamEntry], LogPosition]:
        """Return a page of entries behind a position, as `LogPosition.follow` does.

        If the entry at the position is gone, others behind it may be gone too. If Redis has the
        line under another id, there is no entry, and the position is the one behind that id.
        """
        async with self._reader.client() as redis:
            found = await xrange(
                redis, self.key, from_id=position.entry_id, to_id=end_id, count=PAGE_ENTRIES + 1
            )
        if found and found[0][0] == position.entry_id:
            found = found[1:]
        elif position.entry_id != FIRST_ID:
            # Entries that are published again have the same ids or higher ones.
            may_be_there = found or end_id != b"+"
            if may_be_there and (again := await self._find_again(position)):
                return [], again
            position = position._replace(next_number=0)
        return position.follow(decode_log_items(found), found[-1][0] if found else FIRST_ID)

    async def _find_again(self, position: LogPosition) -> LogPosition | None:
        cursor = LogCursor.parse(position.cursor)
        start = await self.find_start(cursor) if cursor is not None else None
        if start is None or not start.position.next_number:
            return None
        return start.position if start.position.entry_id != position.entry_id else None

    async def read_tail(self, line_count: int) -> tuple[list[LogStreamEntry], bool]:
        """Return the newest lines and their marks, and whether older lines were trimmed."""
        async with self._reader.client() as redis:
            found = decode_log_items(
                await xrevrange(redis, self.key, count=line_count + MAX_TAIL_MARKS)
            )
            oldest = decode_log_items(await xrange(redis, self.key, count=1))
        indices = [index for index, (_, entry) in enumerate(found) if entry.line]
        if len(indices) > line_count:
            return found[indices[-line_count] :] if line_count else [], False
        is_whole = not oldest or not oldest[0][1].line or oldest[0][1].number == 1
        return found, len(indices) < line_count and not is_whole

    async def read_before(self, start: LogStart) -> list[LogStreamEntry]:
        """Return the entries before a start and its tail: a multi-line entry may begin there."""
        end_id = start.tail[0][0] if start.tail else start.position.entry_id
        async with self._reader.client() as redis:
            found = await xrevrange(redis, self.key, count=MAX_ENTRY_LINES, to_id=end_id)
        items = decode_log_items(found)
        return [item for item in items if not start.tail or item[0] != end_id]

    async def find_start(self, cursor: LogCursor) -> LogStart | None:
        """Return the start of a feed behind a cursor, or None if the cursor is unknown."""
        newest_generation: int | None = None
        async with contextlib.aclosing(self._find_generations(cursor)) as generations:
            async for generation in generations:
                if start := await self._find_in_generation(generation, cursor):
                    return start
                newest_generation = newest_generation or generation
        first = await self._read_oldest(b"-", b"+")
        if not first:
            return None
        if not cursor.offset and starts_after(first[0], cursor):
            return LogStart(LogPosition(FIRST_ID, str(cursor), next_number=1))
        if newest_generation is not None and cursor.offset:
            entry_id = str(LogEntryId(newest_generation, cursor.offset)).encode()
            if is_id_after(first[0][0], entry_id):
                # The entries behind the cursor were trimmed.
                return LogStart(LogPosition(next_number=0))
        return None

    async def _find_in_generation(self, generation: int, cursor: LogCursor) -> LogStart | None:
        """Return the start of a feed behind the entry that a cursor is behind, or None."""
        for is_end in (True, False) if cursor.kind == "c" else (False,):
            entry_id = str(LogEntryId(generation, cursor.offset, is_end)).encode()
            found = await self._read_oldest(entry_id, entry_id)
            if found and is_entry_at(found[0], cursor):
                _, position = LogPosition().follow(found, entry_id)
                is_exhausted = is_end and (await self.find_end()).entry_id == entry_id
                return LogStart(position, is_exhausted=is_exhausted)
        return None

    async def _find_generations(self, cursor: LogCursor) -> AsyncGenerator[int]:
        """Yield the generations of the files that a cursor may be in, newest first."""
        end_id = b"+"
        for _ in range(MAX_GENERATIONS):
            newest = await self._read_newest(end_id)
            if not newest:
                return
            generation = parse_id(newest[0][0])[0]
            for _, entry in decode_log_items(newest):
                last = LogCursor.parse(entry.cursor)
                # Behind an unfinished first line, the hash is 0.
                if last is not None and cursor.first_line_hash in (0, last.first_line_hash):
                    yield generation
            if not generation:
                return
            # Up to the last entry of the generation before.
            end_id = b"%d" % (generation - 1)


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
