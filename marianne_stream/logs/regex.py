"""Regular expressions that a client gives, compiled by RE2 within bounds.

RE2 matches in linear time, but the factor is the size of the compiled program: with 4,000
instructions a line of 64 KiB takes 0.25 s at worst, with 200,000 it took 18 s.
"""

import re
from typing import Protocol, cast

import re2

from marianne_stream.errors import BadParameterError, PatternTooComplexError

PATTERN_LIMIT_CHARS = 1000

# The most instructions, of the program that searches forwards and of the one that searches back.
MAX_PROGRAM_SIZE = 4000

# RE2's states live in so much, too; the less, the more often they are made anew.
PATTERN_MEMORY_BYTES = 8 * 1024 * 1024

# Compiling within this takes under 10 ms, and a program within the limit always fits.
PROBE_MEMORY_BYTES = 512 * 1024

TOO_LARGE_MESSAGE = "pattern too large"


class PatternMatch(Protocol):
    """What is used of a match."""

    def start(self) -> int:
        """Where it begins."""
        ...


class Pattern(Protocol):
    """What is used of a compiled expression."""

    @property
    def programsize(self) -> int:
        """How many instructions search forwards."""
        ...

    @property
    def reverseprogramsize(self) -> int:
        """How many instructions search back; -1 if they do not fit the memory."""
        ...

    def search(self, text: bytes, pos: int = 0) -> PatternMatch | None:
        """The first match from a position on."""
        ...


def compile_pattern(client_pattern: str, pattern: str) -> Pattern:
    """Compile a pattern.

    Args:
        client_pattern: the pattern as the client gave it, for the sentence of an error.
        pattern: the same as it is searched for.

    Raises:
        BadParameterError: it cannot be used; the sentence holds RE2's own words.
        PatternTooComplexError: its program is larger than `MAX_PROGRAM_SIZE`.
    """
    if len(client_pattern) > PATTERN_LIMIT_CHARS:
        raise BadParameterError(
            detail=f"regex must be at most {PATTERN_LIMIT_CHARS} characters long, "
            f"got {len(client_pattern)}"
        )
    shown = repr(client_pattern if len(client_pattern) <= 40 else client_pattern[:40] + "…")
    refused = re.search(r"\\[AzQC]|\(\?[a-zA-Z]*-[a-zA-Z]*m", re.sub(r"\\\\", "", client_pattern))
    if refused is not None:
        raise BadParameterError(
            detail=f"regex cannot be used: {refused[0]} is not taken, a line is searched at a "
            f"time and ^ and $ are its ends: got {shown}"
        )
    try:
        probe = compile_with_memory(pattern, PROBE_MEMORY_BYTES)
        sizes = (probe.programsize, probe.reverseprogramsize)
        if not 0 <= min(sizes) <= max(sizes) <= MAX_PROGRAM_SIZE:
            raise make_too_complex_error(shown)
        return compile_with_memory(pattern, PATTERN_MEMORY_BYTES)
    except (re2.error, UnicodeEncodeError) as error:
        why = error.args[0] if error.args else error
        why = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
        if why.startswith(TOO_LARGE_MESSAGE):
            raise make_too_complex_error(shown) from error
        raise BadParameterError(detail=f"regex cannot be used: {why}: got {shown}") from error


def compile_with_memory(pattern: str, memory_bytes: int) -> Pattern:
    """Compile a pattern as RE2 does, in so much memory."""
    options = re2.Options()
    options.log_errors = False
    options.never_nl = True
    options.never_capture = True
    options.max_mem = memory_bytes
    return cast("Pattern", re2.compile(pattern.encode(), options))


def make_too_complex_error(quoted_pattern: str) -> PatternTooComplexError:
    """Make the error that names a pattern and the bound."""
    return PatternTooComplexError(
        detail=f"regex is too complex: it compiles to more than {MAX_PROGRAM_SIZE} instructions; "
        f"use smaller counts in {{}} and fewer classes: got {quoted_pattern}"
    )
