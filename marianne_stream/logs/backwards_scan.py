"""Search backwards through a log's files for the last lines before a position. Blocks."""

import time
from collections import deque
from collections.abc import Iterator
from itertools import chain, islice

from marianne_stream.errors import CursorExpiredError
from marianne_stream.logs.blocks import Block, ForwardBlocks, iter_blocks_backwards
from marianne_stream.logs.entries import ENTRY_LOOKBACK_BYTES
from marianne_stream.logs.log_file import LogFile
from marianne_stream.logs.page_lines import (
    BlockMatches,
    PageLine,
    make_first_line_cursor,
)
from marianne_stream.logs.positions import Position
from marianne_stream.logs.rotation import FileMovedError
from marianne_stream.logs.scans import Scan
from marianne_stream.wire.cursors import LogCursor

# Part of a compressed file to search, from its end, if searching all of it takes too long.
COMPRESSED_TAIL_BYTES = 4 * 1024 * 1024


class BackwardsScan(Scan):
    """Search for the last lines before a position.

    Attributes:
        oldest: cursor of the first line that was searched; None if none was.
        is_at_file_start: whether that line is the first of its file.
        start_position: position before everything searched; None before the first search.
    """

    oldest: LogCursor | None = None
    is_at_file_start = False
    start_position: Position | None = None

    def scan(self, start: Position, *, skip_offset: int | None = None) -> None:
        """Search a file from a position back to its beginning, or until the page is final.

        Of a compressed file, only the offset of `start` counts. The line that ends at `skip_offset`
        is left out.

        Raises:
            FileMovedError: the file was truncated meanwhile.
            CursorExpiredError: there are more lines before the position than its number says.
        """
        known = len(self.lines)
        self._text_above = b""
        self._scan_file(start, skip_offset)
        found = islice(self.lines, len(self.lines) - known)
        self._add_context(start.file, found, newest_first=True)

    def _scan_file(self, start: Position, skip_offset: int | None) -> None:
        if start.file.compressed:
            self._scan_compressed(start.file, start.offset, skip_offset)
            return
        self.is_at_file_start = not start.offset
        self.start_position = start
        number = start.number
        blocks = self._read_blocks(iter_blocks_backwards(start.file, start.offset))
        for block in (piece for each in blocks for piece in reversed(self._split(each))):
            matches = self._match_block(start.file, block)
            number -= len(matches.job_lines)
            self._add_lines(start.file, block, matches, number, skip_offset)
            if self.is_page_done(skip_offset):
                break
        if not self.is_budget_exhausted and not start.is_in_file():
            raise FileMovedError
        if number < 0:
            # The line number in the client's cursor is too low.
            raise CursorExpiredError

    def is_page_done(self, skip_offset: int | None) -> bool:
        """Return whether the page is final and more than the skipped line was searched."""
        return self.is_done and (self.oldest is None or self.oldest.offset != skip_offset)

    def _add_lines(
        self,
        file: LogFile,
        block: Block,
        block_matches: BlockMatches,
        lines_before: int,
        skip_offset: int | None,
    ) -> None:
        # One more than there is room for, since one may be skipped.
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
        """Search a compressed file, which can only be read forwards.

        If matching the beginning takes half of the time, only the end of the file is searched.
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
            matches = self._match_block(file, block)
            first = first or make_first_line_cursor(file, block, matches, 0)
            for found in matches.extract_lines(
                file, block, matches.selected[-(self._remaining_lines + 1) :], number
            ):
                if found.line.end != skip_offset:
                    kept.append(found)
                    kept_bytes += len(found.line.text)
            number += len(matches.job_lines)
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
        """Search the last of some blocks backwards, until the page is final."""
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
        # The rest of the file is left to the next page.
        self.is_full = self.is_full or not self.is_at_file_start
