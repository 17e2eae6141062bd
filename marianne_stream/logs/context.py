"""Lines around those that a search found, within their file. Blocks: it belongs in a thread."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from marianne_stream.logs.blocks import Block
from marianne_stream.logs.files import LogFile
from marianne_stream.logs.index import Selection
from marianne_stream.wire.cursors import WINDOW_BYTES
from marianne_stream.wire.log_lines import LogLine

# So far around a line others are looked for, and a page has so many of them at most.
AROUND_BYTES = 64 * 1024
CONTEXT_LINES = 2000
CONTEXT_BYTES = 1024 * 1024


class Stretch:
    """Reads parts of a file, whose beginnings rise, each byte once if they overlap.

    Args:
        file: the file. A compressed one has to be read again from its start to go back in it.
    """

    def __init__(self, file: LogFile) -> None:
        self._file = file
        self._start = 0
        self._data = b""

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes between two offsets; fewer at the end of the file."""
        known = self._start + len(self._data)
        if self._start <= start <= known:
            self._data = self._data[start - self._start :]
        else:
            self._data, known = b"", start
        self._start = start
        if known < end:
            self._data += self._file.read(known, end - known)
        return self._data[: end - start]


def context_of(
    file: LogFile, found: Sequence[LogLine], count: int, selection: Selection | None
) -> dict[int, LogLine]:
    """Return lines around some others that are not among them, by the offsets of their ends.

    Args:
        file: the file.
        found: lines of it, in their order.
        count: how many before and behind each.
        selection: which lines count; all if it is None.
    """
    stretch = Stretch(file)
    ends = {line.end for line in found}
    context: dict[int, LogLine] = {}
    size = 0
    for line in found:
        if len(context) >= CONTEXT_LINES or size >= CONTEXT_BYTES:
            break
        around = lines_around(stretch, line, count, selection)
        for one in around:
            if one.end not in ends and one.end not in context:
                context[one.end] = one
                size += len(one.text)
    return context


def lines_around(
    stretch: Stretch, line: LogLine, count: int, selection: Selection | None
) -> Iterator[LogLine]:
    """Yield the lines before and behind a line that begin near it, as far as they have ended."""
    low = max(0, line.end - 2 * AROUND_BYTES)
    head = max(0, low - WINDOW_BYTES)
    data = stretch.read(head, line.end + AROUND_BYTES)
    behind = line.end - head
    start = data.find(b"\n", low - head, behind - 1) + 1 if low else 0
    if low and not start:
        # The line is so long that none of those before it is near.
        start = behind
    text = data[start : max(behind, data.rfind(b"\n") + 1)]
    block = Block(head + start, head + start + len(text), text, data[:start])
    counted = range(block.lines) if selection is None else selection.in_block(text)
    place = text.count(b"\n", 0, behind - start - 1) if start < behind else -1
    rank = bisect_left(counted, place) if place >= 0 else -1
    first = max(0, rank - count)
    ranks = range(first, min(len(counted), rank + count + 1))
    yield from block.cut(
        [(counted[one], line.number + one - rank) for one in ranks if one != rank and text]
    )
