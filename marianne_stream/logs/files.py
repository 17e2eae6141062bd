"""One generation of a log, plain or compressed, read through the descriptor that was opened.

It must not know the other generations, or what the lines mean.
"""

import gzip
import os
import threading
import zlib

from marianne_stream.logs.opening import Descriptor
from marianne_stream.wire.cursors import WINDOW_BYTES, LogCursor, fingerprint

BLOCK_BYTES = 1024 * 1024

# What reading a compressed file that is damaged, or still being written, fails with.
BROKEN = (EOFError, gzip.BadGzipFile, zlib.error)


class LogFile:
    """A file as it was opened. Its methods block: they belong in a thread.

    Args:
        descriptor: the open file.
        name: what it was called when it was opened.

    Attributes:
        key: device and inode: while it is open, no other file has them.
        name: what it was called.
        left_at: where the one who followed it left it, once that is so.
    """

    compressed = False

    def __init__(self, descriptor: Descriptor, name: str) -> None:
        self.descriptor = descriptor
        self.name = name
        status = os.fstat(descriptor.number)
        self.key = (status.st_dev, status.st_ino)
        self.left_at: int | None = None
        self._first = 0

    def status(self) -> os.stat_result:
        """What the file system says of it now."""
        return os.fstat(self.descriptor.number)

    def size(self) -> int:
        """How many bytes it holds now."""
        return self.status().st_size

    def read(self, offset: int, length: int) -> bytes:
        """So many bytes from an offset on; fewer at the end."""
        return os.pread(self.descriptor.number, length, offset)

    def first(self) -> int:
        """The fingerprint of the first line, or of its beginning; 0 while it has not ended."""
        if not self._first:
            head = self.read(0, WINDOW_BYTES)
            end = head.find(b"\n")
            if end >= 0 or len(head) == WINDOW_BYTES:
                self._first = fingerprint(head[: end + 1] if end >= 0 else head)
        return self._first

    def window(self, offset: int) -> bytes:
        """The bytes before an offset, as many as a cursor goes by."""
        start = max(0, offset - WINDOW_BYTES)
        return self.read(start, offset - start)

    def fits(self, cursor: LogCursor) -> bool:
        """Whether this is the file that a cursor behind a line is a position in.

        Blocks for as long as reading up to the cursor takes, where the file is compressed.
        """
        try:
            if cursor.first and cursor.first != self.fresh().first():
                return False
            window = self.window(cursor.offset)
        except BROKEN:
            return False
        if len(window) != min(cursor.offset, WINDOW_BYTES):
            return False
        if not cursor.unterminated and not window.endswith(b"\n"):
            return False
        return fingerprint(window) == cursor.digest

    def fresh(self) -> "LogFile":
        """The same with nothing remembered: the file may have been cut since."""
        self._first = 0
        return self


class CompressedFile(LogFile):
    """A gzipped generation. Offsets are those of the text; reading backwards begins again.

    Not for two threads at once, which a lock sees to.
    """

    compressed = True

    def __init__(self, descriptor: Descriptor, name: str) -> None:
        super().__init__(descriptor, name)
        raw = os.fdopen(os.dup(descriptor.number), "rb")
        raw.seek(0)
        self._raw = raw
        self._text = gzip.GzipFile(fileobj=raw)
        self._lock = threading.Lock()
        self._size: int | None = None

    def __del__(self) -> None:
        self._text.close()
        self._raw.close()

    def size(self) -> int:
        """The size of the text, which is found by reading all of it once."""
        if self._size is None:
            with self._lock:
                size = self._text.tell()
                while block := self._text.read(BLOCK_BYTES):
                    size += len(block)
                self._size = size
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """So many bytes of the text from an offset on; fewer at the end.

        Raises:
            EOFError, BadGzipFile, zlib.error: it is not whole.
        """
        with self._lock:
            self._text.seek(offset)
            return self._text.read(length)


def opened(descriptor: Descriptor, name: str) -> LogFile:
    """The file behind a descriptor, by the form that its name tells."""
    return CompressedFile(descriptor, name) if name.endswith(".gz") else LogFile(descriptor, name)
