"""Positions in a log, behind a line."""

from dataclasses import dataclass, field

from marianne_stream.logs.log_file import LogFile
from marianne_stream.wire.cursors import HASH_WINDOW_BYTES, LogCursor, content_hash


@dataclass(frozen=True, slots=True)
class Position:
    """Position behind a line of a log.

    Attributes:
        file: the file.
        offset: offset behind the line.
        number: number of the line.
        window: bytes before the offset that a cursor hashes.
        unterminated: whether the line has no newline.
        previous: at offset 0, the file before this one and its end, since no bytes identify the
            file.
    """

    file: LogFile
    offset: int
    number: int
    window: bytes = field(repr=False)
    unterminated: bool = False
    previous: tuple[LogFile, LogCursor | None] | None = field(default=None, repr=False)

    def is_same_position(self, other: "Position") -> bool:
        """Return whether two positions are the same, through whatever descriptors."""
        if self.file.key != other.file.key or self.offset != other.offset:
            return False
        if self.offset:
            return self.window == other.window
        return self.file is other.file or self.previous_end == other.previous_end

    def is_in_file(self) -> bool:
        """Return whether the file still holds the bytes before the position. Blocks.

        A file that was truncated just before the position was made holds fewer bytes.
        """
        window = self.file.window_before(self.offset)
        return window == self.window and len(window) == min(self.offset, HASH_WINDOW_BYTES)

    @property
    def previous_end(self) -> LogCursor | None:
        """End of the file before this one; known at offset 0 only."""
        return self.previous[1] if self.previous is not None else None

    def make_cursor(self) -> LogCursor:
        """Return the cursor of the position. Blocks until the first line is known."""
        if not self.offset:
            written = self.file.stat().st_mtime_ns
            return LogCursor(self.file.key[1], 0, 0, self.number, written)
        return LogCursor(
            self.file.key[1],
            self.file.first_line_hash(),
            self.offset,
            self.number,
            content_hash(self.window),
            self.unterminated,
        )
