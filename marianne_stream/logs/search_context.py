"""Lines around the matches of a search, in the same file. Blocks."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from marianne_stream.logs.blocks import Block
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_file import LogFile
from marianne_stream.wire.cursors import HASH_WINDOW_BYTES
from marianne_stream.wire.log_lines import LogLine

# Largest distance of a context line, and limits of all context lines of a page.
CONTEXT_DISTANCE_BYTES = 64 * 1024
MAX_CONTEXT_LINES = 2000
MAX_CONTEXT_BYTES = 2 * 1024 * 1024


class OverlappingReader:
    """Reads overlapping parts of a file, in the order of their starts, each byte once.

    Going back in a compressed file would read it again from its beginning.
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


def read_context(
    file: LogFile,
    matches: Sequence[LogLine],
    context_lines: int,
    job_filter: LineFilter | None,
    *,
    newest_first: bool,
) -> dict[int, LogLine]:
    """Return the lines around some matches, without the matches, by the offsets of their ends.

    If there are more than the limits allow, the lines around the newest matches are kept if
    `newest_first`, and otherwise those around the oldest.
    """
    reader = OverlappingReader(file)
    ends = {line.end for line in matches}
    context: dict[int, LogLine] = {}
    size = 0
    for line in matches:
        if not newest_first and (len(context) >= MAX_CONTEXT_LINES or size >= MAX_CONTEXT_BYTES):
            break
        around = read_lines_around(reader, line, context_lines, job_filter)
        for one in around:
            if one.end not in ends and one.end not in context:
                context[one.end] = one
                size += len(one.text)
        while newest_first and (len(context) > MAX_CONTEXT_LINES or size > MAX_CONTEXT_BYTES):
            size -= len(context.pop(next(iter(context))).text)
    return context


def read_lines_around(
    reader: OverlappingReader, line: LogLine, context_lines: int, job_filter: LineFilter | None
) -> Iterator[LogLine]:
    """Yield the finished lines before and behind a line that begin near it."""
    low = max(0, line.end - 2 * CONTEXT_DISTANCE_BYTES)
    head = max(0, low - HASH_WINDOW_BYTES)
    data = reader.read(head, line.end + CONTEXT_DISTANCE_BYTES)
    line_end = line.end - head
    start = data.find(b"\n", low - head, line_end - 1) + 1 if low else 0
    if low and not start:
        # The line is so long that no line before it is near.
        start = line_end
    text = data[start : max(line_end, data.rfind(b"\n") + 1)]
    block = Block(head + start, head + start + len(text), text, data[:start])
    job_lines = range(block.line_count) if job_filter is None else job_filter.find_matches(text)
    index = text.count(b"\n", 0, line_end - start - 1) if start < line_end else -1
    rank = bisect_left(job_lines, index) if index >= 0 else -1
    first = max(0, rank - context_lines)
    ranks = range(first, min(len(job_lines), rank + context_lines + 1))
    yield from block.extract_lines(
        [(job_lines[one], line.number + one - rank) for one in ranks if one != rank and text]
    )
