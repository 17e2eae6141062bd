"""How many lines lie before an offset, without reading a file twice.

A sparse table of line counts, extended as the file grows. It must not know what a line means; which
lines count, a selection says.
"""

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from threading import Lock
from typing import Protocol

from marianne_stream.logs.blocks import long_line_text
from marianne_stream.logs.files import BLOCK_BYTES, LogFile
from marianne_stream.wire.cursors import WINDOW_BYTES

# What one call counts at most.
SLICE_BYTES = 256 * 1024 * 1024


class Selection(Protocol):
    """Which lines of a file count."""

    @property
    def piece_bytes(self) -> int:
        """How much of a block is looked at in one go, so that a deadline can be kept."""
        ...

    def selects(self, line: bytes) -> bool:
        """Whether a line counts."""
        ...

    def in_block(self, block: bytes) -> list[int]:
        """Which lines of a block of whole lines count, by their places in it."""
        ...


class LineIndex:
    """The line counts of one file. Extending it blocks, and is for one thread at a time.

    Args:
        selection: which lines count; all where it is None.

    Attributes:
        end: the offset behind the last line that has been counted.
        number: how many lines have.
        lock: held while it is extended, or read in a thread.
    """

    def __init__(self, selection: Selection | None = None) -> None:
        self._selection = selection
        # Offsets at line ends, about one each block, and the counts up to there.
        self.offsets = [0]
        self.counts = [0]
        self.end = 0
        self.number = 0
        self.lock = asyncio.Lock()
        # A thread whose caller was cancelled goes on for a moment.
        self._thread_lock = Lock()
        self._window = b""
        # The beginning of the line behind `end`, and up to where it has no newline.
        self._begun = b""
        self._looked_upto = 0

    def extend(self, file: LogFile, upto: int) -> bool:
        """Counts the whole lines up to an offset that have not been counted yet.

        What has been counted is kept if the call is stopped, and so is how far the end of a line
        has been looked for.

        Returns:
            False if there is more to count: a call counts `SLICE_BYTES`, so that others get a turn.
        """
        with self._thread_lock:
            if not self._holds(file):
                self._forget()
            if file.size() < self._looked_upto or not self._begins_alike(file):
                # The line that has begun is another one.
                self._looked_upto = self.end
            # What stands behind the last whole line may have changed.
            at = max(self.end, self._looked_upto - BLOCK_BYTES)
            sliced = at + SLICE_BYTES
            while at < min(upto, sliced):
                data = file.read(at, min(BLOCK_BYTES, upto - at))
                if not data:
                    return True
                at = self._take(file, at, data)
            return at >= upto

    def _take(self, file: LogFile, at: int, data: bytes) -> int:
        """Counts the lines that end in some data; returns where the next is to be read."""
        newline = data.find(b"\n")
        if newline < 0:
            # Nothing ends in a hole.
            self._looked_upto = file.hole_end(at + len(data))
            return self._looked_upto
        begun = at - self.end
        if not begun:
            self._count_block(data[: data.rfind(b"\n") + 1])
        elif begun + newline < BLOCK_BYTES:
            self._count_block(file.read(self.end, begun + newline + 1))
        else:
            self._count_long_line(file, at + newline)
        return self.end

    def block_before(self, offset: int) -> tuple[int, int]:
        """Where the last block before an offset begins, and how many lines lie before it."""
        place = max(0, bisect_right(self.offsets, offset - 1) - 1)
        return self.offsets[place], self.counts[place]

    def _count_block(self, text: bytes) -> None:
        window = (self._window + text[-WINDOW_BYTES:])[-WINDOW_BYTES:]
        self._note(text, self.end + len(text), window)

    def _count_long_line(self, file: LogFile, newline: int) -> None:
        text = b"" if self._selection is None else long_line_text(file, self.end, newline)
        self._note(text + b"\n", newline + 1, file.window(newline + 1))

    def _note(self, text: bytes, end: int, window: bytes) -> None:
        """Adds lines and their end to the table, in the place of the last one if that is near."""
        if self._selection is not None:
            self.number += len(self._selection.in_block(text))
        else:
            self.number += text.count(b"\n")
        self.end, self._window, self._begun = end, window, b""
        if len(self.offsets) > 1 and self.end - self.offsets[-2] <= BLOCK_BYTES:
            del self.offsets[-1], self.counts[-1]
        self.offsets.append(self.end)
        self.counts.append(self.number)

    def _holds(self, file: LogFile) -> bool:
        """Whether the file still holds what has been counted."""
        return not self.end or file.window(self.end) == self._window

    def _begins_alike(self, file: LogFile) -> bool:
        """Return True if the line that was looked into begins as it did."""
        begun = file.read(self.end, WINDOW_BYTES)
        alike, self._begun = begun.startswith(self._begun), begun
        return alike

    def _forget(self) -> None:
        self.offsets, self.counts = [0], [0]
        self.end = self.number = self._looked_upto = 0
        self._window = b""


class Indexes:
    """The indexes of the files that are, or were lately, in use.

    Args:
        limit: how many are kept; those that were used last.
    """

    def __init__(self, *, limit: int = 256) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[tuple[int, int], Selection | None], LineIndex] = OrderedDict()

    def of(self, file: LogFile, selection: Selection | None) -> LineIndex:
        """The index of a file. It may be an earlier file's: `extend` finds that out."""
        key = (file.key, selection)
        index = self._kept.get(key)
        if index is None:
            index = self._kept[key] = LineIndex(selection)
        self._kept.move_to_end(key)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        return index
