"""Which generations a log's files were given in its stream. Pure.

A stream may be set back: a replica takes over that had not heard of the newest entries. What is
published again then is to have the ids that it had, so that whoever has read it passes over it.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

from marianne_stream.wire.cursors import LogCursor

# How many beginnings of a log are known; a stream is set back by a few entries, not by days.
KEPT = 100


class Beginning(NamedTuple):
    """Where a generation begins. It is the same whenever the same files are read.

    Attributes:
        behind: the position before it, without the inode, which a file that was copied or
            compressed has another one of; None where nothing was published before.
        marks: the names of what happened since then; "" last where it begins without a mark.
        file: the inode and the first line's fingerprint of what follows: a rotation and a gap
            behind the same line may lead to different files.
    """

    behind: tuple[int, int, int] | None
    marks: tuple[str, ...]
    file: tuple[int, int]

    @classmethod
    def of(cls, behind: str, marks: Sequence[str], follows: LogCursor) -> Self:
        """A beginning between two cursors; the first is "" where nothing was published before."""
        seen = LogCursor.parse(behind)
        place = (seen.first, seen.offset, seen.digest) if seen is not None else None
        return cls(place, tuple(marks), (follows.inode, follows.first))


class Generations:
    """The generations of one log that this process has given."""

    def __init__(self) -> None:
        self._given: dict[Beginning, int] = {}

    def at(self, beginning: Beginning, *, above: int, now_s: int) -> int:
        """The generation that begins somewhere: the one that it had, else a new one.

        Args:
            beginning: where.
            above: the generation before it; this one is higher.
            now_s: what the clock says: a new one is no lower, so that ids rise although everything
                was lost. It is higher than all that were given, too: those who read them may know
                what the stream does not.
        """
        known = self._given.pop(beginning, 0)
        if known <= above:
            known = max(now_s, 1 + max([above, *self._given.values()]))
        self._given[beginning] = known
        if len(self._given) > KEPT:
            del self._given[next(iter(self._given))]
        return known
