"""File of a log, plain or compressed, read through the descriptor that was opened."""

import errno
import os
import threading

from marianne_stream.logs.decompression import DamagedFileError, DecompressedStream, is_compressed
from marianne_stream.logs.read_budget import consume_budget
from marianne_stream.logs.safe_open import OwnedFd
from marianne_stream.wire.cursors import HASH_WINDOW_BYTES, LogCursor, content_hash

BLOCK_BYTES = 1024 * 1024

# Limit of the text of a compressed file, which may expand to anything. The rest is a gap.
TEXT_LIMIT_BYTES = 2 * 1024**3


class TextLimitError(DamagedFileError):
    """The text of the compressed file is longer than `TEXT_LIMIT_BYTES`."""


class LogFile:
    """An open file of a log. Methods block: call them in a thread.

    Attributes:
        key: device and inode, unique as long as the file is open.
        name: name under which the file was opened.
        final_offset: offset at which its follower left the file; None before that.
    """

    compressed = False

    def __init__(self, descriptor: OwnedFd, name: str) -> None:
        self.descriptor = descriptor
        self.name = name
        status = os.fstat(descriptor.fd)
        self.key = (status.st_dev, status.st_ino)
        self.final_offset: int | None = None
        self._first_line_hash = 0

    def stat(self) -> os.stat_result:
        """Return the current file status."""
        return os.fstat(self.descriptor.fd)

    def size(self) -> int:
        """Return the current size in bytes."""
        return self.stat().st_size

    def read(self, offset: int, length: int) -> bytes:
        """Read bytes from an offset on; fewer at the end."""
        data = os.pread(self.descriptor.fd, length, offset)
        consume_budget(len(data))
        return data

    def size_up_to(self, limit: int) -> int | None:
        """Return the current size in bytes, or None if it is above a limit."""
        size = self.size()
        return size if size <= limit else None

    def hole_end(self, offset: int) -> int:
        """Return the end of the hole at an offset of a sparse file; the offset if there is data."""
        try:
            return os.lseek(self.descriptor.fd, offset, os.SEEK_DATA)
        except OSError as error:
            # ENXIO: only a hole follows (lseek(2)). Other errors: a file system without holes.
            return max(offset, self.size()) if error.errno == errno.ENXIO else offset

    def hole_start(self, offset: int) -> int:
        """Return the start of the hole before an offset; the offset if there is data before it."""
        low, high = 0, offset
        while low < high:
            middle = (low + high) // 2
            if self.hole_end(middle) >= offset:
                high = middle
            else:
                low = middle + 1
        return high

    def first_line_hash(self) -> int:
        """Return the hash of the first line or its beginning; 0 while it is unfinished.

        Of a long first line, `HASH_WINDOW_BYTES` are hashed.
        """
        if not self._first_line_hash:
            head = self.read(0, HASH_WINDOW_BYTES)
            end = head.find(b"\n")
            if end >= 0 or len(head) == HASH_WINDOW_BYTES:
                self._first_line_hash = content_hash(head[: end + 1] if end >= 0 else head)
        return self._first_line_hash

    def window_before(self, offset: int) -> bytes:
        """Return the bytes before an offset that a cursor hashes."""
        start = max(0, offset - HASH_WINDOW_BYTES)
        return self.read(start, offset - start)

    def matches(self, cursor: LogCursor) -> bool:
        """Return whether a cursor behind a line is a position in this file.

        For a compressed file this reads up to the cursor's offset.
        """
        return self.find_window(cursor) is not None

    def find_window(self, cursor: LogCursor) -> bytes | None:
        """Return the bytes before a cursor that its hash is of; None if `matches` is false.

        Read once more, they may be others: a file may be truncated at any time.
        """
        try:
            if (
                cursor.first_line_hash
                and cursor.first_line_hash != self.refreshed().first_line_hash()
            ):
                return None
            window = self.window_before(cursor.offset)
        except DamagedFileError:
            return None
        if len(window) != min(cursor.offset, HASH_WINDOW_BYTES):
            return None
        if not cursor.unterminated and not window.endswith(b"\n"):
            return None
        return window if content_hash(window) == cursor.window_hash else None

    def refreshed(self) -> "LogFile":
        """Return the same file without cached values: it may have been truncated."""
        self._first_line_hash = 0
        return self


class CompressedLogFile(LogFile):
    """A compressed file. Offsets are those of the text; going back reads from the beginning.

    Safe to use in several threads.
    """

    compressed = True

    def __init__(self, descriptor: OwnedFd, name: str) -> None:
        super().__init__(descriptor, name)
        self._lock = threading.Lock()
        self._restart()

    def size(self) -> int:
        """Return the size of the text, which takes reading all of it. Raises as `read` does."""
        return self.size_up_to(TEXT_LIMIT_BYTES) or 0

    def size_up_to(self, limit: int) -> int | None:
        """Return the size of the text, or None if it is above a limit. Raises as `read` does."""
        with self._lock:
            self._skip_to(limit + 1)
            return self._offset if self._offset <= limit else None

    def hole_end(self, offset: int) -> int:
        """Return the offset: text has no holes."""
        return offset

    def read(self, offset: int, length: int) -> bytes:
        """Read bytes of the text from an offset on; fewer at the end.

        Raises:
            DamagedFileError: the file is damaged or incomplete, or its text is too long.
        """
        with self._lock:
            if offset < self._offset:
                self._restart()
            self._skip_to(offset)
            return self._read_next(length) if self._offset == offset else b""

    def _skip_to(self, offset: int) -> None:
        """Read up to an offset of the text, or its end. Can be stopped between blocks."""
        while self._offset < offset and self._read_next(min(BLOCK_BYTES, offset - self._offset)):
            pass

    def _read_next(self, length: int) -> bytes:
        """Return the next bytes of the text, or b"" at its end."""
        if self._offset >= TEXT_LIMIT_BYTES:
            raise TextLimitError(f"the text is longer than {TEXT_LIMIT_BYTES} bytes")
        try:
            data = self._stream.read(length)
        except BaseException:
            # Text is lost that was decompressed for a call that was stopped: the position in the
            # stream is unknown, and other readers share it.
            self._restart()
            raise
        self._offset += len(data)
        consume_budget(len(data))
        return data

    def _restart(self) -> None:
        """Begin at the beginning of the text again."""
        self._stream = DecompressedStream(self.descriptor, self.name)
        self._offset = 0


def make_log_file(descriptor: OwnedFd, name: str) -> LogFile:
    """Make the file of a descriptor, compressed or plain by its name."""
    return CompressedLogFile(descriptor, name) if is_compressed(name) else LogFile(descriptor, name)
