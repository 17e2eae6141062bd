"""Regular expressions from clients, compiled by RE2 within limits. `scans` limits the time.

RE2 matches in linear time, but the factor is the size of the compiled program: with 4,000
instructions a line of 64 KiB takes 0.25 s at worst, with 200,000 it took 18 s.
"""

import re
from typing import Protocol, cast

import re2

from marianne_stream.errors import BadParameterError, PatternTooComplexError

PATTERN_LIMIT_CHARS = 1000

# Limit of the instructions of the forward and of the backward program.
MAX_PROGRAM_SIZE = 4000

# Memory of the program and its cached states; with less, states are computed anew more often.
PATTERN_MEMORY_BYTES = 8 * 1024 * 1024

# Compiling in so much memory takes under 10 ms. A program within the limit always fits.
PROBE_MEMORY_BYTES = 512 * 1024

TOO_LARGE_MESSAGE = "pattern too large"


class PatternMatch(Protocol):
    """Used part of RE2's match."""

    def start(self) -> int:
        """Return the offset of the match."""


class Pattern(Protocol):
    """Used part of RE2's compiled expression."""

    @property
    def programsize(self) -> int:
        """Number of instructions of the forward search."""

    @property
    def reverseprogramsize(self) -> int:
        """Number of instructions of the backward search; -1 if they do not fit in memory."""

    def search(self, text: bytes, pos: int = 0) -> PatternMatch | None:
        """Return the first match from an offset on, or None."""


def compile_pattern(client_pattern: str, pattern: str) -> Pattern:
    """Compile a pattern; errors show the pattern as the client sent it.

    Raises:
        BadParameterError: the pattern is invalid; the message quotes RE2.
        PatternTooComplexError: the program is larger than `MAX_PROGRAM_SIZE`.
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
            detail=f"regex is invalid: {refused[0]} is not supported; each line is searched by "
            f"itself, and ^ and $ match its ends: got {shown}"
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
        raise BadParameterError(detail=f"regex is invalid: {why}: got {shown}") from error


def compile_with_memory(pattern: str, memory_bytes: int) -> Pattern:
    """Compile a pattern with a memory limit."""
    options = re2.Options()
    options.log_errors = False
    options.never_nl = True
    options.never_capture = True
    options.max_mem = memory_bytes
    return cast("Pattern", re2.compile(pattern.encode(), options))


def make_too_complex_error(quoted_pattern: str) -> PatternTooComplexError:
    """Make the error for a pattern that is too complex."""
    return PatternTooComplexError(
        detail=f"regex is too complex: it compiles to more than {MAX_PROGRAM_SIZE} instructions; "
        f"use smaller counts in {{}} and fewer classes: got {quoted_pattern}"
    )
