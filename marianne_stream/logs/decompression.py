"""Decompression of gzip, bzip2 and xz files.

Reading blocks. Compressed bytes count against the read budget of the call.
"""

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable
from functools import partial

from marianne_stream.logs.read_budget import consume_budget
from marianne_stream.logs.safe_open import OwnedFd

# An xz file states the memory that it needs: `xz -9` needs 65 MiB.
XZ_MEMORY_BYTES = 100 * 1024 * 1024

INPUT_BUFFER_BYTES = 64 * 1024


class DamagedFileError(Exception):
    """The compressed file is damaged, incomplete, or needs too much memory."""


Decompressor = bz2.BZ2Decompressor | lzma.LZMADecompressor


class BudgetedInput(io.RawIOBase):
    """Raw input from an open file. Leaves the file's offset alone and counts each read."""

    def __init__(self, descriptor: OwnedFd) -> None:
        self._descriptor = descriptor
        self._offset = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Read into a buffer. Raises as `consume_budget` does."""
        length = os.preadv(self._descriptor.fd, [buffer], self._offset)
        self._offset += length
        consume_budget(length)
        return length


class ConcatenatedStream:
    """Text of a file of one or several compressed streams in a row."""

    def __init__(
        self, source: io.BufferedReader, make_decompressor: Callable[[], Decompressor]
    ) -> None:
        self._source = source
        self._make_decompressor = make_decompressor
        self._decompressor = make_decompressor()
        self._has_input = False

    def read(self, length: int) -> bytes:
        """Read the next bytes; fewer at the end."""
        pieces = []
        while length and (piece := self._read_next(length)):
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)

    def _read_next(self, length: int) -> bytes:
        """Return some bytes, or b"" at the end."""
        while True:
            data = b""
            if self._decompressor.eof:
                # xz allows NULs between streams.
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


TextStream = gzip.GzipFile | ConcatenatedStream


# By the ending of the file name.
STREAM_FACTORIES: dict[str, Callable[[io.BufferedReader], TextStream]] = {
    ".gz": lambda source: gzip.GzipFile(fileobj=source, mode="rb"),
    ".bz2": lambda source: ConcatenatedStream(source, bz2.BZ2Decompressor),
    ".xz": lambda source: ConcatenatedStream(
        source, partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)
    ),
}


def is_compressed(name: str) -> bool:
    """Return whether the name of a file has the ending of a compressed one."""
    return name.endswith(tuple(STREAM_FACTORIES))


class DecompressedStream:
    """Decompressed text of a file, from its beginning, read in order."""

    def __init__(self, descriptor: OwnedFd, name: str) -> None:
        make = next(make for ending, make in STREAM_FACTORIES.items() if name.endswith(ending))
        self._text = make(io.BufferedReader(BudgetedInput(descriptor), INPUT_BUFFER_BYTES))

    def read(self, length: int) -> bytes:
        """Read the next bytes; fewer at the end.

        Raises:
            DamagedFileError: the file cannot be decompressed.
        """
        try:
            return self._text.read(length)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                # Not about the content: the file cannot be read.
                raise
            raise DamagedFileError(str(error)) from error
