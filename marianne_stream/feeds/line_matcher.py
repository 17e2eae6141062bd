"""Line filter of one client, applied in threads, since a pattern may be slow."""

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

# Time slice after which a thread goes to the next waiting call.
MATCH_SLICE_S = 0.05


@dataclass(slots=True)
class LineMatcher:
    """Filter of one client and its state between lines."""

    line_filter: LineFilter
    entry_state: EntryState = NO_ENTRY

    async def start_after(
        self, threads: JobThreads, read_lines: Callable[[], Sequence[bytes]]
    ) -> None:
        """Set the state behind some lines. Reading them may block."""
        above = await threads.find(read_lines)
        self.entry_state = await threads.match(entry_state_after, self.line_filter, above)

    async def select(
        self, threads: JobThreads, items: Sequence[T], get_text: Callable[[T], bytes | None]
    ) -> list[T]:
        """Return the items that pass, in order.

        `get_text` returns the text of a line; None for a mark between lines, which always passes
        and ends an entry.
        """
        passed: list[T] = []
        index = 0
        while index < len(items):
            some, index, self.entry_state = await threads.match(
                match_slice, items, index, self.line_filter, self.entry_state, get_text
            )
            passed += some
        return passed


def match_slice(
    items: Sequence[T],
    start: int,
    line_filter: LineFilter,
    entry_state: EntryState,
    get_text: Callable[[T], bytes | None],
) -> tuple[list[T], int, EntryState]:
    """Match items from an index on until the time slice is over.

    Returns:
        The items that pass, the index to go on at, and the state there.
    """
    deadline_s = time.monotonic() + MATCH_SLICE_S
    matcher = EntryMatcher(line_filter, entry_state)
    passed: list[T] = []
    while start < len(items):
        item = items[start]
        text = get_text(item)
        if text is None:
            matcher.reset()
        if text is None or matcher.matches(text):
            passed.append(item)
        start += 1
        if time.monotonic() >= deadline_s:
            break
    return passed, start, matcher.state


# Frames, and the state of the filter behind them.
CachedMatch = tuple[bytes, EntryState]


class MatchCache:
    """Results of equal filters on the same lines, each computed once."""

    def __init__(self) -> None:
        self._matches: dict[tuple[LineFilter, EntryState], CachedMatch] = {}
        self._locks: defaultdict[tuple[LineFilter, EntryState], asyncio.Lock] = defaultdict(
            asyncio.Lock
        )

    async def get_or_compute(
        self, matcher: LineMatcher, compute: Callable[[LineMatcher], Awaitable[bytes]]
    ) -> bytes:
        """Return the result for a filter, and move its state on. Cancelling is safe.

        `compute` gets a copy of the matcher.
        """
        key = (matcher.line_filter, matcher.entry_state)
        async with self._locks[key]:
            if key not in self._matches:
                copy = LineMatcher(*key)
                frames = await compute(copy)
                self._matches[key] = frames, copy.entry_state
        frames, matcher.entry_state = self._matches[key]
        return frames
