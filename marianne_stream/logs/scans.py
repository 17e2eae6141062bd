"""Looks for wanted lines in one file after another, back from a position or on from it, until a
page is full. Blocks: it belongs in a thread.

It must not know the order of the files.
"""

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from marianne_stream.errors import CursorUnknownError, ReadLimitError
from marianne_stream.logs.blocks import Block, BlocksFrom, blocks_before
from marianne_stream.logs.decompress import DamagedFileError
from marianne_stream.logs.files import LogFile
from marianne_stream.logs.generations import MovedError
from marianne_stream.logs.index import Selection
from marianne_stream.logs.reader import Position
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LogLine

# The lines of one page hold no more bytes, unless the first of them does.
PAGE_BYTES = 1024 * 1024

# What has been found after so long is a page.
SEARCH_S = 2.0


class PageLine(NamedTuple):
    """A line, and the position behind it."""

    line: LogLine
    cursor: LogCursor


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a page is to hold.

    Attributes:
        selection: which lines count; all where it is None.
        only: which of these are wanted; all where it is None.
        limit: how many at most.
        room_bytes: how much they hold at most, unless the first of them does.
        until: when what has been found has to do, on the monotonic clock; `SEARCH_S` after the
            beginning where it is None.
    """

    selection: Selection | None
    only: Selection | None
    limit: int
    room_bytes: int = PAGE_BYTES
    until: float | None = None

    def besides(self, lines: Sequence[PageLine]) -> "Wanted":
        """What is still wanted where some lines have been found."""
        size = sum(len(found.line.text) for found in lines)
        return replace(self, limit=self.limit - len(lines), room_bytes=self.room_bytes - size)


@dataclass(frozen=True, slots=True)
class Looked:
    """What a block holds.

    Attributes:
        counted: the places of the lines that count, from 0.
        wanted: of these, the places of those that are wanted.
    """

    counted: Sequence[int]
    wanted: Sequence[int]

    def numbered(self, wanted: Sequence[int], before: int) -> list[tuple[int, int]]:
        """Places with the numbers of their lines, where so many count before the block."""
        return [(place, before + bisect_left(self.counted, place) + 1) for place in wanted]


class Scan:
    """What has been found towards a page.

    Args:
        wanted: what the page is to hold.

    Attributes:
        lines: what was found, in its order.
        full: whether the page holds no more.
        read_bytes: how much was looked at.
        unread_bytes: how much of the file that was looked at last was not.
        gap: whether a file was damaged.
        exhausted: whether as much was read as one call may.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._selection = wanted.selection
        self._only = wanted.only
        self._limit = wanted.limit
        self._room_bytes = wanted.room_bytes
        until = wanted.until
        self._until = until if until is not None else time.monotonic() + SEARCH_S
        self.lines: deque[PageLine] = deque()
        self.full = False
        self.read_bytes = self.unread_bytes = 0
        self.gap = self.exhausted = False

    @property
    def late(self) -> bool:
        """Whether it has taken so long that what was found has to do."""
        return time.monotonic() >= self._until

    @property
    def ended(self) -> bool:
        """Whether the page is as it will be."""
        return self.full or self.late or self.exhausted

    def _readable(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Blocks up to where a compressed file is damaged, or as many as may be read at once.

        Raises:
            ReadLimitError: not even one could be read.
        """
        try:
            yield from blocks
        except DamagedFileError:
            self.gap = True
        except ReadLimitError:
            if not self.read_bytes:
                raise
            self.exhausted = True

    def _look(self, block: Block) -> Looked:
        self.read_bytes += len(block.text)
        if self._selection is not None:
            counted: Sequence[int] = self._selection.in_block(block.text)
        else:
            counted = range(block.lines)
        if self._only is None:
            return Looked(counted, counted)
        wanted = self._only.in_block(block.text)
        if self._selection is not None:
            wanted = sorted(set(wanted).intersection(counted))
        return Looked(counted, wanted)

    def _takes(self, line: LogLine) -> bool:
        """Whether there is room for a line, which it then takes up."""
        self.full = bool(self.lines) and len(line.text) > self._room_bytes
        if not self.full:
            self._room_bytes -= len(line.text)
        return not self.full

    def _fill(self) -> None:
        self.full = self.full or len(self.lines) >= self._limit

    @property
    def _room(self) -> int:
        return self._limit - len(self.lines)


class BackwardsScan(Scan):
    """Finds the last wanted lines before a position.

    Attributes:
        oldest: the first line that was looked at; None where none was.
        at_start: whether it is the first of its file.
        begin: the position before all that was looked at; None before the first look.
    """

    oldest: LogCursor | None = None
    at_start = False
    begin: Position | None = None

    def look_at(self, start: Position, *, skip: int | None = None) -> None:
        """Looks at a file from a position back to its beginning, or until the page has ended.

        Args:
            start: where to begin; of a compressed file, only the offset counts.
            skip: the line that ends at this offset is left out.

        Raises:
            MovedError: the file was cut meanwhile.
            CursorUnknownError: there are more lines before the position than its number says.
        """
        if start.file.compressed:
            self._look_on(start.file, start.offset, skip)
            return
        self.at_start = not start.offset
        self.begin = start
        number = start.number
        for block in self._readable(blocks_before(start.file, start.offset)):
            looked = self._look(block)
            number -= len(looked.counted)
            self._take_back(start.file, block, looked, number, skip)
            if self.ended:
                break
        if not self.exhausted and start.file.window(start.offset) != start.window:
            raise MovedError
        if number < 0:
            # The position of a client has a lower number than it has lines before it.
            raise CursorUnknownError

    def _take_back(
        self, file: LogFile, block: Block, looked: Looked, before: int, skip: int | None
    ) -> None:
        # One more than there is room for: one of them may be left out.
        lines = block.cut(looked.numbered(looked.wanted[-(self._room + 1) :], before))
        for line in reversed(lines):
            if line.end == skip:
                continue
            if not self._takes(line):
                break
            self.lines.appendleft(PageLine(line, cursor_of(file, line)))
            self._fill()
            if self.full:
                break
        first = first_of(file, block, looked, before)
        self.begin = Position(file, block.start, before, block.before)
        self.oldest = self.lines[0].cursor if self.full else first
        self.at_start = not block.start and self.oldest == first
        self.unread_bytes = 0 if self.at_start else self.oldest.offset

    def _look_on(self, file: LogFile, upto: int, skip: int | None) -> None:
        """The same for a compressed file, which can be read in its order alone."""
        self.begin = Position(file, 0, 0, b"")
        kept: deque[PageLine] = deque()
        number = kept_bytes = 0
        first: LogCursor | None = None
        for block in self._readable(BlocksFrom(file, 0, b"", upto)):
            looked = self._look(block)
            first = first or first_of(file, block, looked, 0)
            for line in block.cut(looked.numbered(looked.wanted[-(self._room + 1) :], number)):
                if line.end != skip:
                    kept.append(PageLine(line, cursor_of(file, line)))
                    kept_bytes += len(line.text)
            number += len(looked.counted)
            while len(kept) > self._room or (len(kept) > 1 and kept_bytes > self._room_bytes):
                kept_bytes -= len(kept.popleft().line.text)
                self.full = True
        self.lines.extendleft(reversed(kept))
        self._room_bytes -= kept_bytes
        self._fill()
        self.oldest = self.lines[0].cursor if self.full else first or self.oldest
        self.at_start = not self.full or self.oldest == first
        self.unread_bytes = 0 if self.at_start or self.oldest is None else self.oldest.offset


class ForwardsScan(Scan):
    """Finds the first wanted lines behind a position.

    Args:
        position: where to begin.

    Attributes:
        position: behind all that was looked at.
    """

    def __init__(self, position: Position, wanted: Wanted) -> None:
        super().__init__(wanted)
        self.position = position

    def look_at(self, *, whole: bool) -> None:
        """Looks on to the end of the file, or until the page has ended.

        Args:
            whole: whether a line without a newline at the end is one.

        Raises:
            MovedError: the file was cut meanwhile.
        """
        start = self.position
        for block in self._readable(BlocksFrom(start.file, start.offset, start.window)):
            if not whole and not block.text.endswith(b"\n"):
                break
            self._take_on(block, self._look(block))
            if self.ended:
                break
        end = self.position
        if not end.file.compressed and not self.exhausted:
            self.unread_bytes = max(0, end.file.size() - end.offset)
            if end.file.window(end.offset) != end.window:
                raise MovedError

    def _take_on(self, block: Block, looked: Looked) -> None:
        start, file = self.position, self.position.file
        for line in block.cut(looked.numbered(looked.wanted[: self._room], start.number)):
            if not self._takes(line):
                return
            self.lines.append(PageLine(line, cursor_of(file, line)))
            self.position = Position(
                file, line.end, line.number, block.window(line.end), not line.terminated
            )
            self._fill()
        if not self.full:
            number = start.number + len(looked.counted)
            unterminated = not block.text.endswith(b"\n")
            self.position = Position(file, block.end, number, block.window(block.end), unterminated)


def cursor_of(file: LogFile, line: LogLine) -> LogCursor:
    """The position behind a line of a file."""
    return LogCursor(
        file.key[1], file.first(), line.end, line.number, line.digest, not line.terminated
    )


def first_of(file: LogFile, block: Block, looked: Looked, before: int) -> LogCursor:
    """The position behind the first line of a block, before which so many count."""
    (line,) = block.cut([(0, before + (0 in looked.counted[:1]))])
    return cursor_of(file, line)
