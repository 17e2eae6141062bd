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

from marianne_stream.errors import CursorExpiredError, ReadLimitError
from marianne_stream.logs.blocks import Block, ForwardBlocks, iter_blocks_backwards
from marianne_stream.logs.decompression import DamagedFileError
from marianne_stream.logs.entries import ENTRY_LOOKBACK_BYTES, BlockEntries, read_lines_above
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_file import LogFile
from marianne_stream.logs.log_reader import Position
from marianne_stream.logs.page_lines import (
    BlockMatches,
    PageLine,
    make_first_line_cursor,
    make_line_cursor,
    split_block,
)
from marianne_stream.logs.rotation import FileMovedError
from marianne_stream.logs.search_context import read_context
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LogLine

# The lines of one page hold no more bytes, unless the first of them does.
MAX_PAGE_BYTES = 1024 * 1024

# So much of a compressed file is searched back from its end if it cannot be searched as a whole.
COMPRESSED_TAIL_BYTES = 4 * 1024 * 1024

# What has been found after so long is a page.
SEARCH_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class ScanQuery:
    """What a page is to hold.

    Attributes:
        job_filter: which lines count; all where it is None.
        line_filter: which of these are wanted; all where it is None.
        max_lines: how many at most.
        max_bytes: how much they hold at most, unless the first of them does.
        deadline_s: when what has been found has to do, on the monotonic clock; `SEARCH_TIMEOUT_S`
            after the beginning where it is None.
        context_lines: how many lines around each of them are shown besides.
    """

    job_filter: LineFilter | None
    line_filter: LineFilter | None
    max_lines: int
    max_bytes: int = MAX_PAGE_BYTES
    deadline_s: float | None = None
    context_lines: int = 0

    def remaining_after(self, lines: Sequence[PageLine]) -> "ScanQuery":
        """What is still wanted where some lines have been found."""
        size = sum(len(found.line.text) for found in lines)
        return replace(self, max_lines=self.max_lines - len(lines), max_bytes=self.max_bytes - size)


class Scan:
    """What has been found towards a page.

    Args:
        query: what the page is to hold.

    Attributes:
        lines: what was found, in its order.
        context: lines around these, in no order.
        is_full: whether the page holds no more.
        read_bytes: how much was looked at.
        unread_bytes: how much of the file that was looked at last was not.
        has_gap: whether a file was damaged.
        is_budget_exhausted: whether as much was read as one call may.
    """

    def __init__(self, query: ScanQuery) -> None:
        self._job_filter = query.job_filter
        self._line_filter = query.line_filter
        self._max_lines = query.max_lines
        self._remaining_bytes = query.max_bytes
        until = query.deadline_s
        self._deadline_s = until if until is not None else time.monotonic() + SEARCH_TIMEOUT_S
        self.lines: deque[PageLine] = deque()
        self.context: list[PageLine] = []
        self._context_lines = query.context_lines
        self.is_full = False
        self.read_bytes = self.unread_bytes = 0
        self.has_gap = self.is_budget_exhausted = False
        # Of a compressed file, what was looked at last.
        self._text_above = b""

    @property
    def is_timed_out(self) -> bool:
        """Whether it has taken so long that what was found has to do."""
        return time.monotonic() >= self._deadline_s

    @property
    def is_done(self) -> bool:
        """Whether the page is as it will be."""
        return self.is_full or self.is_timed_out or self.is_budget_exhausted

    def _read_blocks(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Blocks up to where a compressed file is damaged, or as many as may be read at once.

        Raises:
            ReadLimitError: not even one could be read.
        """
        try:
            yield from blocks
        except DamagedFileError:
            self.has_gap = True
        except ReadLimitError:
            if not self.read_bytes:
                raise
            self.is_budget_exhausted = True

    def _split(self, block: Block) -> list[Block]:
        """A block in pieces that a slow pattern is found in soon enough for a deadline."""
        return (
            [block]
            if self._line_filter is None
            else list(split_block(block, self._line_filter.piece_bytes))
        )

    def _read_pieces(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Blocks that can be read, in pieces."""
        return (piece for block in self._read_blocks(blocks) for piece in self._split(block))

    def _job_lines(self, block: Block) -> Sequence[int]:
        """The places of the lines that count."""
        if self._job_filter is not None:
            return self._job_filter.find_matches(block.text)
        return range(block.line_count)

    def _match_block(self, file: LogFile, block: Block) -> BlockMatches:
        self.read_bytes += len(block.text)
        counted = self._job_lines(block)
        if self._line_filter is None:
            return BlockMatches(counted, counted)
        entries = BlockEntries(
            block.text, counted, partial(self._read_lines_above, file, block.start)
        )
        wanted, matches = entries.match(self._line_filter)
        if file.compressed:
            self._text_above = (self._text_above + block.text)[-ENTRY_LOOKBACK_BYTES:]
        return BlockMatches(counted, wanted, matches)

    def _read_lines_above(self, file: LogFile, start: int) -> list[bytes]:
        """The lines above an offset that may belong to the same entry as the one behind it."""
        # A compressed file is read in its order alone.
        text = self._text_above if file.compressed else None
        return read_lines_above(file, start, self._job_filter, text)

    def _add_context(self, file: LogFile, matches: Iterable[PageLine]) -> None:
        """Adds the lines around those that were found in a file."""
        if not self._context_lines or self.is_budget_exhausted or self.is_timed_out:
            return
        lines = [one.line for one in matches]
        try:
            context = read_context(file, lines, self._context_lines, self._job_filter)
        except (DamagedFileError, ReadLimitError):
            # The lines that were found are the page; those around them are left out.
            return
        self.context += [
            PageLine(line, make_line_cursor(file, line), is_match=False)
            for line in context.values()
        ]

    def _reserve_room(self, line: LogLine) -> bool:
        """Whether there is room for a line, which it then takes up."""
        self.is_full = bool(self.lines) and len(line.text) > self._remaining_bytes
        if not self.is_full:
            self._remaining_bytes -= len(line.text)
        return not self.is_full

    def _update_is_full(self) -> None:
        self.is_full = self.is_full or len(self.lines) >= self._max_lines

    @property
    def _remaining_lines(self) -> int:
        return self._max_lines - len(self.lines)


class BackwardsScan(Scan):
    """Finds the last wanted lines before a position.

    Attributes:
        oldest: the first line that was looked at; None where none was.
        is_at_file_start: whether it is the first of its file.
        start_position: the position before all that was looked at; None before the first look.
    """

    oldest: LogCursor | None = None
    is_at_file_start = False
    start_position: Position | None = None

    def scan(self, start: Position, *, skip_offset: int | None = None) -> None:
        """Looks at a file from a position back to its beginning, or until the page has ended.

        Args:
            start: where to begin; of a compressed file, only the offset counts.
            skip_offset: the line that ends at this offset is left out.

        Raises:
            MovedError: the file was cut meanwhile.
            CursorUnknownError: there are more lines before the position than its number says.
        """
        known = len(self.lines)
        self._text_above = b""
        self._scan_file(start, skip_offset)
        self._add_context(start.file, islice(self.lines, len(self.lines) - known))

    def _scan_file(self, start: Position, skip_offset: int | None) -> None:
        if start.file.compressed:
            self._scan_compressed(start.file, start.offset, skip_offset)
            return
        self.is_at_file_start = not start.offset
        self.start_position = start
        number = start.number
        whole = self._read_blocks(iter_blocks_backwards(start.file, start.offset))
        for block in (piece for each in whole for piece in reversed(self._split(each))):
            looked = self._match_block(start.file, block)
            number -= len(looked.job_lines)
            self._add_lines(start.file, block, looked, number, skip_offset)
            if self.is_page_done(skip_offset):
                break
        if not self.is_budget_exhausted and start.file.window_before(start.offset) != start.window:
            raise FileMovedError
        if number < 0:
            # The position of a client has a lower number than it has lines before it.
            raise CursorExpiredError

    def is_page_done(self, skip_offset: int | None) -> bool:
        """Whether the page ends here: more than the line that is left out has been looked at."""
        return self.is_done and (self.oldest is None or self.oldest.offset != skip_offset)

    def _add_lines(
        self,
        file: LogFile,
        block: Block,
        block_matches: BlockMatches,
        lines_before: int,
        skip_offset: int | None,
    ) -> None:
        # One more than there is room for: one of them may be left out.
        lines = block_matches.extract_lines(
            file, block, block_matches.selected[-(self._remaining_lines + 1) :], lines_before
        )
        for found in reversed(lines):
            if found.line.end == skip_offset:
                continue
            if not self._reserve_room(found.line):
                break
            self.lines.appendleft(found)
            self._update_is_full()
            if self.is_full:
                break
        first = make_first_line_cursor(file, block, block_matches, lines_before)
        self.start_position = Position(file, block.start, lines_before, block.start_window)
        self.oldest = self.lines[0].cursor if self.is_full else first
        self.is_at_file_start = not block.start and self.oldest == first
        self.unread_bytes = 0 if self.is_at_file_start else self.oldest.offset

    def _scan_compressed(self, file: LogFile, end_offset: int, skip_offset: int | None) -> None:
        """The same for a compressed file, which can be read in its order alone.

        If a filter takes half of the time for what stands first, only what stands last is searched.
        """
        self.start_position = Position(file, 0, 0, b"")
        halfway = (time.monotonic() + self._deadline_s) / 2
        kept: deque[PageLine] = deque()
        number = kept_bytes = 0
        first: LogCursor | None = None
        pieces = self._read_pieces(ForwardBlocks(file, 0, b"", end_offset))
        for block in pieces:
            if self._line_filter is not None and time.monotonic() >= halfway:
                self._scan_last_blocks(file, chain((block,), pieces), number, skip_offset)
                return
            looked = self._match_block(file, block)
            first = first or make_first_line_cursor(file, block, looked, 0)
            for found in looked.extract_lines(
                file, block, looked.selected[-(self._remaining_lines + 1) :], number
            ):
                if found.line.end != skip_offset:
                    kept.append(found)
                    kept_bytes += len(found.line.text)
            number += len(looked.job_lines)
            while len(kept) > self._remaining_lines or (
                len(kept) > 1 and kept_bytes > self._remaining_bytes
            ):
                kept_bytes -= len(kept.popleft().line.text)
                self.is_full = True
        self.lines.extendleft(reversed(kept))
        self._remaining_bytes -= kept_bytes
        self._update_is_full()
        self.oldest = self.lines[0].cursor if self.is_full else first or self.oldest
        self.is_at_file_start = not self.is_full or self.oldest == first
        self.unread_bytes = (
            0 if self.is_at_file_start or self.oldest is None else self.oldest.offset
        )

    def _scan_last_blocks(
        self,
        file: LogFile,
        blocks: Iterator[Block],
        number: int,
        skip_offset: int | None,
    ) -> None:
        """Looks at the last of some blocks, back from their end, until the page has ended."""
        last: deque[tuple[Block, int]] = deque()
        size = 0
        for block in blocks:
            last.append((block, number))
            number += len(self._job_lines(block))
            size += len(block.text)
            while size > COMPRESSED_TAIL_BYTES and len(last) > 1:
                size -= len(last.popleft()[0].text)
        while last:
            block, before = last.pop()
            self._text_above = b"".join(above.text for above, _ in last)[-ENTRY_LOOKBACK_BYTES:]
            self._add_lines(file, block, self._match_block(file, block), before, skip_offset)
            if self.is_page_done(skip_offset):
                break
        # The rest of the file is for another page.
        self.is_full = self.is_full or not self.is_at_file_start


class ForwardsScan(Scan):
    """Finds the first wanted lines behind a position.

    Args:
        position: where to begin.

    Attributes:
        position: behind all that was looked at.
    """

    def __init__(self, position: Position, query: ScanQuery) -> None:
        super().__init__(query)
        self.position = position

    def scan(self, *, include_partial: bool) -> None:
        """Looks on to the end of the file, or until the page has ended.

        Args:
            include_partial: whether a line without a newline at the end is one.

        Raises:
            MovedError: the file was cut meanwhile.
        """
        start, known = self.position, len(self.lines)
        if start.file.compressed and self._line_filter is not None:
            first = max(0, start.offset - ENTRY_LOOKBACK_BYTES)
            self._text_above = start.file.read(first, start.offset - first)
        for block in self._read_pieces(ForwardBlocks(start.file, start.offset, start.window)):
            if not include_partial and not block.text.endswith(b"\n"):
                break
            self._add_lines(block, self._match_block(start.file, block))
            if self.is_done:
                break
        end = self.position
        if not end.file.compressed and not self.is_budget_exhausted:
            self.unread_bytes = max(0, end.file.size() - end.offset)
            if end.file.window_before(end.offset) != end.window:
                raise FileMovedError
        self._add_context(start.file, islice(self.lines, known, None))

    def _add_lines(self, block: Block, block_matches: BlockMatches) -> None:
        start, file = self.position, self.position.file
        for found in block_matches.extract_lines(
            file, block, block_matches.selected[: self._remaining_lines], start.number
        ):
            line = found.line
            if not self._reserve_room(line):
                return
            self.lines.append(found)
            self.position = Position(
                file, line.end, line.number, block.window_before(line.end), not line.terminated
            )
            self._update_is_full()
        if not self.is_full:
            number = start.number + len(block_matches.job_lines)
            unterminated = not block.text.endswith(b"\n")
            self.position = Position(
                file, block.end, number, block.window_before(block.end), unterminated
            )
