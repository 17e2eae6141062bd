"""The text of compressed files: gzip, bzip2 and xz.

It blocks; what is read of a file counts against the bound of the call.
"""

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable
from typing import Protocol

from marianne_stream.logs.bounds import count_read
from marianne_stream.logs.opening import Descriptor

# An xz file names the memory that it needs: `xz -9` needs 65 MiB.
XZ_MEMORY_BYTES = 100 * 1024 * 1024

INPUT_BYTES = 64 * 1024


class DamagedFileError(Exception):
    """A compressed file is damaged, not whole yet, or needs too much memory."""


class Text(Protocol):
    """The text of a file, in its order."""

    def read(self, length: int) -> bytes:
        """So many bytes; fewer at the end.

        Raises:
            DamagedFileError: they cannot be read.
        """
        ...


class Decompressor(Protocol):
    """A decompressor of one stream, as `bz2` and `lzma` have them."""

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether more input is needed before there is more output."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What follows the stream."""
        ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Takes input, and returns so much of the output at most."""
        ...


class CountedInput(io.RawIOBase):
    """An open file, read from its beginning without its own offset; each read is counted."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._descriptor = descriptor
        self._offset = 0

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Reads into a buffer; raises as `count_read` does."""
        length = os.preadv(self._descriptor.number, [buffer], self._offset)
        self._offset += length
        count_read(length)
        return length


class GzipText:
    """The text of a gzip file of one member or several."""

    def __init__(self, source: io.BufferedReader) -> None:
        self._file = gzip.GzipFile(fileobj=source, mode="rb")

    def read(self, length: int) -> bytes:
        """So many bytes; fewer at the end."""
        try:
            return self._file.read(length)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DamagedFileError(str(error)) from error


class StreamsText:
    """The text of a file of one compressed stream or several, one behind the other.

    Args:
        source: the file.
        make: makes a decompressor for the next stream.
    """

    def __init__(self, source: io.BufferedReader, make: Callable[[], Decompressor]) -> None:
        self._source = source
        self._make = make
        self._stream = make()
        self._has_begun = False

    def read(self, length: int) -> bytes:
        """So many bytes; fewer at the end."""
        try:
            pieces = []
            while length and (piece := self._next(length)):
                pieces.append(piece)
                length -= len(piece)
            return b"".join(pieces)
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise DamagedFileError(str(error)) from error

    def _next(self, length: int) -> bytes:
        """Some bytes; none at the end."""
        while True:
            data = b""
            if self._stream.eof:
                # Between streams of xz, there may be NULs.
                data = (self._stream.unused_data or self._source.read(INPUT_BYTES)).lstrip(b"\0")
                if not data and not self._source.peek(1):
                    return b""
                self._stream, self._has_begun = self._make(), False
            elif self._stream.needs_input:
                data = self._source.read(INPUT_BYTES)
                if not data:
                    if self._has_begun:
                        raise EOFError("the file ends within a stream")
                    return b""
            self._has_begun = self._has_begun or bool(data)
            if piece := self._stream.decompress(data, length):
                return piece


def xz_decompressor() -> Decompressor:
    """A decompressor of one xz stream."""
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)


# By the endings of their names.
TEXTS: dict[str, Callable[[io.BufferedReader], Text]] = {
    ".gz": GzipText,
    ".bz2": lambda source: StreamsText(source, bz2.BZ2Decompressor),
    ".xz": lambda source: StreamsText(source, xz_decompressor),
}


def is_compressed(name: str) -> bool:
    """Whether the name of a file says that it is compressed."""
    return name.endswith(tuple(TEXTS))


def text_of(descriptor: Descriptor, name: str) -> Text:
    """The text of a compressed file, from its beginning."""
    make = next(make for ending, make in TEXTS.items() if name.endswith(ending))
    return make(io.BufferedReader(CountedInput(descriptor), INPUT_BYTES))
