"""Positions of an edge's entries in the event streams of its origins. Pure.

An edge merges the events of several origins. Each event id is a vector of positions, one per
origin, so any other edge can resume from it although it merges in a different order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from marianne_stream.models import RemotePosition
from marianne_stream.wire.cursors import TimelineCursor

# The position before the first event of any origin.
START_CURSOR = TimelineCursor("0" * 16, 0)


@dataclass(frozen=True, slots=True)
class ReadPosition:
    """The entries that a client has already received.

    Attributes:
        number: the client has all entries up to this number.
        per_source: for some sources, a higher number up to which the client has all entries.
    """

    number: int
    per_source: Mapping[str, int] = field(default_factory=dict)

    def includes(self, number: int, source: str) -> bool:
        """Return True if the client has the entry with this number and source."""
        return number <= self.per_source.get(source, self.number)


class SourcePositions:
    """The source positions of buffered entries, and the newest position of each source.

    Args:
        remote: True if entries come from other processes.

    Attributes:
        is_remote: the same.
        is_ready: True once all entries that existed when this process began have been read.
    """

    def __init__(self, *, remote: bool) -> None:
        self.is_remote = remote
        self.is_ready = not remote
        # The newest epoch and number of each source, by its name.
        self._heads: dict[str, tuple[str, int]] = {}
        self._numbers: dict[tuple[str, int], int] = {}
        self._entries: dict[int, tuple[RemotePosition, str]] = {}
        # The cursor before the oldest buffered entry.
        self._oldest_cursor = str(START_CURSOR)

    def register_source(self, source: str, epoch: str, number: int = 0) -> None:
        """Set the position of a source that has not sent an entry yet."""
        if source not in self._heads:
            self._heads[source] = (epoch, number)
            if not self._entries:
                self._oldest_cursor = self._format_cursor(source)

    def add(self, number: int, position: RemotePosition) -> str:
        """Store the position of a new entry and return its event id."""
        self.register_source(position.source, position.epoch, max(0, position.number - 1))
        self._heads[position.source] = (position.epoch, position.number)
        cursor = self._format_cursor(position.source)
        self._numbers[position.epoch, position.number] = number
        self._entries[number] = (position, cursor)
        return cursor

    def drop(self, number: int) -> None:
        """Remove the position of the oldest entry."""
        if (known := self._entries.pop(number, None)) is not None:
            place, self._oldest_cursor = known
            self._numbers.pop((place.epoch, place.number), None)

    def cursor_at(self, number: int) -> str:
        """Return the cursor after an entry, or after the last one before it with a position."""
        while number not in self._entries:
            if not self._entries or number < next(iter(self._entries)):
                return self._oldest_cursor
            number -= 1
        return self._entries[number][1]

    def resolve_cursor(self, cursor: TimelineCursor) -> ReadPosition | None:
        """Return the entries that a client at a cursor has received; None if that is unknown."""
        last = next(reversed(self._entries), 0)
        beyond: dict[str, int] = {}
        for epoch, number in cursor.positions:
            source, seen = self._find(epoch, number, last)
            if seen is None:
                return None
            beyond[source] = max(seen, beyond.get(source, 0))
        least = min(beyond.values())
        return ReadPosition(least, beyond if len(self._heads) > 1 else {})

    def is_behind(self, cursor: TimelineCursor | None) -> bool:
        """Return True if entries from before the start, or that a cursor implies, are missing.

        A client that was connected to another edge may be ahead of this one.
        """
        if not self.is_ready:
            return True
        if not self.is_remote or cursor is None or cursor == START_CURSOR:
            return False
        heads = dict(self._heads.values())
        return any(
            number > heads[epoch] if epoch in heads else self._find(epoch, number, 0)[1] is None
            for epoch, number in cursor.positions
        )

    def _find(self, epoch: str, number: int, newest_number: int) -> tuple[str, int | None]:
        """Return the source of a position, and the number of its entry here; None if unknown."""
        for source, head in self._heads.items():
            if head == (epoch, number):
                # The source's newest position, so no later entry of it is missing.
                return source, max(newest_number, self._numbers.get(head, 0))
        if (at := self._numbers.get((epoch, number))) is not None:
            return self._entries[at][0].source, at
        if (following := self._numbers.get((epoch, number + 1))) is not None:
            return self._entries[following][0].source, following - 1
        return "", None

    def _format_cursor(self, source: str) -> str:
        epoch, number = self._heads[source]
        others = sorted(head for name, head in self._heads.items() if name != source)
        return str(TimelineCursor(epoch, number, tuple(others)))
