"""Entries of a log's stream, made of what was read from its files, and their ids.

There may be very many lines, so the lines of one read stay together, in columns.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, groupby
from operator import attrgetter

from marianne_stream.feeds.log_frames import (
    make_complete_data,
    make_log_gap_data,
    make_rotated_data,
)
from marianne_stream.logs.log_reader import LogGap, ReadResult
from marianne_stream.logs.positions import Position
from marianne_stream.relay.publish.writer import Column
from marianne_stream.relay.schema import (
    CONDUCTOR_FIELD,
    LOG_COMPLETE,
    LogEntry,
    LogEntryId,
    encode_json,
)
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LogLine


@dataclass(frozen=True, slots=True)
class LineBatch:
    """Consecutive lines of one file that were read at once.

    The fields have a column for each value that differs; offsets are behind the lines, in bytes.
    """

    first_line_hash: int
    offsets: tuple[int, ...]
    fields: tuple[str | Column, ...]

    def make_ids(self, generation: int) -> Column:
        """Return the ids of the entries, as `LogEntryId` writes them."""
        return tuple([f"{generation}-{2 * offset}" for offset in self.offsets])


LogItem = LineBatch | LogEntry

# Id and fields of an entry, or columns of ids and fields.
EntryArguments = tuple[str | Column, tuple[str | bytes | Column, ...]]


def make_items(result: ReadResult, timestamp: str) -> list[LogItem]:
    """Return the lines of a read result, and its gap and rotation."""
    items: list[LogItem] = [
        make_line_batch(result, list(lines), timestamp)
        for _, lines in groupby(result.lines, attrgetter("truncated"))
    ]
    if result.gap is not None:
        items.append(make_gap_entry(result.gap))
    if result.rotation is not None:
        items.append(LogEntry("", mark="log_rotated", data=make_rotated_data(result.rotation)))
    return items


def make_line_batch(result: ReadResult, lines: list[LogLine], timestamp: str) -> LineBatch:
    """Return a batch of lines, of which all are cut or none is."""
    cursors, offsets, texts, numbers = [], [], [], []
    head = f"l-{result.inode:x}-{result.first_line_hash:016x}-"
    is_truncated = lines[0].truncated
    for line in lines:
        text, number, end, window_hash, _, terminated = line
        mark = "" if terminated else "u"
        cursors.append(f"{head}{end}{mark}-{number}-{window_hash:016x}")
        offsets.append(end)
        shown = line.display_text if is_truncated else text.decode("utf-8", "replace")
        texts.append(encode_json(shown).decode())
        numbers.append(str(number))
    fields: tuple[str | Column, ...]
    fields = ("c", tuple(cursors), "l", tuple(texts), "n", tuple(numbers), "t", timestamp)
    if is_truncated:
        fields += ("x", "1")
    if result.is_conductor_log:
        fields += CONDUCTOR_FIELD
    return LineBatch(result.first_line_hash, tuple(offsets), fields)


def make_gap_entry(gap: LogGap | None) -> LogEntry:
    """Return the mark of a gap; None for a cursor that has expired."""
    return LogEntry("", mark="log_gap", data=make_log_gap_data(gap))


def make_complete_entry(position: Position) -> LogEntry:
    """Return the mark of the log's end. Call in a thread."""
    cursor = position.make_cursor().as_complete(follow=True)
    return LogEntry(str(cursor), mark=LOG_COMPLETE, data=make_complete_data(follow=True))


class EntryIdAllocator:
    """Allocates the ids of entries, in order.

    A rotation or gap begins a new generation, at its offset 0. It has no cursor of its own, so it
    is kept until the entry behind it: the newest entry of a stream always has a cursor.

    Args:
        last_id: id of the newest entry of the stream; None if it is empty.
        first_line_hash: hash of the first line of that entry's file; 0 if it is unknown.
        highest_generation: highest generation so far, which Redis may have lost.

    Attributes:
        generation: generation of the newest entry that has an id; 0 for an empty stream.
    """

    def __init__(
        self, last_id: LogEntryId | None, first_line_hash: int = 0, *, highest_generation: int = 0
    ) -> None:
        self.generation = last_id.generation if last_id is not None else 0
        self._highest_generation = highest_generation
        # Lower bound of the next offset of the generation, and hash of its file's first line.
        self._offset = last_id.offset if last_id is not None else 0
        self._first_line_hash = first_line_hash
        self._pending_marks: list[LogEntry] = []

    def assign_ids(self, items: Iterable[LogItem], redis_time_s: int) -> list[EntryArguments]:
        """Return the items that have ids now.

        A new generation is not below the time of Redis, so ids rise even if Redis has lost all.
        """
        found: list[EntryArguments] = []
        for item in items:
            if isinstance(item, LineBatch):
                found += self._advance(item.first_line_hash, item.offsets[0], redis_time_s)
                self._offset, self._first_line_hash = item.offsets[-1], item.first_line_hash
                found.append((item.make_ids(self.generation), item.fields))
            elif item.mark and item.mark != LOG_COMPLETE:
                self._pending_marks.append(item)
            else:
                cursor = require_entry_cursor(item.cursor)
                is_end = item.mark == LOG_COMPLETE
                found += self._advance(cursor.first_line_hash, cursor.offset + is_end, redis_time_s)
                self._offset, self._first_line_hash = cursor.offset, cursor.first_line_hash
                entry_id = LogEntryId(self.generation, cursor.offset, is_end)
                found.append((str(entry_id), flatten_fields(item)))
        return found

    def _advance(
        self, first_line_hash: int, offset: int, redis_time_s: int
    ) -> list[EntryArguments]:
        """Move to the generation of an entry; return the marks that were kept before it."""
        found: list[EntryArguments] = []
        for entry in self._pending_marks:
            self._start_generation(redis_time_s)
            found.append((str(LogEntryId(self.generation, 0)), flatten_fields(entry)))
        self._pending_marks = []
        # Even without a mark, an offset that does not rise is in another file.
        is_other_file = self._first_line_hash not in (0, first_line_hash)
        if is_other_file or offset <= self._offset or not self.generation:
            self._start_generation(redis_time_s)
        return found

    def _start_generation(self, redis_time_s: int) -> None:
        self.generation = max(redis_time_s, self.generation + 1, self._highest_generation + 1)
        self._offset = self._first_line_hash = 0


def require_entry_cursor(text: str) -> LogCursor:
    """Parse the cursor of an entry, or raise ValueError."""
    cursor = LogCursor.parse(text)
    if cursor is None:
        raise ValueError(f"expected the cursor of a log, got {text!r}")
    return cursor


def flatten_fields(entry: LogEntry) -> tuple[str | bytes, ...]:
    """Return the fields of an entry, each name before its value."""
    return tuple(chain.from_iterable(entry.fields().items()))
