"""Matches lines against what a viewer wants, in threads: a pattern may be slow.

It must not know what the lines are sent as.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from marianne_stream.logs.entries import NO_ENTRY, EntryMatcher, EntryState, entry_state_after
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_threads import JobThreads

T = TypeVar("T")

# After so long a thread is given to the next one who waits for it.
MATCH_SLICE_S = 0.05


@dataclass(slots=True)
class LineMatcher:
    """What one viewer wants, and where in an entry it stands.

    Attributes:
        line_filter: which lines it wants.
        entry_state: what the lines that it has been given, or not, say of the next one.
    """

    line_filter: LineFilter
    entry_state: EntryState = NO_ENTRY

    async def start_after(
        self, threads: JobThreads, read_lines: Callable[[], Sequence[bytes]]
    ) -> None:
        """Stand behind some lines, which are read in a thread."""
        above = await threads.find(read_lines)
        self.entry_state = await threads.match(entry_state_after, self.line_filter, above)

    async def select(
        self, threads: JobThreads, items: Sequence[T], get_text: Callable[[T], bytes | None]
    ) -> list[T]:
        """Return the items that the viewer wants, in their order.

        Args:
            threads: where they are matched.
            items: lines, and what stands between them.
            get_text: the text of a line; None for what is no line, which is always wanted, and
                behind which no entry goes on.
        """
        wanted: list[T] = []
        place = 0
        while place < len(items):
            some, place, self.entry_state = await threads.match(
                match_slice, items, place, self.line_filter, self.entry_state, get_text
            )
            wanted += some
        return wanted


def match_slice(
    items: Sequence[T],
    start: int,
    line_filter: LineFilter,
    entry_state: EntryState,
    get_text: Callable[[T], bytes | None],
) -> tuple[list[T], int, EntryState]:
    """Match items from a place on until the time is up.

    Returns:
        The wanted ones, where to go on, and what the lines up to there say of the next.
    """
    until = time.monotonic() + MATCH_SLICE_S
    filtered = EntryMatcher(line_filter, entry_state)
    wanted: list[T] = []
    while start < len(items):
        item = items[start]
        text = get_text(item)
        if text is None:
            filtered.reset()
        if text is None or filtered.matches(text):
            wanted.append(item)
        start += 1
        if time.monotonic() >= until:
            break
    return wanted, start, filtered.state


# Frames, and where in an entry a viewer stands who has them.
CachedMatch = tuple[bytes, EntryState]


class MatchCache:
    """What is wanted of the same lines, found once for all viewers that want the same."""

    def __init__(self) -> None:
        self._matches: dict[tuple[LineFilter, EntryState], CachedMatch] = {}
        self._locks: defaultdict[tuple[LineFilter, EntryState], asyncio.Lock] = defaultdict(
            asyncio.Lock
        )

    async def get_or_compute(
        self, matcher: LineMatcher, compute: Callable[[LineMatcher], Awaitable[bytes]]
    ) -> bytes:
        """Return what a viewer wants; find it if no viewer that wants the same has yet.

        Safe to cancel.
        """
        key = (matcher.line_filter, matcher.entry_state)
        async with self._locks[key]:
            if key not in self._matches:
                copy = LineMatcher(*key)
                frames = await compute(copy)
                self._matches[key] = frames, copy.entry_state
        frames, matcher.entry_state = self._matches[key]
        return frames
