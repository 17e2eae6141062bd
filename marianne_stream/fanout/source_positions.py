"""Where the entries of a timeline stand on the timelines of the processes that they come from.

An edge tells of several processes' events, in an order of its own. Each id says how far it has told
of each of them, so that any other edge, whose order is another one, goes on from there. Pure. It
must not know what the entries say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from marianne_stream.models import RemotePosition
from marianne_stream.wire.cursors import TimelineCursor

# Before all that any process tells, for as long as none has told anything.
START_CURSOR = TimelineCursor("0" * 16, 0)


@dataclass(frozen=True, slots=True)
class ReadPosition:
    """What one has seen of a timeline.

    Attributes:
        number: all until this one.
        per_source: of some sources, all until another one, which lies behind it.
    """

    number: int
    per_source: Mapping[str, int] = field(default_factory=dict)

    def includes(self, number: int, source: str) -> bool:
        """Whether an entry is among it."""
        return number <= self.per_source.get(source, self.number)


class SourcePositions:
    """The places of the entries that are kept, and how far each source had got at each of them.

    Args:
        is_remotee: whether entries come from other processes.

    Attributes:
        is_remotee: the same.
        is_ready: whether all is there that there was when this process began.
    """

    def __init__(self, *, remote: bool) -> None:
        self.is_remote = remote
        self.is_ready = not remote
        # How far each source has got, by its name.
        self._heads: dict[str, tuple[str, int]] = {}
        self._numbers: dict[tuple[str, int], int] = {}
        self._entries: dict[int, tuple[RemotePosition, str]] = {}
        # The position before the oldest entry that is kept.
        self._oldest_cursor = str(START_CURSOR)

    def register_source(self, source: str, epoch: str, number: int = 0) -> None:
        """Says where a source stands of which nothing was told yet."""
        if source not in self._heads:
            self._heads[source] = (epoch, number)
            if not self._entries:
                self._oldest_cursor = self._format_cursor(source)

    def add(self, number: int, position: RemotePosition) -> str:
        """Takes the place of an entry in, and gives the id of its event."""
        self.register_source(position.source, position.epoch, max(0, position.number - 1))
        self._heads[position.source] = (position.epoch, position.number)
        cursor = self._format_cursor(position.source)
        self._numbers[position.epoch, position.number] = number
        self._entries[number] = (position, cursor)
        return cursor

    def drop(self, number: int) -> None:
        """Forgets the place of the oldest entry."""
        if (known := self._entries.pop(number, None)) is not None:
            place, self._oldest_cursor = known
            self._numbers.pop((place.epoch, place.number), None)

    def cursor_at(self, number: int) -> str:
        """The position behind an entry, or behind the last one before it that has a place."""
        while number not in self._entries:
            if not self._entries or number < next(iter(self._entries)):
                return self._oldest_cursor
            number -= 1
        return self._entries[number][1]

    def resolve_cursor(self, cursor: TimelineCursor) -> ReadPosition | None:
        """What one has seen who stands at a cursor; None where that is not known."""
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
        """Whether something is awaited: what was there before, or what a cursor tells of.

        One who was cut off elsewhere may be ahead of what has come here.
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
        """The source that a place is of, and the number of the entry there."""
        for source, head in self._heads.items():
            if head == (epoch, number):
                # Nothing of it has come since, whether its last is kept or not.
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
