"""A log's frames as entries of its stream, each in its place. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from marianne_stream.relay.format import LogEntry, LogPlace
from marianne_stream.wire.cursors import LogCursor

COMPLETE = "log_complete"


class LineData(msgspec.Struct, frozen=True):
    """What is used of the data of a `log` event; the line stays as it is."""

    line: msgspec.Raw
    line_number: int
    timestamp: str
    truncated: bool = False


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
                cursor, bytes(line.line), line.line_number, line.timestamp, line.truncated
            )
        elif event:
            yield LogEntry(cursor, mark=event, data=data)
        elif cursor:
            yield LogEntry(cursor)


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
        again: whether lines before the spot come again, of the same file: the stream is gone.

    Attributes:
        spot: where the stream stands behind what was placed.
        names: by generation, the fingerprint of its file's first line, where it is news.
    """

    def __init__(self, spot: Spot, *, again: bool = False) -> None:
        self.spot = spot
        self.names: dict[int, int] = {}
        self._generation = spot.generation
        # What a line of the same generation is to lie behind, and to begin with.
        self._offset = 0 if again else spot.offset
        self._first = spot.first
        self._kept: list[tuple[LogPlace, LogEntry]] = []

    def placed(self, entries: Iterable[LogEntry], now_s: int) -> list[tuple[LogPlace, LogEntry]]:
        """The entries that have their places now.

        Args:
            entries: what comes next.
            now_s: what the clock says: a generation is no lower, so that the ids rise although
                everything was lost.
        """
        found: list[tuple[LogPlace, LogEntry]] = []
        for entry in entries:
            if entry.mark and entry.mark != COMPLETE:
                self._begin(now_s)
                self._kept.append((LogPlace(self._generation, 0), entry))
                continue
            place = self._place(entry, now_s)
            found += self._kept
            self._kept = []
            found.append((place, entry))
        return found

    def _begin(self, now_s: int) -> None:
        self._generation = max(self._generation + 1, now_s)
        self._offset = self._first = 0

    def _place(self, entry: LogEntry, now_s: int) -> LogPlace:
        cursor = LogCursor.parse(entry.cursor)
        if cursor is None:
            raise ValueError(f"expected the cursor of a log, got {entry.cursor!r}")
        behind = entry.mark == COMPLETE
        # A mark comes before another file, and where none does, it cannot be the same as before.
        elsewhere = cursor.offset < self._offset + (not behind) or (
            self._first not in (0, cursor.first)
        )
        if elsewhere or not self._generation:
            self._begin(now_s)
        if self.spot.generation != self._generation or self._first != cursor.first:
            self.names[self._generation] = cursor.first
        self._offset, self._first = cursor.offset, cursor.first
        self.spot = Spot(self._generation, entry.cursor, cursor.offset, cursor.first)
        return LogPlace(self._generation, cursor.offset, behind)
