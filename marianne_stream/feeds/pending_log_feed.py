"""Feed of a log that does not exist yet."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from marianne_stream.errors import LogNotFoundError
from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.feeds.feed import Feed, FeedKind
from marianne_stream.feeds.log_follower import QUIET_PERIOD_S
from marianne_stream.feeds.log_frames import make_missing_frame, make_no_log_frame

# Poll interval for a missing log.
POLL_INTERVAL_S = 0.25


class PendingLogFeed:
    """Waits for a log, and then passes on its feed.

    `open_feed` raises LogNotFoundError as long as there is no log. `missing_detail` says where it
    was looked for, and how to get one.
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
    ) -> None:
        self._open_feed = open_feed
        self._has_job_ended = has_job_ended
        self._missing_detail = missing_detail
        self._finishing = asyncio.Event()
        self._feed: Feed | None = None
        self._sink: Sink | None = None

    @property
    def buffered_bytes(self) -> int:
        """Size of what is held for the client."""
        return self._feed.buffered_bytes if self._feed is not None else 0

    def set_sink(self, sink: Sink) -> None:
        """Send new lines to a sink while `frames` waits for more."""
        self._sink = sink

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield the frames of the log; its end at once if the job ends without a log."""
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
            # The next may be a long time coming; do not keep this one.
            del chunk

    async def _wait_for_finish(self) -> bool:
        """Wait for the next poll; return True if `finish` was called."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_INTERVAL_S):
                await self._finishing.wait()
        return self._finishing.is_set()

    def finish(self) -> None:
        """Let `frames` end."""
        self._finishing.set()
        if self._feed is not None:
            self._feed.finish()

    def close(self) -> None:
        """Release the log's feed and the sink."""
        self._sink = None
        if self._feed is not None:
            self._feed.close()
