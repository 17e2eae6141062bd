"""One generation of a log, plain or compressed, read through the descriptor that was opened.

It must not know the other generations, or what the lines mean.
"""

import errno
import os
import threading

from marianne_stream.logs.decompression import DamagedFileError, is_compressed, open_decompressed
from marianne_stream.logs.read_budget import consume_budget
from marianne_stream.logs.safe_open import OwnedFd
from marianne_stream.wire.cursors import HASH_WINDOW_BYTES, LogCursor, content_hash

BLOCK_BYTES = 1024 * 1024

# A compressed file may expand to anything; so much of its text is read, and the rest is a gap.
TEXT_LIMIT_BYTES = 2 * 1024**3


class TextLimitError(DamagedFileError):
    """The text of a compressed file is longer than what is read of one."""


class LogFile:
    """A file as it was opened. Its methods block: they belong in a thread.

    Args:
        descriptor: the open file.
        name: what it was called when it was opened.

    Attributes:
        key: device and inode: while it is open, no other file has them.
        name: what it was called.
        final_offset: where the one who followed it left it, once that is so.
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
        """What the file system says of it now."""
        return os.fstat(self.descriptor.fd)

    def size(self) -> int:
        """How many bytes it holds now."""
        return self.stat().st_size

    def read(self, offset: int, length: int) -> bytes:
        """So many bytes from an offset on; fewer at the end."""
        data = os.pread(self.descriptor.fd, length, offset)
        consume_budget(len(data))
        return data

    def size_up_to(self, limit: int) -> int | None:
        """How many bytes it holds now, or None if they are more than a limit."""
        size = self.size()
        return size if size <= limit else None

    def hole_end(self, offset: int) -> int:
        """Where the hole at an offset of a sparse file ends; the offset itself if it is data."""
        try:
            return os.lseek(self.descriptor.fd, offset, os.SEEK_DATA)
        except OSError as error:
            # Nothing but a hole follows (lseek(2)). Other file systems know no holes.
            return max(offset, self.size()) if error.errno == errno.ENXIO else offset

    def hole_start(self, offset: int) -> int:
        """Where the hole before an offset begins; the offset itself if data is before it."""
        low, high = 0, offset
        while low < high:
            middle = (low + high) // 2
            if self.hole_end(middle) >= offset:
                high = middle
            else:
                low = middle + 1
        return high

    def first_line_hash(self) -> int:
        """The fingerprint of the first line, or of its beginning; 0 while it has not ended."""
        if not self._first_line_hash:
            head = self.read(0, HASH_WINDOW_BYTES)
            end = head.find(b"\n")
            if end >= 0 or len(head) == HASH_WINDOW_BYTES:
                self._first_line_hash = content_hash(head[: end + 1] if end >= 0 else head)
        return self._first_line_hash

    def window_before(self, offset: int) -> bytes:
        """The bytes before an offset, as many as a cursor goes by."""
        start = max(0, offset - HASH_WINDOW_BYTES)
        return self.read(start, offset - start)

    def matches(self, cursor: LogCursor) -> bool:
        """Whether this is the file that a cursor behind a line is a position in.

        Blocks for as long as reading up to the cursor takes, where the file is compressed.
        """
        try:
            if (
                cursor.first_line_hash
                and cursor.first_line_hash != self.refreshed().first_line_hash()
            ):
                return False
            window = self.window_before(cursor.offset)
        except DamagedFileError:
            return False
        if len(window) != min(cursor.offset, HASH_WINDOW_BYTES):
            return False
        if not cursor.unterminated and not window.endswith(b"\n"):
            return False
        return content_hash(window) == cursor.window_hash

    def refreshed(self) -> "LogFile":
        """The same with nothing remembered: the file may have been cut since."""
        self._first_line_hash = 0
        return self


class CompressedLogFile(LogFile):
    """A compressed generation. Offsets are those of the text; reading backwards begins again.

    Not for two threads at once, which a lock sees to.
    """

    compressed = True

    def __init__(self, descriptor: OwnedFd, name: str) -> None:
        super().__init__(descriptor, name)
        self._stream = open_decompressed(descriptor, name)
        self._lock = threading.Lock()
        self._offset = 0

    def size(self) -> int:
        """The size of the text, which is found by reading all of it; raises as `read` does."""
        return self.size_up_to(TEXT_LIMIT_BYTES) or 0

    def size_up_to(self, limit: int) -> int | None:
        """The size of the text, or None if it is more than a limit; raises as `read` does."""
        with self._lock:
            self._skip_to(limit + 1)
            return self._offset if self._offset <= limit else None

    def hole_end(self, offset: int) -> int:
        """A text has no holes."""
        return offset

    def read(self, offset: int, length: int) -> bytes:
        """So many bytes of the text from an offset on; fewer at the end.

        Raises:
            DamagedFileError: it is not whole, or its text is longer than what is read of one.
        """
        with self._lock:
            if offset < self._offset:
                self._stream = open_decompressed(self.descriptor, self.name)
                self._offset = 0
            self._skip_to(offset)
            return self._read_next(length) if self._offset == offset else b""

    def _skip_to(self, offset: int) -> None:
        """Reads up to an offset of the text, or its end; it can be stopped between blocks."""
        while self._offset < offset and self._read_next(min(BLOCK_BYTES, offset - self._offset)):
            pass

    def _read_next(self, length: int) -> bytes:
        """The next bytes of the text; none at its end."""
        if self._offset >= TEXT_LIMIT_BYTES:
            raise TextLimitError(f"the text is longer than {TEXT_LIMIT_BYTES} bytes")
        data = self._stream.read(length)
        self._offset += len(data)
        consume_budget(len(data))
        return data


def make_log_file(descriptor: OwnedFd, name: str) -> LogFile:
    """The file behind a descriptor, by the form that its name tells."""
    return CompressedLogFile(descriptor, name) if is_compressed(name) else LogFile(descriptor, name)
