"""Which lines of a log are wanted: by text, by regular expression, by level, by job.

A text is looked for in what is shown of a line: without escape sequences, or with JSON escapes
decoded as well.
A block of lines is searched as a whole, and only where something was found line by line: a loop
over all lines in a thread would hold the event loop up. It must not know files.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from marianne_stream.logs.log_file import BLOCK_BYTES
from marianne_stream.logs.regex import Pattern, compile_pattern
from marianne_stream.wire import job_ids
from marianne_stream.wire.conductor_lines import parse_conductor_line
from marianne_stream.wire.log_levels import LEVEL_NAME_PATTERN, LEVELS, LineLevel, parse_line_level
from marianne_stream.wire.log_lines import LINE_LIMIT_BYTES, render_lines
from marianne_stream.wire.log_text import UTF8_BOM, decode_json_escapes, strip_ansi

# A regular expression with a program of this size is searched for in half a block at once.
HALF_BLOCK_PROGRAM_SIZE = 40

# What a line with a level holds: cheap to look for in a whole block. JSON may have a number.
LEVEL_HINT = compile_pattern("", rf"(?i){LEVEL_NAME_PATTERN}|\"level(?:no)?\"\s*:\s*\d")


class LineFilter(Protocol):
    """Says which lines are wanted. Lines are bytes without their end."""

    @property
    def piece_bytes(self) -> int:
        """How much of a block is searched at once, so that a deadline can be kept."""
        ...

    def matches(self, line: bytes) -> bool:
        """Whether a line is wanted."""
        ...

    def find_matches(self, block: bytes) -> list[int]:
        """Which lines of a block of whole lines are wanted, by their places in it, from 0."""
        ...


# The next place from a position on where a wanted line may be, or -1.
FindNext = Callable[[bytes, int], int]


def find_matching_lines(
    block: bytes, find_next: FindNext, line_matches: Callable[[bytes], bool]
) -> list[int]:
    """Return the places of the lines in which something is found, and which are then selected.

    Most blocks hold no escape sequence and no JSON escape, and are searched as they are. In any
    other, what a search finds is looked up by its line: each form has the same lines.
    """
    block = render_lines(block).removeprefix(UTF8_BOM)
    forms = search_forms(block)
    if len(forms) == 1 and forms[0] is block:
        return [place for place, line in iter_hits(block, find_next) if line_matches(line)]
    lines = block.split(b"\n")
    places = {place for form in forms for place, _ in iter_hits(form, find_next)}
    return [place for place in sorted(places) if line_matches(lines[place][:LINE_LIMIT_BYTES])]


def iter_hits(block: bytes, find_next: FindNext) -> Iterator[tuple[int, bytes]]:
    """Yield the lines in which something is found, and their places."""
    ordinal = counted = 0
    at = find_next(block, 0)
    while 0 <= at < len(block):
        start = block.rfind(b"\n", 0, at) + 1
        ordinal += block.count(b"\n", counted, start)
        counted = start
        end = block.find(b"\n", at)
        end = end if end >= 0 else len(block)
        # What is not shown of a line is not looked at, here as on a stream.
        yield ordinal, block[start : min(end, start + LINE_LIMIT_BYTES)]
        at = find_next(block, end + 1) if end < len(block) else -1


def search_forms(text: bytes) -> list[bytes]:
    """Return lines as a search sees them: as they are shown, and with JSON escapes decoded."""
    shown = strip_ansi(text)
    return [shown, decode_json_escapes(shown)] if b"\\" in shown else [shown]


@dataclass(frozen=True, slots=True)
class TextFilter:
    """Lines that hold a text, in the same case."""

    text: str
    piece_bytes: ClassVar[int] = BLOCK_BYTES

    def matches(self, line: bytes) -> bool:
        """Whether a line is wanted."""
        text = self.text.encode()
        return any(text in form for form in search_forms(line))

    def find_matches(self, block: bytes) -> list[int]:
        """The places of the wanted lines of a block."""
        text = self.text.encode()
        return find_matching_lines(block, lambda block, at: block.find(text, at), self.matches)


@dataclass(frozen=True, slots=True)
class RegexFilter:
    """Lines in which a regular expression is found, by RE2: in linear time, whatever it is.

    Raises:
        BadParameterError: it cannot be used.
        PatternTooComplexError: it would take too long.
    """

    pattern: str
    _line_pattern: Pattern = field(init=False, repr=False, compare=False)
    _block_pattern: Pattern = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # As it is, and not in brackets of ours: it must be whole by itself.
        object.__setattr__(self, "_line_pattern", compile_pattern(self.pattern, self.pattern))
        object.__setattr__(
            self, "_block_pattern", compile_pattern(self.pattern, f"(?m:{self.pattern})")
        )

    @property
    def piece_bytes(self) -> int:
        """How much of a block is searched at once: the worst pattern takes 50 ms for so much."""
        return BLOCK_BYTES // (1 + self._line_pattern.programsize // HALF_BLOCK_PROGRAM_SIZE)

    def matches(self, line: bytes) -> bool:
        """Whether a line is wanted."""
        return any(self._line_pattern.search(form) is not None for form in search_forms(line))

    def find_matches(self, block: bytes) -> list[int]:
        """The places of the wanted lines of a block."""

        def find(block: bytes, at: int) -> int:
            match = self._block_pattern.search(block, at)
            return match.start() if match is not None else -1

        return find_matching_lines(block, find, self.matches)


@dataclass(frozen=True, slots=True)
class LevelFilter:
    """Lines of a level, or a graver one. A line without a level is not selected."""

    level: LineLevel
    piece_bytes: ClassVar[int] = BLOCK_BYTES

    def matches(self, line: bytes) -> bool:
        """Whether a line is wanted."""
        level = parse_line_level(line.decode("utf-8", "replace"))
        return level is not None and LEVELS.index(level) >= LEVELS.index(self.level)

    def find_matches(self, block: bytes) -> list[int]:
        """The places of the wanted lines of a block."""

        def find(block: bytes, at: int) -> int:
            match = LEVEL_HINT.search(block, at)
            return match.start() if match is not None else -1

        return find_matching_lines(block, find, self.matches)


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Lines of the conductor's own log that are of one job, as they say."""

    job_id: str
    piece_bytes: ClassVar[int] = BLOCK_BYTES

    def matches(self, line: bytes) -> bool:
        """Whether a line is the job's."""
        return self._unescaped_job_id in parse_conductor_line(line).job_ids

    @property
    def _unescaped_job_id(self) -> str:
        return job_ids.unescape(self.job_id)

    def find_matches(self, block: bytes) -> list[int]:
        """The places of the job's lines of a block."""
        plain = self._unescaped_job_id.isascii() and self._unescaped_job_id.isprintable()
        # A name that JSON may write in more than one way is looked for by the field's name.
        needle = (
            self._unescaped_job_id.encode()
            if plain and not set(self._unescaped_job_id) & {'"', "\\", "/"}
            else b""
        )

        def find(block: bytes, at: int) -> int:
            return block.find(needle or b"job_id", at)

        return find_matching_lines(block, find, self.matches)


@dataclass(frozen=True, slots=True)
class AllFilters:
    """Lines that all of several filters want."""

    filters: tuple[LineFilter, ...]

    @property
    def piece_bytes(self) -> int:
        """As much as is searched at once by the slowest of them."""
        return min(one.piece_bytes for one in self.filters)

    def matches(self, line: bytes) -> bool:
        """Whether a line is wanted."""
        return all(one.matches(line) for one in self.filters)

    def find_matches(self, block: bytes) -> list[int]:
        """The places of the wanted lines of a block."""
        first, *rest = (one.find_matches(block) for one in self.filters)
        return sorted(set(first).intersection(*rest))
