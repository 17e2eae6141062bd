"""Splitter of a byte stream into lines."""


class LineTooLongError(ValueError):
    """The line is longer than the limit, so the stream cannot be split any more."""


class LineSplitter:
    """Splits a stream of bytes at its newlines, which do not count for the limit."""

    def __init__(self, *, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._pieces: list[bytes] = []
        self._buffered_bytes = 0

    @property
    def pending_bytes(self) -> int:
        """Number of bytes of an unfinished line."""
        return self._buffered_bytes

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that a chunk completes, without their newlines.

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
