"""Matches lines against what a viewer wants, in threads: a pattern may be slow.

It must not know what the lines are sent as.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from marianne_stream.logs.entries import NOTHING_ABOVE, EntryFilter, EntryState, state_behind
from marianne_stream.logs.index import Selection
from marianne_stream.logs.threads import JobThreads

T = TypeVar("T")

# After so long a thread is given to the next one who waits for it.
SLICE_S = 0.05


@dataclass(slots=True)
class Filtering:
    """What one viewer wants, and where in an entry it stands.

    Attributes:
        only: which lines it wants.
        above: what the lines that it has been given, or not, say of the next one.
    """

    only: Selection
    above: EntryState = NOTHING_ABOVE

    async def begin_behind(self, threads: JobThreads, lines: Callable[[], Sequence[bytes]]) -> None:
        """Stand behind some lines, which are read in a thread."""
        above = await threads.find(lines)
        self.above = await threads.match(state_behind, self.only, above)

    async def choose(
        self, threads: JobThreads, items: Sequence[T], text_of: Callable[[T], bytes | None]
    ) -> list[T]:
        """Return the items that the viewer wants, in their order.

        Args:
            threads: where they are matched.
            items: lines, and what stands between them.
            text_of: the text of a line; None for what is no line, which is always wanted, and
                behind which no entry goes on.
        """
        wanted: list[T] = []
        place = 0
        while place < len(items):
            some, place, self.above = await threads.match(
                match_some, items, place, self.only, self.above, text_of
            )
            wanted += some
        return wanted


def match_some(
    items: Sequence[T],
    place: int,
    only: Selection,
    above: EntryState,
    text_of: Callable[[T], bytes | None],
) -> tuple[list[T], int, EntryState]:
    """Match items from a place on until the time is up.

    Returns:
        The wanted ones, where to go on, and what the lines up to there say of the next.
    """
    until = time.monotonic() + SLICE_S
    filtered = EntryFilter(only, above)
    wanted: list[T] = []
    while place < len(items):
        item = items[place]
        text = text_of(item)
        if text is None:
            filtered.end_entry()
        if text is None or filtered.passes(text):
            wanted.append(item)
        place += 1
        if time.monotonic() >= until:
            break
    return wanted, place, filtered.state


# Frames, and where in an entry a viewer stands who has them.
Found = tuple[bytes, EntryState]


class WantedOnce:
    """What is wanted of the same lines, found once for all viewers that want the same."""

    def __init__(self) -> None:
        self._found: dict[tuple[Selection, EntryState], Found] = {}
        self._locks: defaultdict[tuple[Selection, EntryState], asyncio.Lock] = defaultdict(
            asyncio.Lock
        )

    async def get(
        self, filtering: Filtering, find: Callable[[Filtering], Awaitable[bytes]]
    ) -> bytes:
        """Return what a viewer wants; find it if no viewer that wants the same has yet.

        Safe to cancel.
        """
        key = (filtering.only, filtering.above)
        async with self._locks[key]:
            if key not in self._found:
                copy = Filtering(*key)
                frames = await find(copy)
                self._found[key] = frames, copy.above
        frames, filtering.above = self._found[key]
        return frames
