"""Entries: a line with a level or a time, and the lines below it that have neither.

A filter that passes a line passes the lines below it in its entry, too: a traceback stays with the
line that announces it. In a log without levels or times each line stands alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from marianne_stream.logs.files import LogFile
from marianne_stream.logs.filters import AllOf
from marianne_stream.logs.index import Selection
from marianne_stream.wire.log_levels import facts_of
from marianne_stream.wire.log_lines import LINE_LIMIT_BYTES, end_state

# What an entry holds at most; lines below stand alone.
ENTRY_LINES = 200
ENTRY_BYTES = 64 * 1024

# So much before a line holds all of its entry, and the end of the line above that.
ABOVE_BYTES = ENTRY_BYTES + 1


class Extent(NamedTuple):
    """How much there is of an entry up to one of its lines."""

    lines: int
    size_bytes: int


def extent_at(text: bytes, above: Extent | None) -> Extent | None:
    """Return the extent of the entry that a line belongs to, up to it; None if it stands alone.

    Args:
        text: the line.
        above: the extent at the line above.
    """
    size = len(text) + 1
    if begins_entry(text):
        return Extent(1, size) if size <= ENTRY_BYTES else None
    if above is None or above.lines >= ENTRY_LINES or above.size_bytes + size > ENTRY_BYTES:
        return None
    return Extent(above.lines + 1, above.size_bytes + size)


def begins_entry(text: bytes) -> bool:
    """Whether a line begins an entry."""
    return facts_of(text.decode("utf-8", "replace")).begins_entry


def filters_of(only: Selection) -> tuple[Selection, ...]:
    """Return the filters that all have to pass a line."""
    return only.filters if isinstance(only, AllOf) else (only,)


@dataclass(frozen=True, slots=True)
class EntryState:
    """What the lines above say of the next line, for one filter.

    Attributes:
        extent: of the entry that the next line may continue; None if there is none.
        passed: which of the filters have passed a line of it.
    """

    extent: Extent | None = None
    passed: tuple[bool, ...] = ()


NOTHING_ABOVE = EntryState()


class EntryFilter:
    """Passes lines one after the other, with those below them.

    Args:
        only: which lines are wanted by themselves.
        state: what the lines above say.
    """

    def __init__(self, only: Selection, state: EntryState = NOTHING_ABOVE) -> None:
        self._filters = filters_of(only)
        self._extent = state.extent
        self._passed = list(state.passed or [False] * len(self._filters))

    def end_entry(self) -> None:
        """Take it that the next line belongs to none of those above."""
        self._extent = None
        self._passed = [False] * len(self._filters)

    @property
    def state(self) -> EntryState:
        """What the lines so far say of the next one."""
        passed = tuple(self._passed) if self._extent is not None and any(self._passed) else ()
        return EntryState(self._extent, passed)

    def passes(self, text: bytes) -> bool:
        """Whether a line is wanted, which is the next one."""
        above = self._extent
        self._extent = extent_at(text, above)
        if self._extent is None or self._extent.lines == 1:
            self._passed = [False] * len(self._filters)
        for place, one in enumerate(self._filters):
            self._passed[place] = self._passed[place] or one.selects(text)
        return all(self._passed)


def state_behind(only: Selection, lines: Sequence[bytes]) -> EntryState:
    """Return what some lines say of the next one: only those of the last entry count."""
    begin = last_beginning(lines)
    if begin is None:
        return NOTHING_ABOVE
    above = EntryFilter(only)
    for text in lines[begin:]:
        above.passes(text)
    return above.state


def last_beginning(lines: Sequence[bytes]) -> int | None:
    """Return which line begins the entry that the next one may continue; None if none does."""
    for place in range(len(lines) - 1, max(-1, len(lines) - ENTRY_LINES), -1):
        if begins_entry(lines[place]):
            return place
    return None


def lines_above(
    file: LogFile, offset: int, selection: Selection | None, text: bytes | None = None
) -> list[bytes]:
    """Return the lines above an offset that may belong to the entry of the line behind it.

    Args:
        file: the file.
        offset: where a line begins.
        selection: which lines count; all if it is None.
        text: what stands before the offset, `ABOVE_BYTES` of it if there are as many; read from
            the file if it is None.
    """
    start = max(0, offset - ABOVE_BYTES)
    if text is None:
        text = file.read(start, offset - start)
    lines = text.split(b"\n")[: None if text and not text.endswith(b"\n") else -1]
    del lines[: 1 if start else 0]
    if selection is not None:
        return [line for line in map(shown, lines) if selection.selects(line)]
    return [shown(line) for line in lines[-ENTRY_LINES:]]


def shown(line: bytes) -> bytes:
    """Return a line of a file without its end, as it is shown."""
    return end_state(line)[:LINE_LIMIT_BYTES]


def passes_behind(only: Selection, lines: Callable[[], Sequence[bytes]], text: bytes) -> bool:
    """Whether a filter passes a line that follows some others."""
    return EntryFilter(only, state_behind(only, lines())).passes(text)


class Passed(NamedTuple):
    """The lines of a block that are wanted, by their places.

    Attributes:
        wanted: all of them.
        matches: those that a filter passes by themselves.
    """

    wanted: list[int]
    matches: frozenset[int]


class BlockEntries:
    """The entries of a block of lines, found where they are asked for.

    Args:
        text: the block.
        counted: the places of the lines that count.
        above: gives the lines above the block that count, the last entry's at least.
    """

    def __init__(
        self, text: bytes, counted: Sequence[int], above: Callable[[], list[bytes]]
    ) -> None:
        self._text = text
        self._counted = counted
        self._above = above
        self._lines: list[bytes] = []
        self._extents: dict[int, Extent | None] = {}

    def passed(self, only: Selection) -> Passed:
        """Return the lines that a filter wants, those below them included."""
        filters = filters_of(only)
        own = [set(one.in_block(self._text)).intersection(self._counted) for one in filters]
        inherited = self._inherited(only)
        if not any(own) and not any(inherited):
            return Passed([], frozenset())
        split = self._text.split(b"\n")
        self._lines = [shown(split[place]) for place in self._counted]
        ranks = {place: rank for rank, place in enumerate(self._counted)}
        wanted = [
            self._with_below(sorted(ranks[place] for place in places), begun=begun)
            for places, begun in zip(own, inherited, strict=True)
        ]
        common = set.intersection(*wanted)
        places = sorted(self._counted[rank] for rank in common)
        return Passed(places, frozenset(set.union(*own).intersection(places)))

    def _inherited(self, only: Selection) -> Sequence[bool]:
        """Which filters pass the first line because of one above the block."""
        nothing = [False] * len(filters_of(only))
        if not self._counted:
            return nothing
        end = -1
        for _ in range(self._counted[0] + 1):
            start, end = end + 1, self._text.find(b"\n", end + 1)
        first = shown(self._text[start : end if end >= 0 else None])
        if begins_entry(first):
            return nothing
        state = state_behind(only, self._above())
        self._extents[-1] = state.extent
        if extent_at(first, state.extent) is None:
            return nothing
        return state.passed or nothing

    def _with_below(self, ranks: Sequence[int], *, begun: bool) -> set[int]:
        """Some lines, and those below each in its entry."""
        found: set[int] = set()
        for rank in (-1, *ranks) if begun else ranks:
            if rank in found:
                continue
            found.add(rank)
            below = rank + 1
            while below < len(self._lines) and self._continues(below):
                found.add(below)
                below += 1
        return found - {-1}

    def _continues(self, rank: int) -> bool:
        """Whether a line belongs to the entry of the line above it."""
        extent = self._extent(rank)
        return extent is not None and extent.lines > 1

    def _extent(self, rank: int) -> Extent | None:
        """The extent at a line, from the nearest line above at which it is known."""
        first = rank
        while first not in self._extents and rank - first < ENTRY_LINES:
            if first < 0 or begins_entry(self._lines[first]):
                break
            first -= 1
        extent = self._extents.get(first)
        if first not in self._extents and first >= 0:
            extent = self._extents[first] = extent_at(self._lines[first], None)
        for below in range(max(first, -1) + 1, rank + 1):
            extent = self._extents[below] = extent_at(self._lines[below], extent)
        return extent
