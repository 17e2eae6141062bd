"""A log that does not exist yet: waits for it, and goes on as its feed does."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from marianne_stream.errors import LogNotFoundError
from marianne_stream.fanout.mailboxes import Sink
from marianne_stream.feeds.feed import Feed, Kind
from marianne_stream.feeds.followed import QUIET_S
from marianne_stream.feeds.log_frames import missing_frame, no_log_frame


class AwaitedLogFeed:
    """A log that is not there yet: waits for it, and goes on as its feed does.

    Args:
        open_feed: opens the feed of the log, or raises LogNotFoundError while there is none.
        is_over: whether the job is over.
        missing: where the log was looked for, and how to get one.
        interval_s: how often is looked.
    """

    kind: Kind = "log"
    heartbeats = False
    nothing_new = False

    def __init__(
        self,
        open_feed: Callable[[], Awaitable[Feed]],
        is_over: Callable[[], Awaitable[bool]],
        *,
        missing: str,
        interval_s: float,
    ) -> None:
        self._open_feed = open_feed
        self._is_over = is_over
        self._missing = missing
        self._interval_s = interval_s
        self._closing = asyncio.Event()
        self._feed: Feed | None = None
        self._outlet: Sink | None = None

    @property
    def held_bytes(self) -> int:
        """What is kept for the viewer."""
        return self._feed.held_bytes if self._feed is not None else 0

    def attach(self, outlet: Sink) -> None:
        """Says where new lines may go at once."""
        self._outlet = outlet

    async def frames(self) -> AsyncIterator[bytes]:
        """From the log's beginning to its end; the end at once where the job ends without one."""
        yield missing_frame(self._missing)
        over_since: float | None = None
        while self._feed is None:
            try:
                self._feed = await self._open_feed()
                break
            except LogNotFoundError:
                over = await self._is_over()
            now = time.monotonic()
            over_since = (over_since or now) if over else None
            if over_since is not None and now - over_since >= QUIET_S:
                yield no_log_frame()
                return
            if await self._closes():
                return
        if self._closing.is_set():
            return
        if self._outlet is not None:
            self._feed.attach(self._outlet)
        async for chunk in self._feed.frames():
            yield chunk

    async def _closes(self) -> bool:
        """Waits for the next look; true where there will be none."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._interval_s):
                await self._closing.wait()
        return self._closing.is_set()

    def close(self) -> None:
        """Lets `frames` end."""
        self._closing.set()
        if self._feed is not None:
            self._feed.close()

    def leave(self) -> None:
        """Lets go of the log, where there was one."""
        self._outlet = None
        if self._feed is not None:
            self._feed.leave()
