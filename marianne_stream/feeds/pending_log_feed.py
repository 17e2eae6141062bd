"""A log that does not exist yet: waits for it, and goes on as its feed does."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from marianne_stream.errors import LogNotFoundError
from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.feeds.feed import Feed, FeedKind
from marianne_stream.feeds.log_follower import QUIET_PERIOD_S
from marianne_stream.feeds.log_frames import make_missing_frame, make_no_log_frame


class PendingLogFeed:
    """A log that is not there yet: waits for it, and goes on as its feed does.

    Args:
        open_feed: opens the feed of the log, or raises LogNotFoundError while there is none.
        has_job_ended: whether the job is over.
        missing_detail: where the log was looked for, and how to get one.
        poll_interval_s: how often is looked.
    """

    kind: FeedKind = "log"
    has_heartbeats = False
    is_exhausted = False

    def __init__(
        self,
        open_feed: Callable[[], Awaitable[Feed]],
        has_job_ended: Callable[[], Awaitable[bool]],
        *,
        missing_detail: str,
        poll_interval_s: float,
    ) -> None:
        self._open_feed = open_feed
        self._has_job_ended = has_job_ended
        self._missing_detail = missing_detail
        self._poll_interval_s = poll_interval_s
        self._finishing = asyncio.Event()
        self._feed: Feed | None = None
        self._sink: Sink | None = None

    @property
    def buffered_bytes(self) -> int:
        """What is kept for the viewer."""
        return self._feed.buffered_bytes if self._feed is not None else 0

    def set_sink(self, sink: Sink) -> None:
        """Says where new lines may go at once."""
        self._sink = sink

    async def frames(self) -> AsyncIterator[bytes]:
        """From the log's beginning to its end; the end at once where the job ends without one."""
        yield make_missing_frame(self._missing_detail)
        over_since: float | None = None
        while self._feed is None:
            try:
                self._feed = await self._open_feed()
                break
            except LogNotFoundError:
                over = await self._has_job_ended()
            now = time.monotonic()
            over_since = (over_since or now) if over else None
            if over_since is not None and now - over_since >= QUIET_PERIOD_S:
                yield make_no_log_frame()
                return
            if await self._wait_for_finish():
                return
        if self._finishing.is_set():
            return
        if self._sink is not None:
            self._feed.set_sink(self._sink)
        async for chunk in self._feed.frames():
            yield chunk

    async def _wait_for_finish(self) -> bool:
        """Waits for the next look; true where there will be none."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._poll_interval_s):
                await self._finishing.wait()
        return self._finishing.is_set()

    def finish(self) -> None:
        """Lets `frames` end."""
        self._finishing.set()
        if self._feed is not None:
            self._feed.finish()

    def close(self) -> None:
        """Lets go of the log, where there was one."""
        self._sink = None
        if self._feed is not None:
            self._feed.close()
