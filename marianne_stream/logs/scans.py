"""Looks for wanted lines in one file after another, back from a position or on from it, until a
page is full. Blocks: it belongs in a thread.

It must not know the order of the files.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice

from marianne_stream.errors import CursorUnknownError, ReadLimitError
from marianne_stream.logs.blocks import Block, BlocksFrom, blocks_before
from marianne_stream.logs.context import context_of
from marianne_stream.logs.decompress import DamagedFileError
from marianne_stream.logs.entries import ABOVE_BYTES, BlockEntries, lines_above
from marianne_stream.logs.files import LogFile
from marianne_stream.logs.generations import MovedError
from marianne_stream.logs.index import Selection
from marianne_stream.logs.looked import Looked, PageLine, cursor_of, first_of, pieces_of
from marianne_stream.logs.reader import Position
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LogLine

# The lines of one page hold no more bytes, unless the first of them does.
PAGE_BYTES = 1024 * 1024

# So much of a compressed file is searched back from its end if it cannot be searched as a whole.
LAST_BYTES = 4 * 1024 * 1024

# What has been found after so long is a page.
SEARCH_S = 2.0


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
        context: how many lines around each of them are shown besides.
    """

    selection: Selection | None
    only: Selection | None
    limit: int
    room_bytes: int = PAGE_BYTES
    until: float | None = None
    context: int = 0

    def besides(self, lines: Sequence[PageLine]) -> "Wanted":
        """What is still wanted where some lines have been found."""
        size = sum(len(found.line.text) for found in lines)
        return replace(self, limit=self.limit - len(lines), room_bytes=self.room_bytes - size)


class Scan:
    """What has been found towards a page.

    Args:
        wanted: what the page is to hold.

    Attributes:
        lines: what was found, in its order.
        context: lines around these, in no order.
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
        self.context: list[PageLine] = []
        self._context_lines = wanted.context
        self.full = False
        self.read_bytes = self.unread_bytes = 0
        self.gap = self.exhausted = False
        # Of a compressed file, what was looked at last.
        self._tail = b""

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

    def _pieces(self, block: Block) -> list[Block]:
        """A block in pieces that a slow pattern is found in soon enough for a deadline."""
        return [block] if self._only is None else list(pieces_of(block, self._only.piece_bytes))

    def _in_pieces(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Blocks that can be read, in pieces."""
        return (piece for block in self._readable(blocks) for piece in self._pieces(block))

    def _counted(self, block: Block) -> Sequence[int]:
        """The places of the lines that count."""
        if self._selection is not None:
            return self._selection.in_block(block.text)
        return range(block.lines)

    def _look(self, file: LogFile, block: Block) -> Looked:
        self.read_bytes += len(block.text)
        counted = self._counted(block)
        if self._only is None:
            return Looked(counted, counted)
        entries = BlockEntries(block.text, counted, partial(self._above, file, block.start))
        wanted, matches = entries.passed(self._only)
        if file.compressed:
            self._tail = (self._tail + block.text)[-ABOVE_BYTES:]
        return Looked(counted, wanted, matches)

    def _above(self, file: LogFile, start: int) -> list[bytes]:
        """The lines above an offset that may belong to the same entry as the one behind it."""
        # A compressed file is read in its order alone.
        text = self._tail if file.compressed else None
        return lines_above(file, start, self._selection, text)

    def _add_context(self, file: LogFile, found: Iterable[PageLine]) -> None:
        """Adds the lines around those that were found in a file."""
        if not self._context_lines or self.exhausted or self.late:
            return
        lines = [one.line for one in found]
        try:
            context = context_of(file, lines, self._context_lines, self._selection)
        except (DamagedFileError, ReadLimitError):
            # The lines that were found are the page; those around them are left out.
            return
        self.context += [
            PageLine(line, cursor_of(file, line), match=False) for line in context.values()
        ]

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
        known = len(self.lines)
        self._tail = b""
        self._look_back(start, skip)
        self._add_context(start.file, islice(self.lines, len(self.lines) - known))

    def _look_back(self, start: Position, skip: int | None) -> None:
        if start.file.compressed:
            self._look_on(start.file, start.offset, skip)
            return
        self.at_start = not start.offset
        self.begin = start
        number = start.number
        whole = self._readable(blocks_before(start.file, start.offset))
        for block in (piece for each in whole for piece in reversed(self._pieces(each))):
            looked = self._look(start.file, block)
            number -= len(looked.counted)
            self._take_back(start.file, block, looked, number, skip)
            if self.ends(skip):
                break
        if not self.exhausted and start.file.window(start.offset) != start.window:
            raise MovedError
        if number < 0:
            # The position of a client has a lower number than it has lines before it.
            raise CursorUnknownError

    def ends(self, skip: int | None) -> bool:
        """Whether the page ends here: more than the line that is left out has been looked at."""
        return self.ended and (self.oldest is None or self.oldest.offset != skip)

    def _take_back(
        self, file: LogFile, block: Block, looked: Looked, before: int, skip: int | None
    ) -> None:
        # One more than there is room for: one of them may be left out.
        lines = looked.lines(file, block, looked.wanted[-(self._room + 1) :], before)
        for found in reversed(lines):
            if found.line.end == skip:
                continue
            if not self._takes(found.line):
                break
            self.lines.appendleft(found)
            self._fill()
            if self.full:
                break
        first = first_of(file, block, looked, before)
        self.begin = Position(file, block.start, before, block.before)
        self.oldest = self.lines[0].cursor if self.full else first
        self.at_start = not block.start and self.oldest == first
        self.unread_bytes = 0 if self.at_start else self.oldest.offset

    def _look_on(self, file: LogFile, upto: int, skip: int | None) -> None:
        """The same for a compressed file, which can be read in its order alone.

        If a filter takes half of the time for what stands first, only what stands last is searched.
        """
        self.begin = Position(file, 0, 0, b"")
        halfway = (time.monotonic() + self._until) / 2
        kept: deque[PageLine] = deque()
        number = kept_bytes = 0
        first: LogCursor | None = None
        pieces = self._in_pieces(BlocksFrom(file, 0, b"", upto))
        for block in pieces:
            if self._only is not None and time.monotonic() >= halfway:
                self._look_at_last(file, chain((block,), pieces), number, skip)
                return
            looked = self._look(file, block)
            first = first or first_of(file, block, looked, 0)
            for found in looked.lines(file, block, looked.wanted[-(self._room + 1) :], number):
                if found.line.end != skip:
                    kept.append(found)
                    kept_bytes += len(found.line.text)
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

    def _look_at_last(
        self,
        file: LogFile,
        blocks: Iterator[Block],
        number: int,
        skip: int | None,
    ) -> None:
        """Looks at the last of some blocks, back from their end, until the page has ended."""
        last: deque[tuple[Block, int]] = deque()
        size = 0
        for block in blocks:
            last.append((block, number))
            number += len(self._counted(block))
            size += len(block.text)
            while size > LAST_BYTES and len(last) > 1:
                size -= len(last.popleft()[0].text)
        while last:
            block, before = last.pop()
            self._tail = b"".join(above.text for above, _ in last)[-ABOVE_BYTES:]
            self._take_back(file, block, self._look(file, block), before, skip)
            if self.ends(skip):
                break
        # The rest of the file is for another page.
        self.full = self.full or not self.at_start


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
        start, known = self.position, len(self.lines)
        if start.file.compressed and self._only is not None:
            first = max(0, start.offset - ABOVE_BYTES)
            self._tail = start.file.read(first, start.offset - first)
        for block in self._in_pieces(BlocksFrom(start.file, start.offset, start.window)):
            if not whole and not block.text.endswith(b"\n"):
                break
            self._take_on(block, self._look(start.file, block))
            if self.ended:
                break
        end = self.position
        if not end.file.compressed and not self.exhausted:
            self.unread_bytes = max(0, end.file.size() - end.offset)
            if end.file.window(end.offset) != end.window:
                raise MovedError
        self._add_context(start.file, islice(self.lines, known, None))

    def _take_on(self, block: Block, looked: Looked) -> None:
        start, file = self.position, self.position.file
        for found in looked.lines(file, block, looked.wanted[: self._room], start.number):
            line = found.line
            if not self._takes(line):
                return
            self.lines.append(found)
            self.position = Position(
                file, line.end, line.number, block.window(line.end), not line.terminated
            )
            self._fill()
        if not self.full:
            number = start.number + len(looked.counted)
            unterminated = not block.text.endswith(b"\n")
            self.position = Position(file, block.end, number, block.window(block.end), unterminated)
