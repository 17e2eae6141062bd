"""A log at one moment, and its text up to there, a block at a time. The texts block."""

from dataclasses import dataclass
from functools import partial
from typing import Protocol

from marianne_stream.logs.blocks import ForwardBlocks
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_file import LogFile
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.logs.log_reader import Position

READ_BLOCK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class LogSummary:
    """What a log is at one moment.

    Attributes:
        end: the position behind its last whole line.
        size_bytes: of what is given of it.
        file_bytes: of the file.
        line_count: how many there are, one without a newline at the end among them.
        modified_s: when it was written last, in seconds of the epoch.
        cursor: its end, for a client.
    """

    end: Position
    size_bytes: int
    file_bytes: int
    line_count: int
    modified_s: float
    cursor: str


async def summarize_log(log: LogHandle) -> LogSummary:
    """What a log is now. Counts what has not been counted.

    Raises:
        LogNotFoundError: it is not there.
        LogForbiddenError: it may not be read.
    """
    end = await log.find_end()
    return await log.threads.index(partial(summarize_at, log, end))


def summarize_at(log: LogHandle, end: Position) -> LogSummary:
    """What a log is whose end is known."""
    status = end.file.stat()
    file_bytes = max(status.st_size, end.offset)
    lines = end.number
    if log.job_filter is None:
        size = file_bytes
        lines += file_bytes > end.offset
    else:
        text = FilteredBlockReader(log.job_filter, end)
        size = 0
        while block := text.read_block():
            size += len(block)
    cursor = str(end.make_cursor())
    return LogSummary(end, size, file_bytes, lines, status.st_mtime, cursor)


class BlockReader(Protocol):
    """The text of a log, a block at a time.

    Attributes:
        size_bytes: how many bytes all blocks hold, unless the file is cut.
    """

    size_bytes: int

    def read_block(self) -> bytes:
        """The next block; empty at the end."""
        ...


class FileBlockReader:
    """The bytes of a file between two offsets.

    Args:
        file: the file.
        start: the offset of the first byte.
        end_offset: the offset behind the last.
    """

    def __init__(self, file: LogFile, start: int, end_offset: int) -> None:
        self._file = file
        self._offset = start
        self._end_offset = end_offset
        self.size_bytes = end_offset - start

    def read_block(self) -> bytes:
        """The next block; empty at the end, or where the file was cut meanwhile."""
        block = self._file.read(
            self._offset, min(READ_BLOCK_BYTES, self._end_offset - self._offset)
        )
        self._offset += len(block)
        return block


class FilteredBlockReader:
    """The lines of a file that count.

    Args:
        job_filter: says which do.
        end: how far the text goes.
        size_bytes: how many bytes these lines hold; 0 where that is to be found out.
    """

    def __init__(self, job_filter: LineFilter, end: Position, size_bytes: int = 0) -> None:
        self.size_bytes = size_bytes
        self._job_filter = job_filter
        self._blocks = iter(ForwardBlocks(end.file, 0, b"", end.offset))

    def read_block(self) -> bytes:
        """The lines of the next block that has any; empty at the end."""
        for block in self._blocks:
            if chosen := self._job_filter.find_matches(block.text):
                lines = block.text.split(b"\n")
                return b"".join(lines[ordinal] + b"\n" for ordinal in chosen)
        return b""
