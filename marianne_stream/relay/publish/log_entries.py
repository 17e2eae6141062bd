"""A log's frames as entries of its stream, each in its place. Pure.

Nearly all are lines of one file that were read at once, and there may be very many: these stay
together, in columns, and nothing is made for each of them that can be made for all.
"""

import operator
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from marianne_stream.relay.format import CONDUCTOR_FIELD, LogEntry, LogPlace
from marianne_stream.wire.cursors import LogCursor

COMPLETE = "log_complete"


class LineData(msgspec.Struct, frozen=True):
    """What is used of the data of a `log` event; the line stays as it is."""

    line: msgspec.Raw
    line_number: int
    timestamp: str
    truncated: bool = False
    source: str = ""


decode_line = msgspec.json.Decoder(LineData).decode


def entries_of(frames: bytes) -> Iterator[LogEntry]:
    """The entries that some whole frames are."""
    for frame in frames.split(b"\n\n"):
        # Each has its data on one line.
        fields = dict(field.split(b": ", 1) for field in frame.split(b"\n") if field)
        event, data = fields.get(b"event", b"").decode(), fields.get(b"data", b"")
        cursor = fields.get(b"id", b"").decode()
        if event == "log":
            line = decode_line(data)
            yield LogEntry(
                cursor,
                bytes(line.line),
                line.line_number,
                line.timestamp,
                line.truncated,
                of_conductor=line.source == "conductor",
            )
        elif event:
            yield LogEntry(cursor, mark=event, data=data)
        elif cursor:
            yield LogEntry(cursor)


# A `log` event to the letter as feeds/log_frames.py makes it, of a line that is not cut. What
# stands between the quotes of the line has no quote of its own without a backslash before it.
LINE = re.compile(
    r"^id: (l-[0-9a-f]+-([0-9a-f]{16})-([0-9]+)u?-([0-9]+)-[0-9a-f]{16})\nevent: log\n"
    r'data: \{"line":(".*"),"line_number":\4,"timestamp":"([^"]*)","initial":(?:true|false)'
    r'(?:,"level":"[a-z]+")?(?:,"logged_at":"[^"]*")?'
    r'(,"source":"conductor")?(?:,"begins_run":true)?\}\n\n',
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of one file that were read at once, one behind the other.

    Attributes:
        first: the fingerprint of the file's first line.
        timestamp: when they were read, ISO 8601.
        cursors: the ids of their events.
        offsets: behind each, in bytes of the file.
        numbers: theirs, as text.
        texts: each as a JSON text.
        of_conductor: whether they are of the conductor's own log.
    """

    first: int
    timestamp: str
    cursors: tuple[str, ...]
    offsets: tuple[int, ...]
    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    of_conductor: bool = False

    def ids(self, generation: int) -> tuple[str, ...]:
        """Their places in the stream, as `LogPath` writes them."""
        return tuple([f"{generation}-{2 * offset}" for offset in self.offsets])

    def fields(self) -> tuple[str | tuple[str, ...], ...]:
        """As the fields of their entries, as `LogEntry` has them, each in a column."""
        fields = ("c", self.cursors, "l", self.texts, "n", self.numbers, "t", self.timestamp)
        return (*fields, *CONDUCTOR_FIELD) if self.of_conductor else fields


def lines_of(frames: bytes) -> Lines | None:
    """What some whole frames are, where they are lines of one file and nothing else."""
    # What is no UTF-8 is written so, one by one as well (writer.py).
    text = frames.decode("utf-8", "replace")
    found = LINE.findall(text)
    # Each has four newlines, so nothing lies between them.
    if not found or 4 * len(found) != text.count("\n"):
        return None
    cursors, firsts, ends, numbers, texts, timestamps, sources = zip(*found, strict=True)
    offsets = tuple(map(int, ends))
    rising = all(map(operator.lt, offsets, offsets[1:]))
    if not rising or any(len({*column}) > 1 for column in (firsts, timestamps, sources)):
        return None
    first, of_conductor = int(firsts[0], 16), bool(sources[0])
    return Lines(first, timestamps[0], cursors, offsets, numbers, texts, of_conductor)


@dataclass(frozen=True, slots=True)
class Spot:
    """Where in a log its stream stands.

    Attributes:
        generation: of the entries' places; 0 before the first.
        cursor: of the last entry; "" before the first.
        offset: how many bytes of the file lie before it.
        first: the fingerprint of the file's first line.
    """

    generation: int = 0
    cursor: str = ""
    offset: int = 0
    first: int = 0


class LogPlacer:
    """Gives entries their places, in the order in which they come.

    A rotation or a gap begins a new generation, and stands at its beginning. It has no position of
    its own, so it is kept until what follows has one: so the last entry of a stream always tells
    where it goes on, and none of them comes twice.

    Args:
        spot: where the stream stands.
        above: the highest generation that was given for this log: a new one is higher, since those
            who have read it may know what the stream does not.
        again: whether lines before the spot come again, of the same file: the stream is gone.

    Attributes:
        spot: where the stream stands behind what was placed.
        names: by generation, the fingerprint of its file's first line, where it is news.
    """

    def __init__(self, spot: Spot, *, above: int = 0, again: bool = False) -> None:
        self.spot = spot
        # What the stream's readers know of it by is gone with it.
        self.names: dict[int, int] = {spot.generation: spot.first} if again else {}
        self._above = above
        self._generation = spot.generation
        # What a line of the same generation is to lie behind, and to begin with.
        self._offset = 0 if again else spot.offset
        self._first = spot.first
        self._kept: list[LogEntry] = []

    def placed(self, entries: Iterable[LogEntry], now_s: int) -> list[tuple[LogPlace, LogEntry]]:
        """The entries that have their places now.

        Args:
            entries: what comes next.
            now_s: what the clock says: a generation that is new is no lower, so that the ids rise
                although everything was lost.
        """
        found: list[tuple[LogPlace, LogEntry]] = []
        for entry in entries:
            if entry.mark and entry.mark != COMPLETE:
                self._kept.append(entry)
                continue
            cursor = cursor_of(entry)
            behind = entry.mark == COMPLETE
            found += self._move(cursor, cursor.offset + behind, now_s)
            self._stand(cursor.first_line_hash, cursor.offset, entry.cursor)
            found.append((LogPlace(self._generation, cursor.offset, behind), entry))
        return found

    def placed_lines(self, lines: Lines, now_s: int) -> tuple[list[tuple[LogPlace, LogEntry]], int]:
        """What was kept and has its place now, and the generation of lines that follow it."""
        found = self._move(cursor_of(LogEntry(lines.cursors[0])), lines.offsets[0], now_s)
        self._stand(lines.first, lines.offsets[-1], lines.cursors[-1])
        return found, self._generation

    def _move(self, cursor: LogCursor, offset: int, now_s: int) -> list[tuple[LogPlace, LogEntry]]:
        """To the generation of what ends at an offset; gives what was kept before it.

        A mark comes before another file, and where none does, it cannot be the same as before.
        """
        found = []
        for entry in self._kept:
            self._begin(now_s)
            found.append((LogPlace(self._generation, 0), entry))
        self._kept = []
        elsewhere = offset <= self._offset or self._first not in (0, cursor.first_line_hash)
        if elsewhere or not self._generation:
            self._begin(now_s)
        if self.spot.generation != self._generation or self._first != cursor.first_line_hash:
            self.names[self._generation] = cursor.first_line_hash
        return found

    def _begin(self, now_s: int) -> None:
        self._generation = max(now_s, self._generation + 1, self._above + 1)
        self._offset = self._first = 0

    def _stand(self, first: int, offset: int, cursor: str) -> None:
        self._offset, self._first = offset, first
        self.spot = Spot(self._generation, cursor, offset, first)


def cursor_of(entry: LogEntry) -> LogCursor:
    """Where an entry stands in its log.

    Raises:
        ValueError: it has no cursor of a log.
    """
    cursor = LogCursor.parse(entry.cursor)
    if cursor is None:
        raise ValueError(f"expected the cursor of a log, got {entry.cursor!r}")
    return cursor
