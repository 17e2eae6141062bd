"""A relayed log, for one viewer: what it missed or the newest lines, then what comes.

One that stands where the reading stands is offered what comes; one that stands further back reads
from Redis by itself. Comparing and joining happen in one turn of the loop. It must not know how
frames are sent.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial

from marianne_stream.errors import MarianneStreamError
from marianne_stream.fanout.mailboxes import Sink
from marianne_stream.feeds.feed import FeedKind
from marianne_stream.feeds.log_frames import make_log_gap_frame
from marianne_stream.feeds.log_matching import LineMatcher
from marianne_stream.feeds.log_streams import LogRequest
from marianne_stream.payloads import LogCompleteData
from marianne_stream.relay.edges.edge_log import TRIMMED, RelayedLog, RelayedStart, resumed
from marianne_stream.relay.edges.edge_mailbox import (
    COMPLETE,
    Placed,
    RelayedMailbox,
    chosen,
    frame_of,
    frames_of,
    lines_of,
)
from marianne_stream.relay.streams import is_after, place_of
from marianne_stream.wire import sse
from marianne_stream.wire.cursors import LogCursor

# How often one looks whether a job is over whose log has ended.
OVER_LOOK_S = 1.0

# How often one looks whether entries are there again that Redis has lost.
LOOK_AGAIN_S = 0.25


class RelayedFeed:
    """A log, for one viewer.

    Args:
        log: the log; it has counted this viewer.
        start: where it begins.
        ask: what it asks for.
        is_over: whether the job is over.
        on_leave: called when it leaves.
    """

    kind: FeedKind = "log"
    has_heartbeats = False

    def __init__(
        self,
        log: RelayedLog,
        start: RelayedStart,
        *,
        ask: LogRequest,
        is_over: Callable[[], Awaitable[bool]],
        on_leave: Callable[[RelayedLog], None],
    ) -> None:
        self._log = log
        self._start = start
        self._place = start.place
        self._only = ask.line_filter
        self._filtering = LineMatcher(ask.line_filter) if ask.line_filter is not None else None
        self._follow = ask.follow
        self._threads = log.threads
        self._is_over = is_over
        self._on_leave = on_leave
        self._outlet: Sink | None = None
        self._mailbox: RelayedMailbox | None = None
        self._closed = False
        # Of the last event that bore an id.
        self._cursor = ""
        # An end of the log, where that is the last that it has read by itself.
        self._final: Placed | None = None
        self.is_exhausted = start.nothing_new

    @property
    def buffered_bytes(self) -> int:
        """What is kept for the viewer."""
        return self._mailbox.held_bytes if self._mailbox is not None else 0

    def set_sink(self, sink: Sink) -> None:
        """Says where new lines may go at once."""
        self._outlet = sink

    async def frames(self) -> AsyncIterator[bytes]:
        """From where the viewer stands, to the log's end."""
        end = max(self._log.last, self._start.place, key=place_of)
        if self._filtering is not None:
            above = await self._log.above(self._start.place, self._start.first)
            await self._filtering.start_after(self._threads, partial(lines_of, above))
        if first := await self._first(end):
            yield first
        while not self._closed:
            async for chunk in self._by_itself(end):
                yield chunk
            if not self._follow:
                yield self._end_so_far()
                return
            if self._final is not None and await self._ends(self._final, end):
                yield frame_of(self._final[1])
                return
            if is_after(self._log.last, self._place):
                continue
            # Compared and joined in one turn of the loop.
            mailbox = self._mailbox = self._log.join(self._only, self._outlet, self._place)
            try:
                async for chunk in self._live(mailbox):
                    yield chunk
            finally:
                self._log.leave(mailbox)
            if not mailbox.behind:
                return
            self._place, self._cursor = mailbox.place, mailbox.cursor or self._cursor

    async def _first(self, end: bytes) -> bytes:
        """What a viewer is told before all else, and the newest lines for a new one."""
        gap = b""
        if self._start.cursor_expired:
            gap = make_log_gap_frame(None)
        elif self._start.gap is not None:
            gap = make_log_gap_frame(self._start.gap)
        return gap + await self._shown(self._start.first, end=end)

    async def _by_itself(self, end: bytes) -> AsyncIterator[bytes]:
        """What lies between the viewer and the reading, read from Redis."""
        while is_after(self._log.last, self._place) and not self._closed:
            entries, whole = await self._log.page(self._place)
            if not whole and await self._found_again():
                continue
            if whole and not entries and self._follow:
                # Redis has lost what the reading stands at: what comes instead comes here, too.
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            gap = b"" if whole else make_log_gap_frame(TRIMMED)
            # Where there is nothing, the reading stands at what is gone.
            self._place = entries[-1][0] if entries else self._log.last
            if frames := gap + await self._shown(entries, end=end):
                yield frames

    async def _found_again(self) -> bool:
        """Whether the place is another one now: Redis has lost its data, and has it again."""
        seen = LogCursor.parse(self._cursor)
        if seen is None:
            return False
        start = await resumed(self._log.source.reading, self._log.job_id, seen)
        if start is None or start.gap is not None or start.place == self._place:
            return False
        self._place = start.place
        return True

    async def _ends(self, final: Placed, end: bytes) -> bool:
        """Whether the log ends where it says so: a job that runs again goes on behind it."""
        if is_after(final[0], end):
            return True
        try:
            return await self._is_over()
        except MarianneStreamError:
            return False

    async def _live(self, mailbox: RelayedMailbox) -> AsyncIterator[bytes]:
        while await self._comes(mailbox):
            while (batch := mailbox.take()) is not None:
                if frames := await batch.wanted(self._filtering, self._threads):
                    yield frames
                if batch.complete:
                    return
            if mailbox.behind:
                return
        if self._final is not None and not self._closed:
            yield frame_of(self._final[1])

    async def _comes(self, mailbox: RelayedMailbox) -> bool:
        """Waits for more; false where there will be none.

        The word that a job is over may come after its log has said so.
        """
        while self._final is not None and self._final[0] == mailbox.place:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(OVER_LOOK_S):
                    return await mailbox.wait()
            if mailbox.place == self._final[0] and await self._ends(self._final, self._final[0]):
                return False
        self._final = None
        return await mailbox.wait()

    async def _shown(self, entries: Sequence[Placed], *, end: bytes) -> bytes:
        """Entries that are read from Redis, as frames; an end that was none is left out."""
        if entries:
            self._cursor = entries[-1][1].cursor or self._cursor
            self._final = entries[-1] if entries[-1][1].mark == COMPLETE else None
        lines = [(i, e) for i, e in entries if e.mark != COMPLETE]
        initial = [(i, e) for i, e in lines if not is_after(i, end)]
        later = lines[len(initial) :]
        old = await chosen(initial, self._filtering, self._threads)
        new = await chosen(later, self._filtering, self._threads)
        return frames_of(old, initial=True) + frames_of(new)

    def _end_so_far(self) -> bytes:
        """The end of a stream that was not to follow."""
        seen = LogCursor.parse(self._cursor)
        cursor = str(seen.as_complete(follow=False)) if seen is not None else ""
        data = LogCompleteData(message="This is the end so far.")
        return sse.frame(data.json_bytes(), event=COMPLETE, event_id=cursor)

    def finish(self) -> None:
        """Lets `frames` end."""
        self._closed = True
        if self._mailbox is not None:
            self._mailbox.finish()

    def close(self) -> None:
        """Lets go of the log."""
        self.finish()
        if self._mailbox is not None:
            self._mailbox.close()
        self._on_leave(self._log)
