"""Bytes that arrive in any pieces, as lines. Pure: it must not know what a line means."""


class LineTooLongError(ValueError):
    """A line is longer than the limit: what follows cannot be told apart from it."""


class LineSplitter:
    """Cuts a stream of bytes at its newlines.

    Args:
        limit_bytes: the longest line that is taken, its newline not counted.
    """

    def __init__(self, *, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._pieces: list[bytes] = []
        self._buffered_bytes = 0

    @property
    def pending_bytes(self) -> int:
        """How much of a line has arrived whose end has not."""
        return self._buffered_bytes

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that the chunk completes, without their newlines.

        Raises:
            LineTooLongError: a line is longer than the limit.
        """
        *lines, rest = chunk.split(b"\n")
        if lines:
            lines[0] = b"".join((*self._pieces, lines[0]))
            self._pieces, self._buffered_bytes = [], 0
        if rest:
            self._pieces.append(rest)
            self._buffered_bytes += len(rest)
        longest = max(map(len, lines), default=0)
        if max(longest, self._buffered_bytes) > self._limit_bytes:
            raise LineTooLongError(f"a line is longer than {self._limit_bytes} bytes")
        return lines
