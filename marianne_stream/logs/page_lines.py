"""Lines of a page, and pieces of blocks."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from marianne_stream.logs.blocks import Block
from marianne_stream.logs.log_file import LogFile
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LogLine

# A piece above MIN_PIECE_BYTES has at most so many lines: 8,000 matches take some 80 ms.
MAX_PIECE_LINES = 8000
MIN_PIECE_BYTES = 16 * 1024


class PageLine(NamedTuple):
    """Line of a page.

    `is_match` tells whether the line passes the filter by itself, not only as part of an entry or
    as context; it is None without a filter.
    """

    line: LogLine
    cursor: LogCursor
    is_match: bool | None = None


@dataclass(frozen=True, slots=True)
class BlockMatches:
    """Indexes, from 0, of lines in a block.

    Attributes:
        job_lines: lines of the job.
        selected: lines of the job that pass the filter.
        matches: lines that pass by themselves; None without a filter.
    """

    job_lines: Sequence[int]
    selected: Sequence[int]
    matches: AbstractSet[int] | None = None

    def extract_lines(
        self, file: LogFile, block: Block, indexes: Sequence[int], lines_before: int
    ) -> list[PageLine]:
        """Return some lines of a block, before which the job has `lines_before` lines."""
        numbered = [
            (index, lines_before + bisect_left(self.job_lines, index) + 1) for index in indexes
        ]
        return [
            PageLine(
                line,
                make_line_cursor(file, line),
                None if self.matches is None else index in self.matches,
            )
            for line, index in zip(block.extract_lines(numbered), indexes, strict=True)
        ]


def split_block(block: Block, size_bytes: int) -> Iterator[Block]:
    """Split a block at line ends into pieces of a size, or of one line if that is longer."""
    text = block.text
    few = len(text) <= size_bytes and text.count(b"\n") <= MAX_PIECE_LINES
    if few or block.end_window is not None:
        yield block
        return
    start = 0
    while start < len(text):
        size = size_bytes
        while size > MIN_PIECE_BYTES and text.count(b"\n", start, start + size) > MAX_PIECE_LINES:
            size //= 2
        end = text.rfind(b"\n", start, start + size) + 1
        end = end or text.find(b"\n", start + size) + 1 or len(text)
        before = block.window_before(block.start + start)
        yield Block(block.start + start, block.start + end, text[start:end], before)
        start = end


def make_line_cursor(file: LogFile, line: LogLine) -> LogCursor:
    """Return the cursor behind a line."""
    return LogCursor(
        file.key[1],
        file.first_line_hash(),
        line.end,
        line.number,
        line.window_hash,
        not line.terminated,
    )


def make_first_line_cursor(
    file: LogFile, block: Block, block_matches: BlockMatches, lines_before: int
) -> LogCursor:
    """Return the cursor behind the first line of a block."""
    (line,) = block.extract_lines([(0, lines_before + (0 in block_matches.job_lines[:1]))])
    return make_line_cursor(file, line)
