"""Line filters: by text, regular expression, level or job.

Text is searched in what is displayed of a line: without escape sequences, and with JSON escapes
decoded as well. A block of lines is searched as a whole, and only hits are checked line by line: a
loop over all lines in a thread would hold up the event loop.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from marianne_stream.logs.log_file import BLOCK_BYTES
from marianne_stream.logs.regex import Pattern, compile_pattern
from marianne_stream.wire import job_ids
from marianne_stream.wire.conductor_lines import parse_conductor_line
from marianne_stream.wire.log_levels import (
    LEVEL_NAME_PATTERN,
    LEVELS,
    LineLevel,
    parse_level_name,
    parse_line_level,
)
from marianne_stream.wire.log_lines import LINE_LIMIT_BYTES, render_lines
from marianne_stream.wire.log_text import UTF8_BOM, decode_json_escapes, strip_ansi

# Program size of a regular expression for which half a block is searched at once.
HALF_BLOCK_PROGRAM_SIZE = 40

# Cheap search for lines that may have a level. In JSON a level may be a number.
LEVEL_HINT = compile_pattern("", rf"(?i){LEVEL_NAME_PATTERN}|\"level(?:no)?\"\s*:\s*\d")


class LineFilter(Protocol):
    """Filter of single lines, which are bytes without their newline.

    None in the place of a filter passes all lines.
    """

    @property
    def piece_bytes(self) -> int:
        """Number of bytes to search between two checks of a deadline."""

    def matches(self, line: bytes) -> bool:
        """Return whether a line passes."""

    def find_matches(self, block: bytes) -> list[int]:
        """Return the indexes, from 0, of the lines of a block that pass. Each has its newline."""


def search_forms(text: bytes) -> list[bytes]:
    """Return lines as a search sees them: as displayed, and with JSON escapes decoded."""
    shown = strip_ansi(text)
    return [shown, decode_json_escapes(shown)] if b"\\" in shown else [shown]


class SearchFilter(ABC):
    """Filter that searches a block as a whole, and checks only the lines with a hit."""

    __slots__ = ()

    @property
    def piece_bytes(self) -> int:
        """Number of bytes to search between two checks of a deadline."""
        return BLOCK_BYTES

    @abstractmethod
    def matches(self, line: bytes) -> bool:
        """Return whether a line passes."""

    def find_matches(self, block: bytes) -> list[int]:
        """Return the indexes of the lines that pass.

        Most blocks hold no escape sequence and no JSON escape, and are searched as they are. In
        other blocks, a hit is looked up by its line number, which is the same in each form of the
        text.
        """
        block = render_lines(block).removeprefix(UTF8_BOM)
        forms = search_forms(block)
        if len(forms) == 1 and forms[0] is block:
            return [index for index, line in self._iter_hits(block) if self.matches(line)]
        lines = block.split(b"\n")
        indexes = {index for form in forms for index, _ in self._iter_hits(form)}
        return [index for index in sorted(indexes) if self.matches(lines[index][:LINE_LIMIT_BYTES])]

    def _iter_hits(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield index and text of each line with a hit."""
        ordinal = counted = 0
        at = self._find_hit(block, 0)
        while 0 <= at < len(block):
            start = block.rfind(b"\n", 0, at) + 1
            ordinal += block.count(b"\n", counted, start)
            counted = start
            end = block.find(b"\n", at)
            end = end if end >= 0 else len(block)
            # Only the displayed part of a line counts, as on a stream.
            yield ordinal, block[start : min(end, start + LINE_LIMIT_BYTES)]
            at = self._find_hit(block, end + 1) if end < len(block) else -1

    @abstractmethod
    def _find_hit(self, block: bytes, at: int) -> int:
        """Return the offset of the next hit from an offset on, or -1."""


def find_pattern(pattern: Pattern, block: bytes, at: int) -> int:
    """Return the offset of the next match from an offset on, or -1."""
    match = pattern.search(block, at)
    return match.start() if match is not None else -1


@dataclass(frozen=True, slots=True)
class TextFilter(SearchFilter):
    """Lines that contain a text, case-sensitive."""

    text: str

    def matches(self, line: bytes) -> bool:
        """Return whether a line passes."""
        text = self.text.encode()
        return any(text in form for form in search_forms(line))

    def _find_hit(self, block: bytes, at: int) -> int:
        return block.find(self.text.encode(), at)


@dataclass(frozen=True, slots=True)
class RegexFilter(SearchFilter):
    """Lines in which a regular expression is found by RE2, in linear time.

    Raises:
        BadParameterError: the expression is invalid.
        PatternTooComplexError: the expression compiles to too large a program.
    """

    pattern: str
    _line_pattern: Pattern = field(init=False, repr=False, compare=False)
    _block_pattern: Pattern = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Compiled without brackets of ours, so that the expression must be complete by itself.
        object.__setattr__(self, "_line_pattern", compile_pattern(self.pattern, self.pattern))
        object.__setattr__(
            self, "_block_pattern", compile_pattern(self.pattern, f"(?m:{self.pattern})")
        )

    @property
    def piece_bytes(self) -> int:
        """Number of bytes that the slowest expression of this size searches within 50 ms."""
        return BLOCK_BYTES // (1 + self._line_pattern.programsize // HALF_BLOCK_PROGRAM_SIZE)

    def matches(self, line: bytes) -> bool:
        """Return whether a line passes."""
        return any(self._line_pattern.search(form) is not None for form in search_forms(line))

    def _find_hit(self, block: bytes, at: int) -> int:
        return find_pattern(self._block_pattern, block, at)


@dataclass(frozen=True, slots=True)
class LevelFilter(SearchFilter):
    """Lines of a level or a more severe one. Lines without a level do not pass."""

    level: LineLevel

    def matches(self, line: bytes) -> bool:
        """Return whether a line passes."""
        level = parse_line_level(line.decode("utf-8", "replace"))
        return level is not None and LEVELS.index(level) >= LEVELS.index(self.level)

    def _find_hit(self, block: bytes, at: int) -> int:
        return find_pattern(LEVEL_HINT, block, at)


@dataclass(frozen=True, slots=True)
class JobFilter(SearchFilter):
    """Lines of the conductor's log that name a job."""

    job_id: str
    _unescaped_job_id: str = field(init=False, repr=False, compare=False)
    _needle: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        job_id = job_ids.unescape(self.job_id)
        is_plain = job_id.isascii() and job_id.isprintable() and not set(job_id) & {'"', "\\", "/"}
        object.__setattr__(self, "_unescaped_job_id", job_id)
        # An id that JSON can write in more than one way is searched by the name of its field.
        object.__setattr__(self, "_needle", job_id.encode() if is_plain else b"job_id")

    def matches(self, line: bytes) -> bool:
        """Return whether a line passes."""
        return self._unescaped_job_id in parse_conductor_line(line).job_ids

    def _find_hit(self, block: bytes, at: int) -> int:
        return block.find(self._needle, at)


@dataclass(frozen=True, slots=True)
class AllFilters:
    """Lines that pass all of several filters."""

    filters: tuple[LineFilter, ...]

    @property
    def piece_bytes(self) -> int:
        """Number of bytes for the slowest of the filters."""
        return min(one.piece_bytes for one in self.filters)

    def matches(self, line: bytes) -> bool:
        """Return whether a line passes."""
        return all(one.matches(line) for one in self.filters)

    def find_matches(self, block: bytes) -> list[int]:
        """Return the indexes of the lines that pass."""
        first, *rest = (one.find_matches(block) for one in self.filters)
        return sorted(set(first).intersection(*rest))


def make_line_filter(
    *, contains: str | None, regex: str | None, level: str | None
) -> LineFilter | None:
    """Make a filter of all given conditions; None if there are none.

    Raises:
        BadParameterError: the regular expression is invalid.
        PatternTooComplexError: the regular expression compiles to too large a program.
    """
    filters: list[LineFilter] = []
    if contains:
        filters.append(TextFilter(contains))
    if level:
        filters.append(LevelFilter(parse_level_name(level)))
    if regex:
        filters.append(RegexFilter(regex))
    if not filters:
        return None
    return filters[0] if len(filters) == 1 else AllFilters(tuple(filters))
