"""How many lines lie before an offset, without reading a file twice.

A sparse table of line counts, extended as the file grows. It must not know what a line means; which
lines count, a selection says.
"""

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from threading import Event, Lock
from typing import Protocol

from marianne_stream.logs.blocks import BlocksFrom
from marianne_stream.logs.files import BLOCK_BYTES, LogFile
from marianne_stream.logs.generations import StoppedError


class Selection(Protocol):
    """Which lines of a file count."""

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
        # Up to where there is no newline behind `end`.
        self._looked_upto = 0

    def extend(self, file: LogFile, upto: int, stop: Event | None = None) -> None:
        """Counts the whole lines up to an offset that have not been counted yet.

        Raises:
            StoppedError: `stop` was set meanwhile; what has been counted is kept.
        """
        with self._thread_lock:
            if not self._holds(file):
                self._forget()
            if not self._has_newline(file, upto, stop):
                return
            for block in BlocksFrom(file, self.end, self._window, upto):
                if stop is not None and stop.is_set():
                    raise StoppedError
                if not block.text.endswith(b"\n"):
                    return
                self.number += self._count(block.text)
                self.end = block.end
                self._window = block.window(block.end)
                self._note()

    def block_before(self, offset: int) -> tuple[int, int]:
        """Where the last block before an offset begins, and how many lines lie before it."""
        place = max(0, bisect_right(self.offsets, offset - 1) - 1)
        return self.offsets[place], self.counts[place]

    def _note(self) -> None:
        """Adds the end to the table, in the place of the last one where that was near."""
        if len(self.offsets) > 1 and self.end - self.offsets[-2] <= BLOCK_BYTES:
            del self.offsets[-1], self.counts[-1]
        self.offsets.append(self.end)
        self.counts.append(self.number)

    def _count(self, block: bytes) -> int:
        if self._selection is not None:
            return len(self._selection.in_block(block))
        return block.count(b"\n")

    def _has_newline(self, file: LogFile, upto: int, stop: Event | None) -> bool:
        """Whether a line ends between `end` and an offset: no byte is looked at twice for it."""
        at = max(self.end, self._looked_upto)
        while at < upto:
            if stop is not None and stop.is_set():
                raise StoppedError
            data = file.read(at, min(BLOCK_BYTES, upto - at))
            if not data or b"\n" in data:
                return bool(data)
            at = self._looked_upto = at + len(data)
        return False

    def _holds(self, file: LogFile) -> bool:
        """Whether the file still holds what has been counted."""
        return not self.end or file.window(self.end) == self._window

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
