"""A log as it is opened for viewers: where they begin, and what is known of it.

It must not know how lines are sent, or whose log it is.
"""

import threading

from marianne_stream.errors import LogNotFoundError
from marianne_stream.logs.blocks import BlocksFrom
from marianne_stream.logs.files import LogFile
from marianne_stream.logs.generations import Generations, StoppedError
from marianne_stream.logs.index import Indexes, LineIndex, Selection
from marianne_stream.logs.opening import LogPlace
from marianne_stream.logs.reader import LogReader, Position
from marianne_stream.logs.threads import LogThreads
from marianne_stream.wire.cursors import LogCursor


class OpenLog:
    """One log, and which of its lines count.

    Args:
        place: where it lies.
        selection: which lines count; all where it is None.
        indexes: the line counts of files.
        threads: where what blocks is run.
    """

    def __init__(
        self,
        place: LogPlace,
        *,
        selection: Selection | None,
        indexes: Indexes,
        threads: LogThreads,
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
        """
        file = file or await self.newest()
        index = self._indexes.of(file, self.selection)
        async with index.lock:
            return await self.threads.index(lambda stop: end_of(file, index, stop))

    async def before(self, end: Position, lines: int) -> Position:
        """The position so many lines before another one in the same file, or at its beginning."""
        if not lines or not end.number:
            return end
        index = self._indexes.of(end.file, self.selection)
        async with index.lock:
            return await self.threads.index(
                lambda stop: lines_before(index, end, lines, self.selection, stop)
            )

    async def find(self, cursor: LogCursor) -> Position | None:
        """Where a cursor fits; None where nothing fits it."""
        return await self.threads.find(lambda stop: self._find(cursor, stop))

    def reader(self, position: Position) -> LogReader:
        """One who reads on from a position."""
        return LogReader(self.generations, position, self.selection)

    def _find(self, cursor: LogCursor, stop: threading.Event) -> Position | None:
        found = self.generations.find(cursor, stop)
        if found is None:
            return None
        return Position(found.file, found.offset, found.number, found.file.window(found.offset))


def end_of(file: LogFile, index: LineIndex, stop: threading.Event) -> Position:
    """The position behind the last whole line of a file."""
    try:
        index.extend(file, file.size(), stop)
    except StoppedError as error:
        # Nobody hears of it any more.
        raise LogNotFoundError("counting was stopped") from error
    return Position(file, index.end, index.number, file.window(index.end))


def lines_before(
    index: LineIndex,
    end: Position,
    lines: int,
    selection: Selection | None,
    stop: threading.Event,
) -> Position:
    """The position so many lines before another one, found from the back.

    Where the file was cut meanwhile, it is the other one itself.
    """
    file = end.file
    target = max(0, end.number - lines)
    if not target:
        return Position(file, 0, 0, b"")
    try:
        # The position may be one to which somebody has read who counts by himself.
        index.extend(file, end.offset, stop)
    except StoppedError:
        return end
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
