"""A log's frames as entries of its stream, each in its place. Pure.

Nearly all are lines of one file that were read at once, and there may be very many: these stay
together, in columns, and nothing is made for each of them that can be made for all.
"""

import operator
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from marianne_stream.relay.schema import CONDUCTOR_FIELD, LogEntry, LogEntryId
from marianne_stream.wire.cursors import LogCursor

LOG_COMPLETE = "log_complete"


class LineData(msgspec.Struct, frozen=True):
    """What is used of the data of a `log` event; the line stays as it is."""

    line: msgspec.Raw
    line_number: int
    timestamp: str
    truncated: bool = False
    source: str = ""


decode_line_data = msgspec.json.Decoder(LineData).decode


def parse_entries(frames: bytes) -> Iterator[LogEntry]:
    """The entries that some whole frames are."""
    for frame in frames.split(b"\n\n"):
        # Each has its data on one line.
        fields = dict(field.split(b": ", 1) for field in frame.split(b"\n") if field)
        event, data = fields.get(b"event", b"").decode(), fields.get(b"data", b"")
        cursor = fields.get(b"id", b"").decode()
        if event == "log":
            line = decode_line_data(data)
            yield LogEntry(
                cursor,
                bytes(line.line),
                line.line_number,
                line.timestamp,
                line.truncated,
                is_conductor_log=line.source == "conductor",
            )
        elif event:
            yield LogEntry(cursor, mark=event, data=data)
        elif cursor:
            yield LogEntry(cursor)


# A `log` event to the letter as feeds/log_frames.py makes it, of a line that is not cut. What
# stands between the quotes of the line has no quote of its own without a backslash before it.
LINE_FRAME_PATTERN = re.compile(
    r"^id: (l-[0-9a-f]+-([0-9a-f]{16})-([0-9]+)u?-([0-9]+)-[0-9a-f]{16})\nevent: log\n"
    r'data: \{"line":(".*"),"line_number":\4,"timestamp":"([^"]*)","initial":(?:true|false)'
    r'(?:,"level":"[a-z]+")?(?:,"logged_at":"[^"]*")?'
    r'(,"source":"conductor")?(?:,"begins_run":true)?\}\n\n',
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class LineBatch:
    """Lines of one file that were read at once, one behind the other.

    Attributes:
        first_line_hash: the fingerprint of the file's first line.
        timestamp: when they were read, ISO 8601.
        cursors: the ids of their events.
        offsets: behind each, in bytes of the file.
        numbers: theirs, as text.
        texts: each as a JSON text.
        is_conductor_log: whether they are of the conductor's own log.
    """

    first_line_hash: int
    timestamp: str
    cursors: tuple[str, ...]
    offsets: tuple[int, ...]
    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    is_conductor_log: bool = False

    def make_ids(self, generation: int) -> tuple[str, ...]:
        """Their places in the stream, as `LogPath` writes them."""
        return tuple([f"{generation}-{2 * offset}" for offset in self.offsets])

    def make_fields(self) -> tuple[str | tuple[str, ...], ...]:
        """As the fields of their entries, as `LogEntry` has them, each in a column."""
        fields = ("c", self.cursors, "l", self.texts, "n", self.numbers, "t", self.timestamp)
        return (*fields, *CONDUCTOR_FIELD) if self.is_conductor_log else fields


def parse_line_batch(frames: bytes) -> LineBatch | None:
    """What some whole frames are, where they are lines of one file and nothing else."""
    # What is no UTF-8 is written so, one by one as well (writer.py).
    text = frames.decode("utf-8", "replace")
    found = LINE_FRAME_PATTERN.findall(text)
    # Each has four newlines, so nothing lies between them.
    if not found or 4 * len(found) != text.count("\n"):
        return None
    cursors, firsts, ends, numbers, texts, timestamps, sources = zip(*found, strict=True)
    offsets = tuple(map(int, ends))
    rising = all(map(operator.lt, offsets, offsets[1:]))
    if not rising or any(len({*column}) > 1 for column in (firsts, timestamps, sources)):
        return None
    first, of_conductor = int(firsts[0], 16), bool(sources[0])
    return LineBatch(first, timestamps[0], cursors, offsets, numbers, texts, of_conductor)


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Where in a log its stream stands.

    Attributes:
        generation: of the entries' places; 0 before the first.
        cursor: of the last entry; "" before the first.
        offset: how many bytes of the file lie before it.
        first_line_hash: the fingerprint of the file's first line.
    """

    generation: int = 0
    cursor: str = ""
    offset: int = 0
    first_line_hash: int = 0


class EntryIdAllocator:
    """Gives entries their places, in the order in which they come.

    A rotation or a gap begins a new generation, and stands at its beginning. It has no position of
    its own, so it is kept until what follows has one: so the last entry of a stream always tells
    where it goes on, and none of them comes twice.

    Args:
        position: where the stream stands.
        highest_generation: the highest generation that was given for this log: a new one is
            higher, since those who have read it may know what the stream does not.
        is_republishing: whether lines before the spot come again, of the same file: the stream is
            gone.

    Attributes:
        position: where the stream stands behind what was placed.
        new_generations: by generation, the fingerprint of its file's first line, where it is news.
    """

    def __init__(
        self,
        position: StreamPosition,
        *,
        highest_generation: int = 0,
        is_republishing: bool = False,
    ) -> None:
        self.position = position
        # What the stream's readers know of it by is gone with it.
        self.new_generations: dict[int, int] = (
            {position.generation: position.first_line_hash} if is_republishing else {}
        )
        self._highest_generation = highest_generation
        self._generation = position.generation
        # What a line of the same generation is to lie behind, and to begin with.
        self._offset = 0 if is_republishing else position.offset
        self._first_line_hash = position.first_line_hash
        self._pending_marks: list[LogEntry] = []

    def assign_ids(
        self, entries: Iterable[LogEntry], redis_time_s: int
    ) -> list[tuple[LogEntryId, LogEntry]]:
        """The entries that have their places now.

        Args:
            entries: what comes next.
            redis_time_s: what the clock says: a generation that is new is no lower, so that the
                ids rise although everything was lost.
        """
        found: list[tuple[LogEntryId, LogEntry]] = []
        for entry in entries:
            if entry.mark and entry.mark != LOG_COMPLETE:
                self._pending_marks.append(entry)
                continue
            cursor = parse_entry_cursor(entry)
            behind = entry.mark == LOG_COMPLETE
            found += self._advance(cursor, cursor.offset + behind, redis_time_s)
            self._set_position(cursor.first_line_hash, cursor.offset, entry.cursor)
            found.append((LogEntryId(self._generation, cursor.offset, behind), entry))
        return found

    def assign_line_ids(
        self, line_batch: LineBatch, redis_time_s: int
    ) -> tuple[list[tuple[LogEntryId, LogEntry]], int]:
        """What was kept and has its place now, and the generation of lines that follow it."""
        found = self._advance(
            parse_entry_cursor(LogEntry(line_batch.cursors[0])), line_batch.offsets[0], redis_time_s
        )
        self._set_position(
            line_batch.first_line_hash, line_batch.offsets[-1], line_batch.cursors[-1]
        )
        return found, self._generation

    def _advance(
        self, cursor: LogCursor, offset: int, redis_time_s: int
    ) -> list[tuple[LogEntryId, LogEntry]]:
        """To the generation of what ends at an offset; gives what was kept before it.

        A mark comes before another file, and where none does, it cannot be the same as before.
        """
        found = []
        for entry in self._pending_marks:
            self._start_generation(redis_time_s)
            found.append((LogEntryId(self._generation, 0), entry))
        self._pending_marks = []
        elsewhere = offset <= self._offset or self._first_line_hash not in (
            0,
            cursor.first_line_hash,
        )
        if elsewhere or not self._generation:
            self._start_generation(redis_time_s)
        if (
            self.position.generation != self._generation
            or self._first_line_hash != cursor.first_line_hash
        ):
            self.new_generations[self._generation] = cursor.first_line_hash
        return found

    def _start_generation(self, redis_time_s: int) -> None:
        self._generation = max(redis_time_s, self._generation + 1, self._highest_generation + 1)
        self._offset = self._first_line_hash = 0

    def _set_position(self, first_line_hash: int, offset: int, cursor: str) -> None:
        self._offset, self._first_line_hash = offset, first_line_hash
        self.position = StreamPosition(self._generation, cursor, offset, first_line_hash)


def parse_entry_cursor(entry: LogEntry) -> LogCursor:
    """Where an entry stands in its log.

    Raises:
        ValueError: it has no cursor of a log.
    """
    cursor = LogCursor.parse(entry.cursor)
    if cursor is None:
        raise ValueError(f"expected the cursor of a log, got {entry.cursor!r}")
    return cursor
