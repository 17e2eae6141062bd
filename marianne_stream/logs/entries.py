"""Log entries: a line with a level or a time, and the lines below it that have neither.

A filter that passes a line passes the lines below it in the same entry as well: a traceback stays
with the line above it. In a log without levels and times each line stands alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from marianne_stream.logs.filters import AllFilters, LineFilter
from marianne_stream.logs.log_file import LogFile
from marianne_stream.wire.log_levels import parse_line_facts
from marianne_stream.wire.log_lines import LINE_LIMIT_BYTES, render_line

# Limits of an entry. Lines beyond them stand alone.
MAX_ENTRY_LINES = 200
MAX_ENTRY_BYTES = 64 * 1024

# Enough text before a line to hold its whole entry and the newline above that.
ENTRY_LOOKBACK_BYTES = MAX_ENTRY_BYTES + 1


class EntrySize(NamedTuple):
    """Size of an entry up to one of its lines."""

    line_count: int
    size_bytes: int


def entry_size_at(text: bytes, size_above: EntrySize | None) -> EntrySize | None:
    """Return the size of an entry up to a line; None if the line stands alone."""
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
    """Return whether a line starts an entry."""
    return parse_line_facts(text.decode("utf-8", "replace")).is_entry_start


def split_filter(line_filter: LineFilter) -> tuple[LineFilter, ...]:
    """Return the filters that all have to pass a line."""
    return line_filter.filters if isinstance(line_filter, AllFilters) else (line_filter,)


@dataclass(frozen=True, slots=True)
class EntryState:
    """State of a filter between two lines.

    Attributes:
        size: size of the entry that the next line may continue; None if there is none.
        matched: for each filter, whether it has passed a line of that entry.
    """

    size: EntrySize | None = None
    matched: tuple[bool, ...] = ()


NO_ENTRY = EntryState()


class EntryMatcher:
    """Applies a filter to consecutive lines and to the entries that they belong to.

    `state` is the state behind the line above the first one.
    """

    def __init__(self, line_filter: LineFilter, state: EntryState = NO_ENTRY) -> None:
        self._filters = split_filter(line_filter)
        self._size = state.size
        self._matched = list(state.matched or [False] * len(self._filters))

    def reset(self) -> None:
        """Start anew: the next line continues no entry."""
        self._size = None
        self._matched = [False] * len(self._filters)

    @property
    def state(self) -> EntryState:
        """State behind the lines so far."""
        passed = tuple(self._matched) if self._size is not None and any(self._matched) else ()
        return EntryState(self._size, passed)

    def matches(self, text: bytes) -> bool:
        """Return whether the next line passes."""
        above = self._size
        self._size = entry_size_at(text, above)
        if self._size is None or self._size.line_count == 1:
            self._matched = [False] * len(self._filters)
        for index, one in enumerate(self._filters):
            self._matched[index] = self._matched[index] or one.matches(text)
        return all(self._matched)


def entry_state_after(line_filter: LineFilter, lines: Sequence[bytes]) -> EntryState:
    """Return the state of a filter behind some lines, of which only the last entry counts."""
    begin = find_last_entry_start(lines)
    if begin is None:
        return NO_ENTRY
    above = EntryMatcher(line_filter)
    for text in lines[begin:]:
        above.matches(text)
    return above.state


def find_last_entry_start(lines: Sequence[bytes]) -> int | None:
    """Return the index of the line that starts the last entry, or None."""
    for index in range(len(lines) - 1, max(-1, len(lines) - MAX_ENTRY_LINES), -1):
        if is_entry_start(lines[index]):
            return index
    return None


def read_lines_above(
    file: LogFile, offset: int, job_filter: LineFilter | None, text: bytes | None = None
) -> list[bytes]:
    """Return the lines above an offset that may belong to the same entry as the line behind it.

    `text` is the text before the offset, `ENTRY_LOOKBACK_BYTES` of it if there are as many; if it
    is None, it is read from the file.
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
    """Return a line without its end as it is displayed, at most `LINE_LIMIT_BYTES` of it."""
    return render_line(line)[:LINE_LIMIT_BYTES]


def matches_after(
    line_filter: LineFilter, read_lines: Callable[[], Sequence[bytes]], text: bytes
) -> bool:
    """Return whether a filter passes a line that follows other lines."""
    return EntryMatcher(line_filter, entry_state_after(line_filter, read_lines())).matches(text)


class EntryMatches(NamedTuple):
    """Indexes of the lines of a block that pass a filter.

    Attributes:
        selected: lines that pass, with the lines below them in their entries.
        matches: lines that pass by themselves.
    """

    selected: list[int]
    matches: frozenset[int]


class BlockEntries:
    """Entries of a block of lines, computed where they are needed.

    `read_lines_above` returns the job's lines above the block, at least the last entry.
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
        """Return the lines that pass a filter, including the lines below them."""
        filters = split_filter(line_filter)
        own = [set(one.find_matches(self._text)).intersection(self._job_lines) for one in filters]
        inherited = self._match_lines_above(line_filter)
        if not any(own) and not any(inherited):
            return EntryMatches([], frozenset())
        split = self._text.split(b"\n")
        self._lines = [render_truncated(split[index]) for index in self._job_lines]
        ranks = {index: rank for rank, index in enumerate(self._job_lines)}
        passed = [
            self._add_lines_below(sorted(ranks[index] for index in indexes), starts_matched=begun)
            for indexes, begun in zip(own, inherited, strict=True)
        ]
        common = set.intersection(*passed)
        indexes = sorted(self._job_lines[rank] for rank in common)
        return EntryMatches(indexes, frozenset(set.union(*own).intersection(indexes)))

    def _match_lines_above(self, line_filter: LineFilter) -> Sequence[bool]:
        """Return for each filter whether a line above the block makes it pass the first line."""
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
        """Add to some lines those below each of them in its entry."""
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
        """Return whether a line belongs to the entry of the line above it."""
        size = self._size_at(rank)
        return size is not None and size.line_count > 1

    def _size_at(self, rank: int) -> EntrySize | None:
        """Return the size at a line, computed from the nearest line above with a known size."""
        first = rank
        while first not in self._sizes and rank - first < MAX_ENTRY_LINES:
            if first < 0 or is_entry_start(self._lines[first]):
                break
            first -= 1
        size = self._sizes.get(first)
        if first not in self._sizes and first >= 0:
            size = self._sizes[first] = entry_size_at(self._lines[first], None)
        for below in range(max(first, -1) + 1, rank + 1):
            size = self._sizes[below] = entry_size_at(self._lines[below], size)
        return size
