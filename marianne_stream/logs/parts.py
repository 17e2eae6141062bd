"""A log at one moment, and its text up to there, a block at a time. The texts block."""

from dataclasses import dataclass
from functools import partial
from typing import Protocol

from marianne_stream.logs.blocks import BlocksFrom
from marianne_stream.logs.files import LogFile
from marianne_stream.logs.index import Selection
from marianne_stream.logs.opened import OpenLog
from marianne_stream.logs.reader import Position

TEXT_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class LogSummary:
    """What a log is at one moment.

    Attributes:
        end: the position behind its last whole line.
        size_bytes: of what is given of it.
        file_bytes: of the file.
        lines: how many there are, one without a newline at the end among them.
        modified_s: when it was written last, in seconds of the epoch.
        cursor: its end, for a client.
    """

    end: Position
    size_bytes: int
    file_bytes: int
    lines: int
    modified_s: float
    cursor: str


async def summary_of(log: OpenLog) -> LogSummary:
    """What a log is now. Counts what has not been counted.

    Raises:
        LogNotFoundError: it is not there.
        LogForbiddenError: it may not be read.
    """
    end = await log.end()
    return await log.threads.index(partial(summarize, log, end))


def summarize(log: OpenLog, end: Position) -> LogSummary:
    """What a log is whose end is known."""
    status = end.file.status()
    file_bytes = max(status.st_size, end.offset)
    lines = end.number
    if log.selection is None:
        size = file_bytes
        lines += file_bytes > end.offset
    else:
        text = SelectedText(log.selection, end)
        size = 0
        while block := text.next():
            size += len(block)
    cursor = str(end.cursor())
    return LogSummary(end, size, file_bytes, lines, status.st_mtime, cursor)


class Text(Protocol):
    """The text of a log, a block at a time.

    Attributes:
        size_bytes: how many bytes all blocks hold, unless the file is cut.
    """

    size_bytes: int

    def next(self) -> bytes:
        """The next block; empty at the end."""
        ...


class FileText:
    """The bytes of a file between two offsets.

    Args:
        file: the file.
        start: the offset of the first byte.
        upto: the offset behind the last.
    """

    def __init__(self, file: LogFile, start: int, upto: int) -> None:
        self._file = file
        self._offset = start
        self._upto = upto
        self.size_bytes = upto - start

    def next(self) -> bytes:
        """The next block; empty at the end, or where the file was cut meanwhile."""
        block = self._file.read(self._offset, min(TEXT_BYTES, self._upto - self._offset))
        self._offset += len(block)
        return block


class SelectedText:
    """The lines of a file that count.

    Args:
        selection: says which do.
        end: how far the text goes.
        size_bytes: how many bytes these lines hold; 0 where that is to be found out.
    """

    def __init__(self, selection: Selection, end: Position, size_bytes: int = 0) -> None:
        self.size_bytes = size_bytes
        self._selection = selection
        self._blocks = iter(BlocksFrom(end.file, 0, b"", end.offset))

    def next(self) -> bytes:
        """The lines of the next block that has any; empty at the end."""
        for block in self._blocks:
            if chosen := self._selection.in_block(block.text):
                lines = block.text.split(b"\n")
                return b"".join(lines[ordinal] + b"\n" for ordinal in chosen)
        return b""
