"""Line index: the number of lines before an offset, without reading a file twice.

The index is a sparse table of line counts, extended as the file grows.
"""

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from marianne_stream.logs.blocks import read_long_line_text
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_file import BLOCK_BYTES, LogFile
from marianne_stream.wire.cursors import HASH_WINDOW_BYTES

# Limit of one call.
INDEX_SLICE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class KnownLines:
    """Copy of a line index, which can be read while the index is extended.

    Attributes:
        offsets: ends of lines, about one a block.
        counts: number of lines before each of the offsets.
    """

    offsets: Sequence[int] = (0,)
    counts: Sequence[int] = (0,)


class LineIndex:
    """Line counts of one file. Extending it blocks, and is for one thread at a time.

    Attributes:
        offsets: ends of lines, about one a block.
        counts: number of lines before each of the offsets.
        end: offset behind the last line that was counted.
        line_count: number of lines before `end`.
        window: bytes before `end` that a cursor hashes.
        lock: held by a task while a thread extends or reads the index.
    """

    def __init__(self, job_filter: LineFilter | None = None) -> None:
        self._job_filter = job_filter
        self.lock = asyncio.Lock()
        # A thread whose caller was cancelled may still be counting.
        self._thread_lock = Lock()
        self._searched_offset: int
        self._reset()

    def extend(self, file: LogFile, end_offset: int) -> bool:
        """Count whole lines up to an offset, and return whether all of them are counted.

        A call counts at most `INDEX_SLICE_BYTES`, so that other jobs get a turn. A call that is
        stopped keeps the counts so far, and how far the end of a line was searched.
        """
        with self._thread_lock:
            if not self._is_unchanged(file):
                self._reset()
            if file.size() < self._searched_offset or not self._has_same_partial_line(file):
                # The unfinished line is another one now.
                self._searched_offset = self.end
            # Bytes behind the last whole line may have changed.
            at = max(self.end, self._searched_offset - BLOCK_BYTES)
            sliced = at + INDEX_SLICE_BYTES
            while at < min(end_offset, sliced):
                data = file.read(at, min(BLOCK_BYTES, end_offset - at))
                if not data:
                    return True
                at = self._count_lines(file, at, data)
            return at >= end_offset

    def copy(self) -> KnownLines:
        """Return the counts so far, without the last, which a thread may be replacing."""
        known = max(1, min(len(self.offsets), len(self.counts)) - 1)
        return KnownLines(self.offsets[:known], self.counts[:known])

    def _count_lines(self, file: LogFile, offset: int, data: bytes) -> int:
        """Count the lines that end in some data; return the offset at which to read on."""
        newline = data.find(b"\n")
        if newline < 0:
            # No line ends in a hole of a sparse file.
            self._searched_offset = file.hole_end(offset + len(data))
            return self._searched_offset
        begun = offset - self.end
        if not begun:
            self._count_block(data[: data.rfind(b"\n") + 1])
        elif begun + newline < BLOCK_BYTES:
            self._count_block(file.read(self.end, begun + newline + 1))
        else:
            self._count_long_line(file, offset + newline)
        return self.end

    def find_block_before(self, offset: int) -> tuple[int, int]:
        """Return the start of the last block before an offset, and the lines before it."""
        index = max(0, bisect_right(self.offsets, offset - 1) - 1)
        return self.offsets[index], self.counts[index]

    def _count_block(self, text: bytes) -> None:
        window = (self.window + text[-HASH_WINDOW_BYTES:])[-HASH_WINDOW_BYTES:]
        self._record(text, self.end + len(text), window)

    def _count_long_line(self, file: LogFile, newline: int) -> None:
        text = b"" if self._job_filter is None else read_long_line_text(file, self.end, newline)
        self._record(text + b"\n", newline + 1, file.window_before(newline + 1))

    def _record(self, text: bytes, end: int, window: bytes) -> None:
        """Add lines and their end to the table, or move its last end if that is near."""
        if self._job_filter is not None:
            self.line_count += len(self._job_filter.find_matches(text))
        else:
            self.line_count += text.count(b"\n")
        self.end, self.window, self._partial_head = end, window, b""
        if len(self.offsets) > 1 and self.end - self.offsets[-2] <= BLOCK_BYTES:
            del self.offsets[-1], self.counts[-1]
        self.offsets.append(self.end)
        self.counts.append(self.line_count)

    def _is_unchanged(self, file: LogFile) -> bool:
        """Return whether the file still holds the bytes before `end`."""
        return not self.end or file.window_before(self.end) == self.window

    def _has_same_partial_line(self, file: LogFile) -> bool:
        """Return whether the line behind `end` begins as it did."""
        begun = file.read(self.end, HASH_WINDOW_BYTES)
        alike, self._partial_head = begun.startswith(self._partial_head), begun
        return alike

    def _reset(self) -> None:
        self.offsets, self.counts = [0], [0]
        self.end = self.line_count = 0
        self.window = b""
        # Beginning of the line behind `end`, and the offset up to which it has no newline.
        self._partial_head = b""
        self._searched_offset = 0


class LineIndexCache:
    """Line indexes of the files in use, and of those that were used last."""

    def __init__(self, *, max_indexes: int = 256) -> None:
        self._max_indexes = max_indexes
        self._indexes: OrderedDict[tuple[tuple[int, int], LineFilter | None], LineIndex] = (
            OrderedDict()
        )

    def get(self, file: LogFile, job_filter: LineFilter | None) -> LineIndex:
        """Return the index of a file. It may be that of an earlier file: `extend` notices."""
        key = (file.key, job_filter)
        index = self._indexes.get(key)
        if index is None:
            index = self._indexes[key] = LineIndex(job_filter)
        self._indexes.move_to_end(key)
        while len(self._indexes) > self._max_indexes:
            self._indexes.popitem(last=False)
        return index
