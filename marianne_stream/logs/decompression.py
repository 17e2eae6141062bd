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

from marianne_stream.logs.read_budget import consume_budget
from marianne_stream.logs.safe_open import OwnedFd

# An xz file names the memory that it needs: `xz -9` needs 65 MiB.
XZ_MEMORY_BYTES = 100 * 1024 * 1024

INPUT_BUFFER_BYTES = 64 * 1024


class DamagedFileError(Exception):
    """A compressed file is damaged, not whole yet, or needs too much memory."""


class DecompressedStream(Protocol):
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


class BudgetedInput(io.RawIOBase):
    """An open file, read from its beginning without its own offset; each read is counted."""

    def __init__(self, descriptor: OwnedFd) -> None:
        self._descriptor = descriptor
        self._offset = 0

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Reads into a buffer; raises as `consume_budget` does."""
        length = os.preadv(self._descriptor.fd, [buffer], self._offset)
        self._offset += length
        consume_budget(length)
        return length


class GzipStream:
    """The text of a gzip file of one member or several."""

    def __init__(self, source: io.BufferedReader) -> None:
        self._file = gzip.GzipFile(fileobj=source, mode="rb")

    def read(self, length: int) -> bytes:
        """So many bytes; fewer at the end."""
        try:
            return self._file.read(length)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DamagedFileError(str(error)) from error


class ConcatenatedStream:
    """The text of a file of one compressed stream or several, one behind the other.

    Args:
        source: the file.
        make_decompressor: makes a decompressor for the next stream.
    """

    def __init__(
        self, source: io.BufferedReader, make_decompressor: Callable[[], Decompressor]
    ) -> None:
        self._source = source
        self._make_decompressor = make_decompressor
        self._decompressor = make_decompressor()
        self._has_input = False

    def read(self, length: int) -> bytes:
        """So many bytes; fewer at the end."""
        try:
            pieces = []
            while length and (piece := self._read_next(length)):
                pieces.append(piece)
                length -= len(piece)
            return b"".join(pieces)
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise DamagedFileError(str(error)) from error

    def _read_next(self, length: int) -> bytes:
        """Some bytes; none at the end."""
        while True:
            data = b""
            if self._decompressor.eof:
                # Between streams of xz, there may be NULs.
                data = (
                    self._decompressor.unused_data or self._source.read(INPUT_BUFFER_BYTES)
                ).lstrip(b"\0")
                if not data and not self._source.peek(1):
                    return b""
                self._decompressor, self._has_input = self._make_decompressor(), False
            elif self._decompressor.needs_input:
                data = self._source.read(INPUT_BUFFER_BYTES)
                if not data:
                    if self._has_input:
                        raise EOFError("the file ends within a stream")
                    return b""
            self._has_input = self._has_input or bool(data)
            if piece := self._decompressor.decompress(data, length):
                return piece


def make_xz_decompressor() -> Decompressor:
    """A decompressor of one xz stream."""
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)


# By the endings of their names.
STREAM_FACTORIES: dict[str, Callable[[io.BufferedReader], DecompressedStream]] = {
    ".gz": GzipStream,
    ".bz2": lambda source: ConcatenatedStream(source, bz2.BZ2Decompressor),
    ".xz": lambda source: ConcatenatedStream(source, make_xz_decompressor),
}


def is_compressed(name: str) -> bool:
    """Whether the name of a file says that it is compressed."""
    return name.endswith(tuple(STREAM_FACTORIES))


def open_decompressed(descriptor: OwnedFd, name: str) -> DecompressedStream:
    """The text of a compressed file, from its beginning."""
    make = next(make for ending, make in STREAM_FACTORIES.items() if name.endswith(ending))
    return make(io.BufferedReader(BudgetedInput(descriptor), INPUT_BUFFER_BYTES))
