"""The bytes of a log, in any pieces, as numbered lines with their positions. Pure."""

import re
from collections.abc import Callable
from typing import NamedTuple

from marianne_stream.wire.cursors import HASH_WINDOW_BYTES, content_hash
from marianne_stream.wire.log_text import UTF8_BOM

# A line longer than this is cut.
LINE_LIMIT_BYTES = 64 * 1024

# What returns to the beginning of a line (ECMA-48): a carriage return, EL 2, and CHA to column 1.
RETURN_SEQUENCE = re.compile(rb"\r|\x1b\[2K|\x1b\[[01]?G")
MAX_RETURN_BYTES = 4

# A line is looked into in pieces of so much: 16 KiB of returns take 3 ms.
PIECE_BYTES = 16 * 1024


class LogLine(NamedTuple):
    """One line of a log.

    Attributes:
        text: the line without its end, in bytes; at most `LINE_LIMIT_BYTES`.
        number: counts from 1; behind a selection, the selected lines only.
        end: the offset in the file behind the line and its end.
        window_hash: the fingerprint of the bytes before `end`.
        truncated: whether the line is longer than `text`.
        terminated: whether it ended in a newline.
    """

    text: bytes
    number: int
    end: int
    window_hash: int
    truncated: bool = False
    terminated: bool = True

    @property
    def display_text(self) -> str:
        """The text as a viewer reads it: bytes that are no UTF-8 are U+FFFD."""
        text = self.text
        if self.truncated:
            # A character that the cut went through is left out.
            for back in range(1, min(4, len(text) + 1)):
                if text[-back] >= 0xC0:
                    whole = 2 if text[-back] < 0xE0 else 3 if text[-back] < 0xF0 else 4
                    text = text[:-back] if back < whole else text
                    break
                if text[-back] < 0x80:
                    break
        return text.decode("utf-8", "replace")


def render_line(line: bytes) -> bytes:
    """Return what a terminal shows of a line in the end: what is behind its last return.

    Of a line of more than `PIECE_BYTES`, no more is given than `LINE_LIMIT_BYTES` and a byte.
    Returns at its end are left out, of which one is a part of CR LF, and so is a hole of NULs (a
    sparse file) before it.
    """
    line = line.lstrip(b"\0").rstrip(b"\r")
    if b"\r" not in line and b"\x1b[" not in line:
        return line
    if len(line) > PIECE_BYTES:
        # One call on a long line would hold the interpreter for 0.2 s.
        text = LineRenderer()
        for start in range(0, len(line), PIECE_BYTES):
            text.add(line[start : start + PIECE_BYTES])
        return text.text
    parts = (part.lstrip(b"\0") for part in reversed(RETURN_SEQUENCE.split(line)))
    return next(filter(None, parts), b"")


def render_lines(block: bytes) -> bytes:
    """Return a block of lines with the end state of each; quick where that is the line itself."""
    block = block.replace(b"\r\n", b"\n")
    returns = b"\r" in block or (b"\x1b[" in block and RETURN_SEQUENCE.search(block))
    if not returns and b"\0" not in block:
        return block
    return b"\n".join(map(render_line, block.split(b"\n")))


class LineRenderer:
    """Collects the end state of a line that comes in pieces; keeps no more of it than is given.

    Attributes:
        is_overwritten: whether a return was among them.
        is_hole: True while nothing but NULs has come.
    """

    is_overwritten = False
    is_hole = True

    def __init__(self) -> None:
        # What is behind the last return, and what was before it.
        self._current = self._previous = b""
        # The end of the last piece, in which a return may have begun.
        self._sequence_tail = b""

    @property
    def text(self) -> bytes:
        """The end state of what has come: above `LINE_LIMIT_BYTES`, it is not all of it."""
        return self._current or self._previous

    def add(self, piece: bytes) -> None:
        """Adds a piece without a newline."""
        self.is_hole = self.is_hole and not piece.lstrip(b"\0")
        joined = self._sequence_tail + piece
        first, *behind = (
            RETURN_SEQUENCE.split(joined) if b"\r" in joined or b"\x1b[" in joined else [joined]
        )
        self._append(first[len(self._sequence_tail) :])
        if (
            behind
            and len(first) < len(self._sequence_tail)
            and len(self._current) <= LINE_LIMIT_BYTES
        ):
            # The return began in what had been taken for text.
            self._current = self._current[: len(first) - len(self._sequence_tail)]
        self.is_overwritten = self.is_overwritten or bool(behind)
        for part in behind:
            self._previous, self._current = self.text, b""
            self._append(part)
        tail = (behind[-1] if behind else joined)[1 - MAX_RETURN_BYTES :]
        self._sequence_tail = tail if b"\x1b" in tail else b""

    def take(self) -> bytes:
        """Return the end state, and begin with the next line."""
        text = self.text
        self._current = self._previous = self._sequence_tail = b""
        self.is_overwritten, self.is_hole = False, True
        return text

    def _append(self, part: bytes) -> None:
        if not self._current:
            part = part.lstrip(b"\0")
        self._current += part[: LINE_LIMIT_BYTES + 1 - len(self._current)]


def make_partial_line(text: bytes, number: int, end: int) -> LogLine:
    """A line that has no newline yet. It has no digest: it is no position."""
    truncated = len(text) > LINE_LIMIT_BYTES
    return LogLine(text[:LINE_LIMIT_BYTES], number, end, 0, truncated, terminated=False)


LinePredicate = Callable[[bytes], bool]


class LogLineSplitter:
    """Cuts what is read from a file, from an offset on, into lines.

    Args:
        offset: where in the file the first byte that will be fed stands: behind a line end.
        number: the number of the line before.
        window: the bytes before the offset, up to `HASH_WINDOW_BYTES`.
        predicate: which lines count and are given; all where it is None.

    Attributes:
        fed_offset: the offset behind all that was fed.
        line_offset: the offset behind the last whole line.
        number: the number of the last line.
        window: the bytes before `scanned`.
    """

    def __init__(
        self, *, offset: int, number: int, window: bytes, predicate: LinePredicate | None = None
    ) -> None:
        self.fed_offset = self.line_offset = offset
        self.number = number
        self.window = window[-HASH_WINDOW_BYTES:]
        # The bytes before `position`.
        self.line_window = self.window
        self._predicate = predicate
        self._renderer = LineRenderer()

    @property
    def pending_bytes(self) -> int:
        """How much of a line has been fed whose end has not."""
        return self.fed_offset - self.line_offset

    def feed(self, chunk: bytes) -> list[LogLine]:
        """The lines that the chunk completes."""
        lines: list[LogLine] = []
        view = self.window + chunk
        shift = len(self.window)
        start, begun = 0, self.pending_bytes > 0
        as_it_is = b"\r" not in chunk and b"\x1b[" not in chunk and b"\0" not in chunk
        while (end := chunk.find(b"\n", start)) >= 0:
            behind = shift + end + 1
            window = view[max(0, behind - HASH_WINDOW_BYTES) : behind]
            text = chunk[start:end]
            if begun:
                self._renderer.add(text)
                text, begun = self._renderer.take(), False
            elif not as_it_is:
                text = render_line(text)
            truncated = len(text) > LINE_LIMIT_BYTES
            if truncated:
                text = text[:LINE_LIMIT_BYTES]
            if not self.line_offset and not start:
                text = text.removeprefix(UTF8_BOM)
            if self._predicate is None or self._predicate(text):
                self.number += 1
                digest = content_hash(window)
                lines.append(
                    LogLine(text, self.number, self.fed_offset + end + 1, digest, truncated)
                )
            start = end + 1
        if start:
            behind = shift + start
            self.line_offset = self.fed_offset + start
            self.line_window = view[max(0, behind - HASH_WINDOW_BYTES) : behind]
        self._renderer.add(chunk[start:])
        self.fed_offset += len(chunk)
        self.window = view[-HASH_WINDOW_BYTES:]
        return lines

    def skip_nuls(self, length: int) -> None:
        """Goes on as if so many NULs had been fed, which a hole of a sparse file is."""
        self._renderer.add(b"\0" * min(length, LINE_LIMIT_BYTES + 1))
        self.fed_offset += length
        self.window = (self.window + b"\0" * min(length, HASH_WINDOW_BYTES))[-HASH_WINDOW_BYTES:]

    @property
    def is_overwritten(self) -> bool:
        """Whether that line has been begun anew by a return."""
        return self._renderer.is_overwritten

    def partial_line(self) -> LogLine | None:
        """The line that has begun, as far as it has come; None if nothing of it is shown."""
        text = self._renderer.text
        if not self.line_offset:
            text = text.removeprefix(UTF8_BOM)
        if not text or (self._predicate is not None and not self._predicate(text)):
            return None
        return make_partial_line(text, self.number + 1, self.fed_offset)

    def flush(self) -> LogLine | None:
        """The line that has begun and will not be ended, where there is one."""
        if not self.pending_bytes:
            return None
        is_hole, text = self._renderer.is_hole, self._renderer.take()
        truncated = len(text) > LINE_LIMIT_BYTES
        text = text[:LINE_LIMIT_BYTES]
        if not self.line_offset:
            text = text.removeprefix(UTF8_BOM)
        self.line_offset, self.line_window = self.fed_offset, self.window
        if is_hole or (self._predicate is not None and not self._predicate(text)):
            return None
        self.number += 1
        digest = content_hash(self.window)
        return LogLine(text, self.number, self.fed_offset, digest, truncated, terminated=False)
