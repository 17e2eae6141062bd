"""Splitter of a log's bytes into numbered lines with their positions."""

import re
from collections.abc import Callable
from typing import NamedTuple

from marianne_stream.wire.cursors import HASH_WINDOW_BYTES, content_hash
from marianne_stream.wire.log_text import UTF8_BOM

# Longer lines are truncated.
LINE_LIMIT_BYTES = 64 * 1024

# Sequences that return to the beginning of a line (ECMA-48): CR, EL 2, CHA to column 1.
RETURN_SEQUENCE = re.compile(rb"\r|\x1b\[2K|\x1b\[[01]?G")
MAX_RETURN_BYTES = 4

# Size of a piece of a line for one call: 16 KiB of carriage returns take 3 ms.
PIECE_BYTES = 16 * 1024


class LogLine(NamedTuple):
    """Line of a log.

    Attributes:
        text: bytes of the line without its end, at most `LINE_LIMIT_BYTES`.
        number: number from 1 on; with a filter, only lines that pass it are counted.
        end: offset behind the line and its end.
        window_hash: hash of the bytes before `end`.
        truncated: whether the line is longer than `text`.
        terminated: whether the line has a newline.
    """

    text: bytes
    number: int
    end: int
    window_hash: int
    truncated: bool = False
    terminated: bool = True

    @property
    def display_text(self) -> str:
        """Text for display: bytes that are not UTF-8 are U+FFFD."""
        text = self.text
        if self.truncated:
            # Leave out a character that was cut in two.
            for back in range(1, min(4, len(text) + 1)):
                if text[-back] >= 0xC0:
                    whole = 2 if text[-back] < 0xE0 else 3 if text[-back] < 0xF0 else 4
                    text = text[:-back] if back < whole else text
                    break
                if text[-back] < 0x80:
                    break
        return text.decode("utf-8", "replace")


def render_line(line: bytes) -> bytes:
    """Return what a terminal finally shows of a line: the text behind its last carriage return.

    Of a line above `PIECE_BYTES`, at most `LINE_LIMIT_BYTES` and a byte are returned. Carriage
    returns at the end (of CR LF) and a hole of NULs at the beginning (of a sparse file) are left
    out.
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
    """Return a block of lines, each as `render_line` returns it."""
    block = block.replace(b"\r\n", b"\n")
    returns = b"\r" in block or (b"\x1b[" in block and RETURN_SEQUENCE.search(block))
    if not returns and b"\0" not in block:
        return block
    return b"\n".join(map(render_line, block.split(b"\n")))


class LineRenderer:
    """Collects the displayed text of a line that comes in pieces, with bounded memory.

    Attributes:
        is_overwritten: whether a piece held a carriage return.
        is_hole: True while only NULs have come.
    """

    is_overwritten = False
    is_hole = True

    def __init__(self) -> None:
        # Text behind the last return, and before it.
        self._current = self._previous = b""
        # End of the last piece, which may be the beginning of a return sequence.
        self._sequence_tail = b""

    @property
    def text(self) -> bytes:
        """Displayed text so far; above `LINE_LIMIT_BYTES`, only its beginning."""
        return self._current or self._previous

    def add(self, piece: bytes) -> None:
        """Add a piece without a newline."""
        self.is_hole = self.is_hole and not piece.lstrip(b"\0")
        joined = self._sequence_tail + piece
        first, *window_end = (
            RETURN_SEQUENCE.split(joined) if b"\r" in joined or b"\x1b[" in joined else [joined]
        )
        self._append(first[len(self._sequence_tail) :])
        if (
            window_end
            and len(first) < len(self._sequence_tail)
            and len(self._current) <= LINE_LIMIT_BYTES
        ):
            # The beginning of the return sequence was taken for text.
            self._current = self._current[: len(first) - len(self._sequence_tail)]
        self.is_overwritten = self.is_overwritten or bool(window_end)
        for part in window_end:
            self._previous, self._current = self.text, b""
            self._append(part)
        tail = (window_end[-1] if window_end else joined)[1 - MAX_RETURN_BYTES :]
        self._sequence_tail = tail if b"\x1b" in tail else b""

    def take(self) -> bytes:
        """Return the displayed text, and begin with the next line."""
        text = self.text
        self._current = self._previous = self._sequence_tail = b""
        self.is_overwritten, self.is_hole = False, True
        return text

    def _append(self, part: bytes) -> None:
        if not self._current:
            part = part.lstrip(b"\0")
        self._current += part[: LINE_LIMIT_BYTES + 1 - len(self._current)]


def make_partial_line(text: bytes, number: int, end: int) -> LogLine:
    """Make a line that has no newline yet. It has no hash, since it is not a position."""
    truncated = len(text) > LINE_LIMIT_BYTES
    return LogLine(text[:LINE_LIMIT_BYTES], number, end, 0, truncated, terminated=False)


LinePredicate = Callable[[bytes], bool]


class LogLineSplitter:
    """Splits bytes of a file, from the beginning of a line on, into lines.

    Only lines that pass `predicate` are counted and returned. `fed_offset` is behind all bytes so
    far, `line_offset` behind the last whole line; `window` and `line_window` are the bytes before
    these offsets, up to `HASH_WINDOW_BYTES`. `number` is that of the last line.
    """

    def __init__(
        self, *, offset: int, number: int, window: bytes, predicate: LinePredicate | None = None
    ) -> None:
        self.fed_offset = self.line_offset = offset
        self.number = number
        self.window = window[-HASH_WINDOW_BYTES:]
        self.line_window = self.window
        self._predicate = predicate
        self._renderer = LineRenderer()

    @property
    def pending_bytes(self) -> int:
        """Number of bytes of an unfinished line."""
        return self.fed_offset - self.line_offset

    def feed(self, chunk: bytes) -> list[LogLine]:
        """Return the lines that a chunk completes."""
        lines: list[LogLine] = []
        view = self.window + chunk
        window_length = len(self.window)
        start, is_continued = 0, self.pending_bytes > 0
        is_plain = b"\r" not in chunk and b"\x1b[" not in chunk and b"\0" not in chunk
        while (end := chunk.find(b"\n", start)) >= 0:
            window_end = window_length + end + 1
            window = view[max(0, window_end - HASH_WINDOW_BYTES) : window_end]
            text = chunk[start:end]
            if is_continued:
                self._renderer.add(text)
                text, is_continued = self._renderer.take(), False
            elif not is_plain:
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
            window_end = window_length + start
            self.line_offset = self.fed_offset + start
            self.line_window = view[max(0, window_end - HASH_WINDOW_BYTES) : window_end]
        self._renderer.add(chunk[start:])
        self.fed_offset += len(chunk)
        self.window = view[-HASH_WINDOW_BYTES:]
        return lines

    def skip_nuls(self, length: int) -> None:
        """Skip a hole of a sparse file, as if its NULs had been fed."""
        self._renderer.add(b"\0" * min(length, LINE_LIMIT_BYTES + 1))
        self.fed_offset += length
        self.window = (self.window + b"\0" * min(length, HASH_WINDOW_BYTES))[-HASH_WINDOW_BYTES:]

    @property
    def is_overwritten(self) -> bool:
        """True if the unfinished line holds a carriage return."""
        return self._renderer.is_overwritten

    def partial_line(self) -> LogLine | None:
        """Return the unfinished line so far, or None if it displays nothing."""
        text = self._renderer.text
        if not self.line_offset:
            text = text.removeprefix(UTF8_BOM)
        if not text or (self._predicate is not None and not self._predicate(text)):
            return None
        return make_partial_line(text, self.number + 1, self.fed_offset)

    def flush(self) -> LogLine | None:
        """Return the unfinished line as the last one, or None."""
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
