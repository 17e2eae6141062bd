"""Handle of one log: its end, its tail, and the position of a cursor."""

from collections.abc import Callable
from functools import partial

from marianne_stream.errors import LogCountingError, ReadLimitError
from marianne_stream.logs.blocks import ForwardBlocks, read_partial_text
from marianne_stream.logs.entries import matches_after, read_lines_above
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.line_index import KnownLines, LineIndex, LineIndexCache
from marianne_stream.logs.log_file import LogFile
from marianne_stream.logs.log_reader import LogReader
from marianne_stream.logs.log_threads import JobThreads
from marianne_stream.logs.positions import Position
from marianne_stream.logs.rotation import LogFileSet
from marianne_stream.logs.safe_open import LogPath
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LogLine, make_partial_line

# Finds a line of a file with its line counts.
FindLine = Callable[[LogFile, KnownLines, LineFilter | None], Position | None]

# Limit of index slices in one request. The next request counts on.
MAX_INDEX_SLICES = 32


class LogHandle:
    """Log, with the filter of the lines that belong to the job."""

    def __init__(
        self,
        log_path: LogPath,
        *,
        job_filter: LineFilter | None,
        index_cache: LineIndexCache,
        threads: JobThreads,
    ) -> None:
        self.path = log_path
        self.job_id = threads.job_id
        self.job_filter = job_filter
        self.files = LogFileSet(log_path)
        self._index_cache = index_cache
        self.threads = threads

    async def open_current(self) -> LogFile:
        """Open the file that is written now.

        Raises:
            LogNotFoundError: the file does not exist.
            LogForbiddenError: the file may not be read.
        """
        return await self.threads.read(self.files.open_current)

    async def find_end(self, file: LogFile | None = None) -> Position:
        """Return the position behind the last whole line, by default of the current file.

        Lines that are not in the index are counted.

        Raises:
            LogNotFoundError: the file does not exist.
            LogForbiddenError: the file may not be read.
            LogCountingError: there is more to count than one request may.
        """
        file = file or await self.open_current()
        index = self._index_cache.get(file, self.job_filter)
        async with index.lock:
            for _ in range(MAX_INDEX_SLICES):
                end = await self.threads.index(index_to_end, file, index)
                if end is not None:
                    return end
        raise LogCountingError

    async def find_tail_start(self, end: Position, line_count: int) -> Position:
        """Return the position some lines before another one, at most at the start of its file."""
        if not line_count or not end.number:
            return end
        index = self._index_cache.get(end.file, self.job_filter)
        async with index.lock:
            return await self.threads.index(
                find_lines_before, index, end, line_count, self.job_filter
            )

    async def find_line(self, find: FindLine, file: LogFile) -> Position | None:
        """Return the position before a line that a function finds in a file; None for no line.

        Raises:
            LogCountingError: there is more to count than one request may.
            ReadLimitError: there is more to read than one request may.
        """
        known = KnownLines()
        if not file.compressed:
            await self.find_end(file)
            known = self._index_cache.get(file, self.job_filter).copy()
        return await self.threads.search(find, file, known, self.job_filter)

    async def find_position(self, cursor: LogCursor) -> Position | None:
        """Return the position of a cursor, or None if no file matches it."""
        return await self.threads.find(self._find_position, cursor)

    async def read_partial_line(
        self, end: Position, line_filter: LineFilter | None
    ) -> LogLine | None:
        """Return the unfinished line behind the last whole one of a plain file, if it passes."""
        line = await self.threads.read(read_partial_line_after, end, self.job_filter)
        if line is None or line_filter is None:
            return line
        above = partial(read_lines_above, end.file, end.offset, self.job_filter)
        is_wanted = await self.threads.match(matches_after, line_filter, above, line.text)
        return line if is_wanted else None

    def make_reader(self, position: Position) -> LogReader:
        """Make a reader that reads on from a position."""
        return LogReader(self.files, position, self.job_filter)

    def _find_position(self, cursor: LogCursor) -> Position | None:
        try:
            return self.files.find(cursor)
        except ReadLimitError:
            # Finding the file takes more than one request may read.
            return None


def index_to_end(file: LogFile, index: LineIndex) -> Position | None:
    """Return the position behind the last whole line; None while there is more to count."""
    if not index.extend(file, file.size()):
        return None
    return Position(file, index.end, index.line_count, index.window)


def read_partial_line_after(end: Position, job_filter: LineFilter | None) -> LogLine | None:
    """Return the line behind a position at the end of a file; None if it has been finished."""
    text = read_partial_text(end.file, end.offset)
    if not text:
        return None
    line = make_partial_line(text, end.number + 1, end.file.size())
    return line if job_filter is None or job_filter.matches(line.text) else None


def find_lines_before(
    index: LineIndex, end: Position, line_count: int, job_filter: LineFilter | None
) -> Position:
    """Return the position some lines before another one, or that one if the file was truncated."""
    file = end.file
    target = max(0, end.number - line_count)
    if not target:
        return Position(file, 0, 0, b"")
    # The position may come from a reader, which counts without the index.
    while not index.extend(file, end.offset):
        pass
    start, number = index.find_block_before(end.offset)
    while number > target:
        start, number = index.find_block_before(start)
    if number == target:
        return Position(file, start, number, file.window_before(start))
    for block in ForwardBlocks(file, start, file.window_before(start), end.offset):
        job_lines = (
            job_filter.find_matches(block.text)
            if job_filter is not None
            else range(block.line_count)
        )
        if number + len(job_lines) >= target:
            (line,) = block.extract_lines([(job_lines[target - number - 1], target)])
            return Position(file, line.end, target, block.window_before(line.end))
        number += len(job_lines)
    return end
