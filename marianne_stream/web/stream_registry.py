"""Registry of the open streams: admission, figures about them, and their end at shutdown."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from aiohttp import web

from marianne_stream.errors import (
    MarianneStreamError,
    TooManyStreamsError,
    TooManyStreamsPerClientError,
)
from marianne_stream.feeds.feed import FEED_KINDS, Feed
from marianne_stream.web.auth_middleware import CLIENT_INFO, GRANT
from marianne_stream.web.limits import ClientLimiter
from marianne_stream.web.responses import NO_STORE
from marianne_stream.web.sse_response import CloseReason, SSEResponse

# The drain ends at least so many streams a second. Clients reconnect after the last stream has
# ended and this margin, spread over as long again, or at least over a second.
DRAIN_STREAMS_PER_S = 200
DRAIN_RETRY_MARGIN_S = 0.5
DRAIN_RETRY_SPREAD_S = 1.0

DRAIN_TICK_S = 0.02

# Time that clients have to take what has been sent to them.
DRAIN_FLUSH_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """Figures of all streams since the start."""

    open_by_kind: dict[str, int]
    slow_consumers: int
    sent_frames: int
    sent_bytes: int
    closed: Counter[CloseReason]


class StreamRegistry:
    """The open streams, which are limited in total and per client."""

    def __init__(self, *, max_streams: int = 10_000, max_streams_per_client: int = 10_000) -> None:
        self._open: dict[SSEResponse, None] = {}
        self.is_draining = False
        self._drain_s = self._drain_ends_at = 0.0
        self._all_closed = asyncio.Event()
        self._limiter = ClientLimiter(max_streams, max_streams_per_client)
        # Of the streams that have ended.
        self._sent_frames = self._sent_bytes = 0
        self._closed: Counter[CloseReason] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[SSEResponse]:
        return iter(self._open)

    def __contains__(self, stream: object) -> bool:
        return stream in self._open

    def require_capacity(self, request: web.Request) -> None:
        """Check that a client may open one more stream, before anything is read for it.

        Raises:
            TooManyStreamsError: as many streams are open as the limit allows.
            TooManyStreamsPerClientError: the client has as many as the limit allows.
        """
        limit = self._limiter.reached(request[CLIENT_INFO].rate_limit_key)
        if limit == "total":
            raise TooManyStreamsError
        if limit == "per_client":
            raise TooManyStreamsPerClientError

    def open(self, request: web.Request, feed: Feed) -> web.StreamResponse:
        """Return the response that sends a feed and closes it, or 204 if the feed is exhausted.

        Raises as `require_capacity` does.
        """
        if feed.is_exhausted:
            feed.close()
            # An EventSource does not reconnect after a 204 (WHATWG HTML section 9.2.3).
            return web.Response(status=204, headers=NO_STORE)
        try:
            self.require_capacity(request)
        except MarianneStreamError:
            feed.close()
            raise
        client_key = request[CLIENT_INFO].rate_limit_key
        stream = SSEResponse(
            feed,
            grant=request[GRANT],
            client_key=client_key,
            drain_retry_ms=self._drain_retry_ms,
            on_close=self._on_stream_closed,
        )
        self._open[stream] = None
        self._limiter.add(client_key)
        feed.set_sink(stream)
        if self.is_draining:
            feed.finish()
        return stream

    def statistics(self) -> StreamStatistics:
        """Return the figures of all streams; what they hold, as it was at the last check."""
        open_by_kind: dict[str, int] = dict.fromkeys(FEED_KINDS, 0)
        slow_consumers = 0
        sent_frames, sent_bytes = self._sent_frames, self._sent_bytes
        for stream in self._open:
            open_by_kind[stream.feed.kind] += 1
            slow_consumers += stream.held_bytes > 0
            sent_frames += stream.sent_frames
            sent_bytes += stream.written_bytes
        return StreamStatistics(
            open_by_kind, slow_consumers, sent_frames, sent_bytes, self._closed.copy()
        )

    def begin_drain(self, timeout_s: float) -> None:
        """Begin the drain: new streams end at once.

        `drain` ends the open streams over `timeout_s`, or in less time if they are few.
        """
        self._drain_s = min(timeout_s, len(self._open) / DRAIN_STREAMS_PER_S)
        self._drain_ends_at = time.monotonic() + self._drain_s
        self.is_draining = True
        self._all_closed.clear()

    async def drain(self, force: asyncio.Event) -> None:
        """End the streams after `begin_drain`. If `force` is set, the rest ends at once."""
        waiting = list(self._open)
        random.shuffle(waiting)
        each_s = self._drain_s / max(1, len(waiting))
        while each_s and waiting and not force.is_set():
            due = len(waiting) - max(0, int((self._drain_ends_at - time.monotonic()) / each_s))
            for _ in range(due):
                # The feed of a stream that has ended meanwhile is an empty one.
                waiting.pop().feed.finish()
            await asyncio.sleep(DRAIN_TICK_S)
        self.finish_all()
        if self._open:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_FLUSH_TIMEOUT_S):
                    await self._all_closed.wait()
        self.abort_all()

    def finish_all(self) -> None:
        """End all streams once they have sent what they have, and after a second in any case."""
        self.is_draining = True
        for stream in self._open:
            stream.feed.finish()
        asyncio.get_running_loop().call_later(DRAIN_FLUSH_TIMEOUT_S, self.abort_all)

    def abort_all(self) -> None:
        """Close the connections of all streams at once; what has not been sent is lost."""
        for stream in list(self._open):
            stream.abort("shutdown")

    def _drain_retry_ms(self) -> int | None:
        """Return the delay after which a client should reconnect, in milliseconds.

        The delays are random, and end after the drain. None unless the drain has begun.
        """
        if not self.is_draining:
            return None
        rest_s = max(0.0, self._drain_ends_at - time.monotonic())
        spread_s = random.uniform(0.0, max(DRAIN_RETRY_SPREAD_S, self._drain_s))  # noqa: S311 - no secret
        return round(1000 * (rest_s + DRAIN_RETRY_MARGIN_S + spread_s))

    def _on_stream_closed(self, stream: SSEResponse) -> None:
        del self._open[stream]
        self._limiter.remove(stream.client_key)
        if not self._open:
            self._all_closed.set()
        stream.detach()
        self._sent_frames += stream.sent_frames
        self._sent_bytes += stream.written_bytes
        self._closed[stream.close_reason] += 1
        stream.log_closed()
