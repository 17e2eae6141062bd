"""Which lines of a log are wanted: by text, by regular expression, by level, by job.

A block of lines is searched as a whole, and only where something was found line by line: a loop
over all lines in a thread would hold the event loop up. It must not know files.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, cast

import msgspec
import re2

from marianne_stream.errors import BadParameterError
from marianne_stream.wire import job_ids
from marianne_stream.wire.log_lines import LINE_LIMIT_BYTES, end_states

Level = Literal["debug", "info", "warning", "error"]

# A pattern's largest program, and its longest text.
PATTERN_MEMORY_BYTES = 8 * 1024 * 1024
PATTERN_LIMIT_CHARS = 1000

# Where in a line its level stands, if it has one.
LEVEL_HEAD_BYTES = 200

GRAVITY: dict[Level, int] = {"debug": 0, "info": 1, "warning": 2, "error": 3}
WORDS: dict[str, Level] = {
    **dict.fromkeys(("trace", "debug", "verbose"), "debug"),
    **dict.fromkeys(("info", "notice"), "info"),
    **dict.fromkeys(("warn", "warning"), "warning"),
    **dict.fromkeys(("error", "err", "critical", "crit", "fatal", "panic", "alert"), "error"),
    **dict.fromkeys(("emerg", "exception"), "error"),
}
WORD = "|".join(sorted(WORDS, key=len, reverse=True))
JSON_LEVEL = re.compile(
    rf'"(?:level|levelname|severity|lvl|log_level)"\s*:\s*"({WORD})"'.encode(), re.IGNORECASE
)
# In brackets, behind `level=`, or in capitals and alone.
TEXT_LEVEL = re.compile(
    rf"[\[<](?i:({WORD}))[\]>]|\b(?i:level|lvl|severity)=\"?(?i:({WORD}))\b"
    rf"|(?<![A-Za-z_])({WORD.upper()})(?![A-Za-z_])".encode()
)
# What any of these lines holds: cheap to look for in a whole block.
ANY_LEVEL = re.compile(WORD.encode(), re.IGNORECASE)


class LineFilter(Protocol):
    """Says which lines are wanted. Lines are bytes without their end."""

    def selects(self, line: bytes) -> bool:
        """Whether a line is wanted."""
        ...

    def in_block(self, block: bytes) -> list[int]:
        """Which lines of a block of whole lines are wanted, by their places in it, from 0."""
        ...


class Found(Protocol):
    """What is used of a match."""

    def start(self) -> int:
        """Where it begins."""
        ...


class Pattern(Protocol):
    """What is used of a compiled expression."""

    def search(self, text: bytes, pos: int = 0) -> Found | None:
        """The first match from a position on."""
        ...


# The next place from a position on where a wanted line may be, or -1.
Find = Callable[[bytes, int], int]


def candidates(block: bytes, find: Find, selects: Callable[[bytes], bool]) -> list[int]:
    """The places of the lines in which something is found, and which are then selected."""
    block = end_states(block)
    found: list[int] = []
    ordinal = counted = 0
    at = find(block, 0)
    while 0 <= at < len(block):
        start = block.rfind(b"\n", 0, at) + 1
        ordinal += block.count(b"\n", counted, start)
        counted = start
        end = block.find(b"\n", at)
        end = end if end >= 0 else len(block)
        # What is not shown of a line is not looked at, here as on a stream.
        if selects(block[start : min(end, start + LINE_LIMIT_BYTES)]):
            found.append(ordinal)
        at = find(block, end + 1) if end < len(block) else -1
    return found


@dataclass(frozen=True, slots=True)
class Contains:
    """Lines that hold a text, in the same case."""

    text: str

    def selects(self, line: bytes) -> bool:
        """Whether a line is wanted."""
        return self.text.encode() in line

    def in_block(self, block: bytes) -> list[int]:
        """The places of the wanted lines of a block."""
        text = self.text.encode()
        return candidates(block, lambda block, at: block.find(text, at), self.selects)


@dataclass(frozen=True, slots=True)
class Matches:
    """Lines in which a regular expression is found, by RE2: in linear time, whatever it is.

    Raises:
        BadParameterError: it cannot be used.
    """

    pattern: str
    _line: Pattern = field(init=False, repr=False, compare=False)
    _block: Pattern = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.pattern) > PATTERN_LIMIT_CHARS:
            raise BadParameterError(
                detail=f"regex must be at most {PATTERN_LIMIT_CHARS} characters long, "
                f"got {len(self.pattern)}"
            )
        # As it is, and not in brackets of ours: it must be whole by itself.
        object.__setattr__(self, "_line", compiled(self.pattern, self.pattern))
        object.__setattr__(self, "_block", compiled(self.pattern, f"(?m:{self.pattern})"))

    def selects(self, line: bytes) -> bool:
        """Whether a line is wanted."""
        return self._line.search(line) is not None

    def in_block(self, block: bytes) -> list[int]:
        """The places of the wanted lines of a block."""

        def find(block: bytes, at: int) -> int:
            match = self._block.search(block, at)
            return match.start() if match is not None else -1

        return candidates(block, find, self.selects)


def compiled(given: str, pattern: str) -> Pattern:
    """An expression that can be searched for.

    Raises:
        BadParameterError: it cannot be; the sentence holds RE2's own words.
    """
    shown = repr(given if len(given) <= 40 else given[:40] + "…")
    refused = re.search(r"\\[AzQC]|\(\?[a-zA-Z]*-[a-zA-Z]*m", re.sub(r"\\\\", "", given))
    if refused is not None:
        raise BadParameterError(
            detail=f"regex cannot be used: {refused[0]} is not taken, a line is searched at a "
            f"time and ^ and $ are its ends: got {shown}"
        )
    options = re2.Options()
    options.log_errors = False
    options.never_nl = True
    options.max_mem = PATTERN_MEMORY_BYTES
    try:
        return cast("Pattern", re2.compile(pattern.encode(), options))
    except (re2.error, UnicodeEncodeError) as error:
        why = error.args[0] if error.args else error
        why = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
        raise BadParameterError(detail=f"regex cannot be used: {why}: got {shown}") from error


@dataclass(frozen=True, slots=True)
class AtLeast:
    """Lines of a level, or a graver one. A line without a level is not selected."""

    level: Level

    def selects(self, line: bytes) -> bool:
        """Whether a line is wanted."""
        level = level_of(line)
        return level is not None and GRAVITY[level] >= GRAVITY[self.level]

    def in_block(self, block: bytes) -> list[int]:
        """The places of the wanted lines of a block."""

        def find(block: bytes, at: int) -> int:
            match = ANY_LEVEL.search(block, at)
            return match.start() if match is not None else -1

        return candidates(block, find, self.selects)


def level_of(line: bytes) -> Level | None:
    """The level of a line: a field of its JSON object, else its first word that is one."""
    if line.lstrip()[:1] == b"{":
        match = JSON_LEVEL.search(line)
    else:
        match = TEXT_LEVEL.search(line[:LEVEL_HEAD_BYTES])
    if match is None:
        return None
    return WORDS[next(group for group in match.groups() if group).decode().lower()]


class ConductorLine(msgspec.Struct, frozen=True):
    """What of a line of the conductor's log is looked at."""

    job_id: object = None
    extra: object = None


@dataclass(frozen=True, slots=True)
class OfJob:
    """Lines of the conductor's own log that are of one job: JSON objects that name it."""

    job_id: str

    def selects(self, line: bytes) -> bool:
        """Whether a line is the job's."""
        if b"job_id" not in line:
            return False
        try:
            fields = msgspec.json.decode(line, type=ConductorLine)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        extra = fields.extra if isinstance(fields.extra, dict) else {}
        return self._wanted in (fields.job_id, extra.get("job_id"))

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

    def selects(self, line: bytes) -> bool:
        """Whether a line is wanted."""
        return all(one.selects(line) for one in self.filters)

    def in_block(self, block: bytes) -> list[int]:
        """The places of the wanted lines of a block."""
        first, *rest = (one.in_block(block) for one in self.filters)
        return sorted(set(first).intersection(*rest))
