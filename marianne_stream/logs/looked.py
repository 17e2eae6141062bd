"""Lines that were looked at for a page, and blocks of them in pieces."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from marianne_stream.logs.blocks import Block
from marianne_stream.logs.files import LogFile
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LogLine

# A piece of a block has so many lines at most, as far as it is larger than this: 8,000 lines that
# all are found take some 80 ms.
PIECE_LINES = 8000
LEAST_BYTES = 16 * 1024


class PageLine(NamedTuple):
    """A line of a page.

    Attributes:
        line: the line.
        cursor: the position behind it.
        match: whether a filter passes it by itself, and not as one of an entry, or as context;
            None without a filter.
    """

    line: LogLine
    cursor: LogCursor
    match: bool | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    """What a block holds.

    Attributes:
        counted: the places of the lines that count, from 0.
        wanted: of these, the places of those that are wanted.
        matches: of these, those that a filter passes by themselves; None without a filter.
    """

    counted: Sequence[int]
    wanted: Sequence[int]
    matches: AbstractSet[int] | None = None

    def lines(
        self, file: LogFile, block: Block, wanted: Sequence[int], before: int
    ) -> list[PageLine]:
        """Some of the lines of the block, where so many count before it."""
        numbered = [(place, before + bisect_left(self.counted, place) + 1) for place in wanted]
        return [
            PageLine(
                line, cursor_of(file, line), None if self.matches is None else place in self.matches
            )
            for line, place in zip(block.cut(numbered), wanted, strict=True)
        ]


def pieces_of(block: Block, size_bytes: int) -> Iterator[Block]:
    """Cut a block at line ends into pieces of so much, or one line each if that is longer."""
    text = block.text
    few = len(text) <= size_bytes and text.count(b"\n") <= PIECE_LINES
    if few or block.behind is not None:
        yield block
        return
    start = 0
    while start < len(text):
        size = size_bytes
        while size > LEAST_BYTES and text.count(b"\n", start, start + size) > PIECE_LINES:
            size //= 2
        end = text.rfind(b"\n", start, start + size) + 1
        end = end or text.find(b"\n", start + size) + 1 or len(text)
        before = block.window(block.start + start)
        yield Block(block.start + start, block.start + end, text[start:end], before)
        start = end


def cursor_of(file: LogFile, line: LogLine) -> LogCursor:
    """The position behind a line of a file."""
    return LogCursor(
        file.key[1], file.first(), line.end, line.number, line.digest, not line.terminated
    )


def first_of(file: LogFile, block: Block, looked: Looked, before: int) -> LogCursor:
    """The position behind the first line of a block, before which so many count."""
    (line,) = block.cut([(0, before + (0 in looked.counted[:1]))])
    return cursor_of(file, line)
