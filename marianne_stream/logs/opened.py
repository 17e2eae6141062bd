"""A log as it is opened for viewers: where they begin, and what is known of it.

It must not know how lines are sent, or whose log it is.
"""

from functools import partial

from marianne_stream.errors import ReadLimitError
from marianne_stream.logs.blocks import BlocksFrom, unfinished_text
from marianne_stream.logs.files import LogFile
from marianne_stream.logs.generations import Generations
from marianne_stream.logs.index import Indexes, LineIndex, Selection
from marianne_stream.logs.opening import LogPlace
from marianne_stream.logs.reader import LogReader, Position
from marianne_stream.logs.threads import JobThreads
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LogLine, unfinished_line

# A request counts so many slices of a log at most. The next one goes on where it has stopped.
SLICES = 32


class OpenLog:
    """One log, and which of its lines count.

    Args:
        place: where it lies.
        selection: which lines count; all where it is None.
        indexes: the line counts of files.
        threads: the threads of its job, in which it is read.
    """

    def __init__(
        self,
        place: LogPlace,
        *,
        selection: Selection | None,
        indexes: Indexes,
        threads: JobThreads,
    ) -> None:
        self.place = place
        self.selection = selection
        self.generations = Generations(place)
        self._indexes = indexes
        self.threads = threads

    async def newest(self) -> LogFile:
        """The file that is written now.

        Raises:
            LogNotFoundError: it is not there.
            LogForbiddenError: it may not be read.
        """
        return await self.threads.read(self.generations.newest)

    async def end(self, file: LogFile | None = None) -> Position:
        """The position behind the last whole line. Counts what has not been counted.

        Raises:
            LogNotFoundError: it is not there.
            LogForbiddenError: it may not be read.
            ReadLimitError: there is more to count than one request may.
        """
        file = file or await self.newest()
        index = self._indexes.of(file, self.selection)
        async with index.lock:
            for _ in range(SLICES):
                end = await self.threads.index(partial(end_of, file, index))
                if end is not None:
                    return end
        raise ReadLimitError

    async def before(self, end: Position, lines: int) -> Position:
        """The position so many lines before another one in the same file, or at its beginning."""
        if not lines or not end.number:
            return end
        index = self._indexes.of(end.file, self.selection)
        async with index.lock:
            return await self.threads.index(
                partial(lines_before, index, end, lines, self.selection)
            )

    async def find(self, cursor: LogCursor) -> Position | None:
        """Where a cursor fits; None where nothing fits it."""
        return await self.threads.find(partial(self._find, cursor))

    async def unfinished(self, end: Position) -> LogLine | None:
        """The line behind the last whole one of a plain file; None if there is none."""
        return await self.threads.read(unfinished_behind, end, self.selection)

    def reader(self, position: Position) -> LogReader:
        """One who reads on from a position."""
        return LogReader(self.generations, position, self.selection)

    def _find(self, cursor: LogCursor) -> Position | None:
        try:
            found = self.generations.find(cursor)
        except ReadLimitError:
            # Whatever it may fit, nobody can tell within a request.
            found = None
        if found is None:
            return None
        return Position(found.file, found.offset, found.number, found.file.window(found.offset))


def end_of(file: LogFile, index: LineIndex) -> Position | None:
    """The position behind the last whole line of a file; None while there is more to count."""
    if not index.extend(file, file.size()):
        return None
    return Position(file, index.end, index.number, file.window(index.end))


def unfinished_behind(end: Position, selection: Selection | None) -> LogLine | None:
    """The line behind a position at the end of a file; None if it has been finished meanwhile."""
    text = unfinished_text(end.file, end.offset)
    if not text:
        return None
    line = unfinished_line(text, end.number + 1, end.file.size())
    return line if selection is None or selection.selects(line.text) else None


def lines_before(
    index: LineIndex, end: Position, lines: int, selection: Selection | None
) -> Position:
    """The position so many lines before another one, found from the back.

    Where the file was cut meanwhile, it is the other one itself.
    """
    file = end.file
    target = max(0, end.number - lines)
    if not target:
        return Position(file, 0, 0, b"")
    # The position may be one that a reader has come to which counts by itself.
    while not index.extend(file, end.offset):
        pass
    start, number = index.block_before(end.offset)
    while number > target:
        start, number = index.block_before(start)
    if number == target:
        return Position(file, start, number, file.window(start))
    for block in BlocksFrom(file, start, file.window(start), end.offset):
        counted = selection.in_block(block.text) if selection is not None else range(block.lines)
        if number + len(counted) >= target:
            (line,) = block.cut([(counted[target - number - 1], target)])
            return Position(file, line.end, target, block.window(line.end))
        number += len(counted)
    return end
