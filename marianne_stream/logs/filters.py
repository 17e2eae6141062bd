"""Which lines of a log are wanted: by text, by regular expression, by level, by job.

A text is looked for in what is shown of a line: without escape sequences, or with JSON escapes
decoded as well.
A block of lines is searched as a whole, and only where something was found line by line: a loop
over all lines in a thread would hold the event loop up. It must not know files.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from marianne_stream.logs.files import BLOCK_BYTES
from marianne_stream.logs.patterns import Pattern, compiled
from marianne_stream.wire import job_ids
from marianne_stream.wire.conductor_lines import conductor_line
from marianne_stream.wire.log_levels import LEVELS, NAME, Level, level_of
from marianne_stream.wire.log_lines import LINE_LIMIT_BYTES, end_states
from marianne_stream.wire.log_text import BOM, plain, unescaped

# A regular expression with a program of this size is searched for in half a block at once.
PIECE_PROGRAM = 40

# What a line with a level holds: cheap to look for in a whole block. JSON may have a number.
ANY_LEVEL = compiled("", rf"(?i){NAME}|\"level(?:no)?\"\s*:\s*\d")


class LineFilter(Protocol):
    """Says which lines are wanted. Lines are bytes without their end."""

    @property
    def piece_bytes(self) -> int:
        """How much of a block is searched at once, so that a deadline can be kept."""
        ...

    def selects(self, line: bytes) -> bool:
        """Whether a line is wanted."""
        ...

    def in_block(self, block: bytes) -> list[int]:
        """Which lines of a block of whole lines are wanted, by their places in it, from 0."""
        ...


# The next place from a position on where a wanted line may be, or -1.
Find = Callable[[bytes, int], int]


def candidates(block: bytes, find: Find, selects: Callable[[bytes], bool]) -> list[int]:
    """Return the places of the lines in which something is found, and which are then selected.

    Most blocks hold no escape sequence and no JSON escape, and are searched as they are. In any
    other, what a search finds is looked up by its line: each form has the same lines.
    """
    block = end_states(block).removeprefix(BOM)
    forms = forms_of(block)
    if len(forms) == 1 and forms[0] is block:
        return [place for place, line in hits(block, find) if selects(line)]
    lines = block.split(b"\n")
    places = {place for form in forms for place, _ in hits(form, find)}
    return [place for place in sorted(places) if selects(lines[place][:LINE_LIMIT_BYTES])]


def hits(block: bytes, find: Find) -> Iterator[tuple[int, bytes]]:
    """Yield the lines in which something is found, and their places."""
    ordinal = counted = 0
    at = find(block, 0)
    while 0 <= at < len(block):
        start = block.rfind(b"\n", 0, at) + 1
        ordinal += block.count(b"\n", counted, start)
        counted = start
        end = block.find(b"\n", at)
        end = end if end >= 0 else len(block)
        # What is not shown of a line is not looked at, here as on a stream.
        yield ordinal, block[start : min(end, start + LINE_LIMIT_BYTES)]
        at = find(block, end + 1) if end < len(block) else -1


def forms_of(text: bytes) -> list[bytes]:
    """Return lines as a search sees them: as they are shown, and with JSON escapes decoded."""
    shown = plain(text)
    return [shown, unescaped(shown)] if b"\\" in shown else [shown]


@dataclass(frozen=True, slots=True)
class Contains:
    """Lines that hold a text, in the same case."""

    text: str
    piece_bytes: ClassVar[int] = BLOCK_BYTES

    def selects(self, line: bytes) -> bool:
        """Whether a line is wanted."""
        text = self.text.encode()
        return any(text in form for form in forms_of(line))

    def in_block(self, block: bytes) -> list[int]:
        """The places of the wanted lines of a block."""
        text = self.text.encode()
        return candidates(block, lambda block, at: block.find(text, at), self.selects)


@dataclass(frozen=True, slots=True)
class Matches:
    """Lines in which a regular expression is found, by RE2: in linear time, whatever it is.

    Raises:
        BadParameterError: it cannot be used.
        PatternTooComplexError: it would take too long.
    """

    pattern: str
    _line: Pattern = field(init=False, repr=False, compare=False)
    _block: Pattern = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # As it is, and not in brackets of ours: it must be whole by itself.
        object.__setattr__(self, "_line", compiled(self.pattern, self.pattern))
        object.__setattr__(self, "_block", compiled(self.pattern, f"(?m:{self.pattern})"))

    @property
    def piece_bytes(self) -> int:
        """How much of a block is searched at once: the worst pattern takes 50 ms for so much."""
        return BLOCK_BYTES // (1 + self._line.programsize // PIECE_PROGRAM)

    def selects(self, line: bytes) -> bool:
        """Whether a line is wanted."""
        return any(self._line.search(form) is not None for form in forms_of(line))

    def in_block(self, block: bytes) -> list[int]:
        """The places of the wanted lines of a block."""

        def find(block: bytes, at: int) -> int:
            match = self._block.search(block, at)
            return match.start() if match is not None else -1

        return candidates(block, find, self.selects)


@dataclass(frozen=True, slots=True)
class AtLeast:
    """Lines of a level, or a graver one. A line without a level is not selected."""

    level: Level
    piece_bytes: ClassVar[int] = BLOCK_BYTES

    def selects(self, line: bytes) -> bool:
        """Whether a line is wanted."""
        level = level_of(line.decode("utf-8", "replace"))
        return level is not None and LEVELS.index(level) >= LEVELS.index(self.level)

    def in_block(self, block: bytes) -> list[int]:
        """The places of the wanted lines of a block."""

        def find(block: bytes, at: int) -> int:
            match = ANY_LEVEL.search(block, at)
            return match.start() if match is not None else -1

        return candidates(block, find, self.selects)


@dataclass(frozen=True, slots=True)
class OfJob:
    """Lines of the conductor's own log that are of one job, as they say."""

    job_id: str
    piece_bytes: ClassVar[int] = BLOCK_BYTES

    def selects(self, line: bytes) -> bool:
        """Whether a line is the job's."""
        return self._wanted in conductor_line(line).job_ids

    @property
    def _wanted(self) -> str:
        return job_ids.raw(self.job_id)

    def in_block(self, block: bytes) -> list[int]:
        """The places of the job's lines of a block."""
        plain = self._wanted.isascii() and self._wanted.isprintable()
        # A name that JSON may write in more than one way is looked for by the field's name.
        needle = (
            self._wanted.encode() if plain and not set(self._wanted) & {'"', "\\", "/"} else b""
        )

        def find(block: bytes, at: int) -> int:
            return block.find(needle or b"job_id", at)

        return candidates(block, find, self.selects)


@dataclass(frozen=True, slots=True)
class AllOf:
    """Lines that all of several filters want."""

    filters: tuple[LineFilter, ...]

    @property
    def piece_bytes(self) -> int:
        """As much as is searched at once by the slowest of them."""
        return min(one.piece_bytes for one in self.filters)

    def selects(self, line: bytes) -> bool:
        """Whether a line is wanted."""
        return all(one.selects(line) for one in self.filters)

    def in_block(self, block: bytes) -> list[int]:
        """The places of the wanted lines of a block."""
        first, *rest = (one.in_block(block) for one in self.filters)
        return sorted(set(first).intersection(*rest))
