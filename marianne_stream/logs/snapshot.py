"""A log at one moment: its size, its lines, and its text block by block. Reading text blocks."""

from dataclasses import dataclass

from marianne_stream.logs.blocks import ForwardBlocks
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_file import LogFile
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.logs.positions import Position

READ_BLOCK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class LogSummary:
    """Facts about a log at one moment.

    Attributes:
        end: position behind its last whole line.
        size_bytes: size of the job's text.
        file_bytes: size of the file.
        line_count: number of the job's lines, an unfinished last line included.
        modified_s: time of the last write, in seconds since the epoch.
        cursor: cursor of its end.
    """

    end: Position
    size_bytes: int
    file_bytes: int
    line_count: int
    modified_s: float
    cursor: str


async def summarize_log(log: LogHandle) -> LogSummary:
    """Return the facts about a log. Counts lines that are not in the index.

    Raises:
        LogNotFoundError: the log does not exist.
        LogForbiddenError: the log may not be read.
    """
    end = await log.find_end()
    return await log.threads.index(summarize_at, log, end)


def summarize_at(log: LogHandle, end: Position) -> LogSummary:
    """Return the facts about a log with a known end."""
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


class FileBlockReader:
    """Bytes of a file between two offsets."""

    def __init__(self, file: LogFile, start: int, end_offset: int) -> None:
        self._file = file
        self._offset = start
        self._end_offset = end_offset
        self.size_bytes = end_offset - start

    def read_block(self) -> bytes:
        """Return the next block, or b"" at the end or where the file was truncated."""
        block = self._file.read(
            self._offset, min(READ_BLOCK_BYTES, self._end_offset - self._offset)
        )
        self._offset += len(block)
        return block


class FilteredBlockReader:
    """Lines of one job in the conductor's log. Their size is 0 if it is not known yet."""

    def __init__(self, job_filter: LineFilter, end: Position, size_bytes: int = 0) -> None:
        self.size_bytes = size_bytes
        self._job_filter = job_filter
        self._blocks = iter(ForwardBlocks(end.file, 0, b"", end.offset))

    def read_block(self) -> bytes:
        """Return the lines of the next block that has any, or b"" at the end."""
        for block in self._blocks:
            if chosen := self._job_filter.find_matches(block.text):
                lines = block.text.split(b"\n")
                return b"".join(lines[ordinal] + b"\n" for ordinal in chosen)
        return b""


# Text of a log, read block by block.
BlockReader = FileBlockReader | FilteredBlockReader
