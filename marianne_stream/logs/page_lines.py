"""Lines that were looked at for a page, and blocks of them in pieces."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from marianne_stream.logs.blocks import Block
from marianne_stream.logs.log_file import LogFile
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LogLine

# A piece of a block has so many lines at most, as far as it is larger than this: 8,000 lines that
# all are found take some 80 ms.
MAX_PIECE_LINES = 8000
MIN_PIECE_BYTES = 16 * 1024


class PageLine(NamedTuple):
    """A line of a page.

    Attributes:
        line: the line.
        cursor: the position behind it.
        is_match: whether a filter passes it by itself, and not as one of an entry, or as context;
            None without a filter.
    """

    line: LogLine
    cursor: LogCursor
    is_match: bool | None = None


@dataclass(frozen=True, slots=True)
class BlockMatches:
    """What a block holds.

    Attributes:
        job_lines: the places of the lines that count, from 0.
        selected: of these, the places of those that are wanted.
        matches: of these, those that a filter passes by themselves; None without a filter.
    """

    job_lines: Sequence[int]
    selected: Sequence[int]
    matches: AbstractSet[int] | None = None

    def extract_lines(
        self, file: LogFile, block: Block, indexes: Sequence[int], lines_before: int
    ) -> list[PageLine]:
        """Some of the lines of the block, where so many count before it."""
        numbered = [
            (place, lines_before + bisect_left(self.job_lines, place) + 1) for place in indexes
        ]
        return [
            PageLine(
                line,
                make_line_cursor(file, line),
                None if self.matches is None else place in self.matches,
            )
            for line, place in zip(block.extract_lines(numbered), indexes, strict=True)
        ]


def split_block(block: Block, size_bytes: int) -> Iterator[Block]:
    """Cut a block at line ends into pieces of so much, or one line each if that is longer."""
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
    """The position behind a line of a file."""
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
    """The position behind the first line of a block, before which so many count."""
    (line,) = block.extract_lines([(0, lines_before + (0 in block_matches.job_lines[:1]))])
    return make_line_cursor(file, line)
