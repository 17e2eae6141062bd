"""Search of a log's files for the lines of a page, backwards or forwards. Blocks."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from marianne_stream.errors import ReadLimitError
from marianne_stream.logs.blocks import Block, ForwardBlocks
from marianne_stream.logs.decompression import DamagedFileError
from marianne_stream.logs.entries import ENTRY_LOOKBACK_BYTES, BlockEntries, read_lines_above
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_file import LogFile
from marianne_stream.logs.page_lines import (
    BlockMatches,
    PageLine,
    make_line_cursor,
    split_block,
)
from marianne_stream.logs.positions import Position
from marianne_stream.logs.rotation import FileMovedError
from marianne_stream.logs.search_context import read_context
from marianne_stream.wire.log_lines import LogLine

# Limit of the lines of one page; the first line may exceed it.
MAX_PAGE_BYTES = 1024 * 1024

# Time limit of a search; the page holds what was found by then.
SEARCH_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class ScanQuery:
    """Lines and limits of a page.

    The first line may exceed `max_bytes`. `deadline_s` is on the monotonic clock; None is
    `SEARCH_TIMEOUT_S` from the start. `context_lines` is the number of lines around each match to
    add.
    """

    job_filter: LineFilter | None
    line_filter: LineFilter | None
    max_lines: int
    max_bytes: int = MAX_PAGE_BYTES
    deadline_s: float | None = None
    context_lines: int = 0

    def remaining_after(self, lines: Sequence[PageLine]) -> "ScanQuery":
        """Return the query for the rest of the page, after some lines were found."""
        size = sum(len(found.line.text) for found in lines)
        return replace(self, max_lines=self.max_lines - len(lines), max_bytes=self.max_bytes - size)


class Scan:
    """Search across files, one after another, until a page is full.

    Attributes:
        lines: matches, in order.
        context: lines around them, in no order.
        is_full: whether the page has reached a limit.
        read_bytes: number of bytes searched.
        unread_bytes: number of bytes of the last file that were not searched.
        has_gap: whether a file was damaged.
        is_budget_exhausted: whether the call has read as much as it may.
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
        # Last text searched of a compressed file, which cannot be read again cheaply.
        self._text_above = b""

    @property
    def is_timed_out(self) -> bool:
        """True after the deadline."""
        return time.monotonic() >= self._deadline_s

    @property
    def is_done(self) -> bool:
        """True if the page is final."""
        return self.is_full or self.is_timed_out or self.is_budget_exhausted

    def _read_blocks(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Yield blocks, up to where a file is damaged or the read budget is used up.

        Raises:
            ReadLimitError: the budget does not suffice for one block.
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
        """Split a block into pieces that a slow pattern searches well before a deadline."""
        return (
            [block]
            if self._line_filter is None
            else list(split_block(block, self._line_filter.piece_bytes))
        )

    def _read_pieces(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Yield blocks in pieces."""
        return (piece for block in self._read_blocks(blocks) for piece in self._split(block))

    def _job_lines(self, block: Block) -> Sequence[int]:
        """Return the indexes of the job's lines."""
        if self._job_filter is not None:
            return self._job_filter.find_matches(block.text)
        return range(block.line_count)

    def _match_block(self, file: LogFile, block: Block) -> BlockMatches:
        self.read_bytes += len(block.text)
        job_lines = self._job_lines(block)
        if self._line_filter is None:
            return BlockMatches(job_lines, job_lines)
        entries = BlockEntries(
            block.text, job_lines, partial(self._read_lines_above, file, block.start)
        )
        wanted, matches = entries.match(self._line_filter)
        if file.compressed:
            self._text_above = (self._text_above + block.text)[-ENTRY_LOOKBACK_BYTES:]
        return BlockMatches(job_lines, wanted, matches)

    def _read_lines_above(self, file: LogFile, start: int) -> list[bytes]:
        """Return the lines above an offset that may belong to the entry of the line behind it."""
        text = self._text_above if file.compressed else None
        return read_lines_above(file, start, self._job_filter, text)

    def _add_context(
        self, file: LogFile, matches: Iterable[PageLine], *, newest_first: bool
    ) -> None:
        """Add the lines around some matches of a file."""
        if not self._context_lines or self.is_budget_exhausted or self.is_timed_out:
            return
        lines = [one.line for one in matches]
        try:
            context = read_context(
                file, lines, self._context_lines, self._job_filter, newest_first=newest_first
            )
        except (DamagedFileError, ReadLimitError):
            # The page holds the matches without the lines around them.
            return
        self.context += [
            PageLine(line, make_line_cursor(file, line), is_match=False)
            for line in context.values()
        ]

    def _reserve_room(self, line: LogLine) -> bool:
        """Reserve room for a line; return False, and set `is_full`, if there is none."""
        # Lines around a match are taken to be as long.
        size = len(line.text) * (1 + 2 * self._context_lines)
        self.is_full = bool(self.lines) and size > self._remaining_bytes
        if not self.is_full:
            self._remaining_bytes -= size
        return not self.is_full

    def _update_is_full(self) -> None:
        self.is_full = self.is_full or len(self.lines) >= self._max_lines

    @property
    def _remaining_lines(self) -> int:
        return self._max_lines - len(self.lines)


class ForwardsScan(Scan):
    """Search for the first lines behind a position, which moves behind everything searched."""

    def __init__(self, position: Position, query: ScanQuery) -> None:
        super().__init__(query)
        self.position = position

    def scan(self, *, include_partial: bool) -> None:
        """Search on to the end of the file, or until the page is final.

        `include_partial` tells whether an unfinished last line counts.

        Raises:
            FileMovedError: the file was truncated meanwhile.
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
            if not end.is_in_file():
                raise FileMovedError
        self._add_context(start.file, islice(self.lines, known, None), newest_first=False)

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
