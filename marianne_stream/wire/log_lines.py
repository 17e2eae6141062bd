"""The bytes of a log, in any pieces, as numbered lines with their positions. Pure."""

from collections.abc import Callable
from typing import NamedTuple

from marianne_stream.wire.cursors import WINDOW_BYTES, fingerprint

# A line longer than this is cut.
LINE_LIMIT_BYTES = 64 * 1024


class LogLine(NamedTuple):
    """One line of a log.

    Attributes:
        text: the line without its end, in bytes; at most `LINE_LIMIT_BYTES`.
        number: counts from 1; behind a selection, the selected lines only.
        end: the offset in the file behind the line and its end.
        digest: the fingerprint of the bytes before `end`.
        truncated: whether the line is longer than `text`.
        terminated: whether it ended in a newline.
    """

    text: bytes
    number: int
    end: int
    digest: int
    truncated: bool = False
    terminated: bool = True

    @property
    def shown(self) -> str:
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


Selects = Callable[[bytes], bool]


class LineCutter:
    """Cuts what is read from a file, from an offset on, into lines.

    Args:
        offset: where in the file the first byte that will be fed stands: behind a line end.
        number: the number of the line before.
        window: the bytes before the offset, up to `WINDOW_BYTES`.
        selects: which lines count and are given; all where it is None.

    Attributes:
        scanned: the offset behind all that was fed.
        position: the offset behind the last whole line.
        number: the number of the last line.
        window: the bytes before `scanned`.
    """

    def __init__(
        self, *, offset: int, number: int, window: bytes, selects: Selects | None = None
    ) -> None:
        self.scanned = self.position = offset
        self.number = number
        self.window = window[-WINDOW_BYTES:]
        # The bytes before `position`.
        self.line_window = self.window
        self._selects = selects
        self._head = b""
        self._length = 0

    @property
    def pending_bytes(self) -> int:
        """How much of a line has been fed whose end has not."""
        return self._length

    def feed(self, chunk: bytes) -> list[LogLine]:
        """The lines that the chunk completes."""
        lines: list[LogLine] = []
        view = self.window + chunk
        shift = len(self.window)
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            behind = shift + end + 1
            window = view[max(0, behind - WINDOW_BYTES) : behind]
            if self._length or end - start > LINE_LIMIT_BYTES:
                self._take(chunk[start : min(end, start + LINE_LIMIT_BYTES + 2)], end - start)
                text, truncated = self._taken()
            else:
                # As nearly all are, and there may be very many: at once.
                text, truncated = chunk[start:end].removesuffix(b"\r"), False
            if self._selects is None or self._selects(text):
                self.number += 1
                digest = fingerprint(window)
                lines.append(LogLine(text, self.number, self.scanned + end + 1, digest, truncated))
            start = end + 1
        if start:
            behind = shift + start
            self.position = self.scanned + start
            self.line_window = view[max(0, behind - WINDOW_BYTES) : behind]
        rest = len(chunk) - start
        self._take(chunk[start : start + LINE_LIMIT_BYTES + 2], rest)
        self.scanned += len(chunk)
        self.window = view[-WINDOW_BYTES:]
        return lines

    def skip_nuls(self, length: int) -> None:
        """Goes on as if so many NULs had been fed, which a hole of a sparse file is."""
        self._take(b"\0" * min(length, LINE_LIMIT_BYTES + 2), length)
        self.scanned += length
        self.window = (self.window + b"\0" * min(length, WINDOW_BYTES))[-WINDOW_BYTES:]

    def finish(self) -> LogLine | None:
        """The line that has begun and will not be ended, where there is one."""
        if not self._length:
            return None
        self.position, self.line_window = self.scanned, self.window
        text, truncated = self._taken(terminated=False)
        if self._selects is not None and not self._selects(text):
            return None
        self.number += 1
        digest = fingerprint(self.window)
        return LogLine(text, self.number, self.scanned, digest, truncated, terminated=False)

    def _take(self, piece: bytes, length: int) -> None:
        """Adds to the line that has begun; no more of it is kept than is shown."""
        room = LINE_LIMIT_BYTES + 2 - len(self._head)
        self._head += piece[:room] if room > 0 else b""
        self._length += length

    def _taken(self, *, terminated: bool = True) -> tuple[bytes, bool]:
        """The line that has begun, which ends here, and whether it is cut."""
        text, length = self._head, self._length
        self._head, self._length = b"", 0
        return shortened(text, length, terminated=terminated)


def shortened(text: bytes, length: int, *, terminated: bool) -> tuple[bytes, bool]:
    """A line as it is given, and whether it was cut.

    Args:
        text: the line without its newline; where it is too long, two bytes more than are given.
        length: how long it is.
        terminated: whether a newline follows.
    """
    # One `\r` before the newline belongs to the line's end.
    if terminated and length == len(text) and text.endswith(b"\r"):
        text, length = text[:-1], length - 1
    return text[:LINE_LIMIT_BYTES], length > LINE_LIMIT_BYTES
