"""Entries: a line with a level or a time, and the lines below it that have neither.

A filter that passes a line passes the lines below it in its entry, too: a traceback stays with the
line that announces it. In a log without levels or times each line stands alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from marianne_stream.logs.filters import AllFilters, LineFilter
from marianne_stream.logs.log_file import LogFile
from marianne_stream.wire.log_levels import parse_line_facts
from marianne_stream.wire.log_lines import LINE_LIMIT_BYTES, render_line

# What an entry holds at most; lines below stand alone.
MAX_ENTRY_LINES = 200
MAX_ENTRY_BYTES = 64 * 1024

# So much before a line holds all of its entry, and the end of the line above that.
ENTRY_LOOKBACK_BYTES = MAX_ENTRY_BYTES + 1


class EntrySize(NamedTuple):
    """How much there is of an entry up to one of its lines."""

    line_count: int
    size_bytes: int


def entry_size_at(text: bytes, size_above: EntrySize | None) -> EntrySize | None:
    """Return the extent of the entry that a line belongs to, up to it; None if it stands alone.

    Args:
        text: the line.
        size_above: the extent at the line above.
    """
    size = len(text) + 1
    if is_entry_start(text):
        return EntrySize(1, size) if size <= MAX_ENTRY_BYTES else None
    if (
        size_above is None
        or size_above.line_count >= MAX_ENTRY_LINES
        or size_above.size_bytes + size > MAX_ENTRY_BYTES
    ):
        return None
    return EntrySize(size_above.line_count + 1, size_above.size_bytes + size)


def is_entry_start(text: bytes) -> bool:
    """Whether a line begins an entry."""
    return parse_line_facts(text.decode("utf-8", "replace")).is_entry_start


def split_filter(line_filter: LineFilter) -> tuple[LineFilter, ...]:
    """Return the filters that all have to pass a line."""
    return line_filter.filters if isinstance(line_filter, AllFilters) else (line_filter,)


@dataclass(frozen=True, slots=True)
class EntryState:
    """What the lines above say of the next line, for one filter.

    Attributes:
        size: of the entry that the next line may continue; None if there is none.
        matched: which of the filters have passed a line of it.
    """

    size: EntrySize | None = None
    matched: tuple[bool, ...] = ()


NO_ENTRY = EntryState()


class EntryMatcher:
    """Passes lines one after the other, with those below them.

    Args:
        line_filter: which lines are wanted by themselves.
        state: what the lines above say.
    """

    def __init__(self, line_filter: LineFilter, state: EntryState = NO_ENTRY) -> None:
        self._filters = split_filter(line_filter)
        self._size = state.size
        self._matched = list(state.matched or [False] * len(self._filters))

    def reset(self) -> None:
        """Take it that the next line belongs to none of those above."""
        self._size = None
        self._matched = [False] * len(self._filters)

    @property
    def state(self) -> EntryState:
        """What the lines so far say of the next one."""
        passed = tuple(self._matched) if self._size is not None and any(self._matched) else ()
        return EntryState(self._size, passed)

    def matches(self, text: bytes) -> bool:
        """Whether a line is wanted, which is the next one."""
        above = self._size
        self._size = entry_size_at(text, above)
        if self._size is None or self._size.line_count == 1:
            self._matched = [False] * len(self._filters)
        for place, one in enumerate(self._filters):
            self._matched[place] = self._matched[place] or one.matches(text)
        return all(self._matched)


def entry_state_after(line_filter: LineFilter, lines: Sequence[bytes]) -> EntryState:
    """Return what some lines say of the next one: only those of the last entry count."""
    begin = find_last_entry_start(lines)
    if begin is None:
        return NO_ENTRY
    above = EntryMatcher(line_filter)
    for text in lines[begin:]:
        above.matches(text)
    return above.state


def find_last_entry_start(lines: Sequence[bytes]) -> int | None:
    """Return which line begins the entry that the next one may continue; None if none does."""
    for place in range(len(lines) - 1, max(-1, len(lines) - MAX_ENTRY_LINES), -1):
        if is_entry_start(lines[place]):
            return place
    return None


def read_lines_above(
    file: LogFile, offset: int, job_filter: LineFilter | None, text: bytes | None = None
) -> list[bytes]:
    """Return the lines above an offset that may belong to the entry of the line behind it.

    Args:
        file: the file.
        offset: where a line begins.
        job_filter: which lines count; all if it is None.
        text: what stands before the offset, `ENTRY_LOOKBACK_BYTES` of it if there are as many;
            read from the file if it is None.
    """
    start = max(0, offset - ENTRY_LOOKBACK_BYTES)
    if text is None:
        text = file.read(start, offset - start)
    lines = text.split(b"\n")[: None if text and not text.endswith(b"\n") else -1]
    del lines[: 1 if start else 0]
    if job_filter is not None:
        return [line for line in map(render_truncated, lines) if job_filter.matches(line)]
    return [render_truncated(line) for line in lines[-MAX_ENTRY_LINES:]]


def render_truncated(line: bytes) -> bytes:
    """Return a line of a file without its end, as it is shown."""
    return render_line(line)[:LINE_LIMIT_BYTES]


def matches_after(
    line_filter: LineFilter, read_lines: Callable[[], Sequence[bytes]], text: bytes
) -> bool:
    """Whether a filter passes a line that follows some others."""
    return EntryMatcher(line_filter, entry_state_after(line_filter, read_lines())).matches(text)


class EntryMatches(NamedTuple):
    """The lines of a block that are wanted, by their places.

    Attributes:
        selected: all of them.
        matches: those that a filter passes by themselves.
    """

    selected: list[int]
    matches: frozenset[int]


class BlockEntries:
    """The entries of a block of lines, found where they are asked for.

    Args:
        text: the block.
        job_lines: the places of the lines that count.
        read_lines_above: gives the lines above the block that count, the last entry's at least.
    """

    def __init__(
        self, text: bytes, job_lines: Sequence[int], read_lines_above: Callable[[], list[bytes]]
    ) -> None:
        self._text = text
        self._job_lines = job_lines
        self._read_lines_above = read_lines_above
        self._lines: list[bytes] = []
        self._sizes: dict[int, EntrySize | None] = {}

    def match(self, line_filter: LineFilter) -> EntryMatches:
        """Return the lines that a filter wants, those below them included."""
        filters = split_filter(line_filter)
        own = [set(one.find_matches(self._text)).intersection(self._job_lines) for one in filters]
        inherited = self._match_lines_above(line_filter)
        if not any(own) and not any(inherited):
            return EntryMatches([], frozenset())
        split = self._text.split(b"\n")
        self._lines = [render_truncated(split[place]) for place in self._job_lines]
        ranks = {place: rank for rank, place in enumerate(self._job_lines)}
        wanted = [
            self._add_lines_below(sorted(ranks[place] for place in places), starts_matched=begun)
            for places, begun in zip(own, inherited, strict=True)
        ]
        common = set.intersection(*wanted)
        places = sorted(self._job_lines[rank] for rank in common)
        return EntryMatches(places, frozenset(set.union(*own).intersection(places)))

    def _match_lines_above(self, line_filter: LineFilter) -> Sequence[bool]:
        """Which filters pass the first line because of one above the block."""
        nothing = [False] * len(split_filter(line_filter))
        if not self._job_lines:
            return nothing
        end = -1
        for _ in range(self._job_lines[0] + 1):
            start, end = end + 1, self._text.find(b"\n", end + 1)
        first = render_truncated(self._text[start : end if end >= 0 else None])
        if is_entry_start(first):
            return nothing
        state = entry_state_after(line_filter, self._read_lines_above())
        self._sizes[-1] = state.size
        if entry_size_at(first, state.size) is None:
            return nothing
        return state.matched or nothing

    def _add_lines_below(self, ranks: Sequence[int], *, starts_matched: bool) -> set[int]:
        """Some lines, and those below each in its entry."""
        found: set[int] = set()
        for rank in (-1, *ranks) if starts_matched else ranks:
            if rank in found:
                continue
            found.add(rank)
            below = rank + 1
            while below < len(self._lines) and self._continues_entry(below):
                found.add(below)
                below += 1
        return found - {-1}

    def _continues_entry(self, rank: int) -> bool:
        """Whether a line belongs to the entry of the line above it."""
        extent = self._size_at(rank)
        return extent is not None and extent.line_count > 1

    def _size_at(self, rank: int) -> EntrySize | None:
        """The extent at a line, from the nearest line above at which it is known."""
        first = rank
        while first not in self._sizes and rank - first < MAX_ENTRY_LINES:
            if first < 0 or is_entry_start(self._lines[first]):
                break
            first -= 1
        extent = self._sizes.get(first)
        if first not in self._sizes and first >= 0:
            extent = self._sizes[first] = entry_size_at(self._lines[first], None)
        for below in range(max(first, -1) + 1, rank + 1):
            extent = self._sizes[below] = entry_size_at(self._lines[below], extent)
        return extent
