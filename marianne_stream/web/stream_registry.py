"""Registry of the open streams: admission, and figures about them."""

import logging
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
from marianne_stream.web.stream_drain import StreamDrain

logger = logging.getLogger(__name__)


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
        self.drain = StreamDrain(self._open.keys())
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

    @property
    def is_draining(self) -> bool:
        """True while the server shuts down."""
        return self.drain.is_active

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
            drain_retry_ms=self.drain.retry_ms,
            on_close=self._on_stream_closed,
        )
        self._open[stream] = None
        self._limiter.add(client_key)
        feed.set_sink(stream)
        if self.is_draining:
            feed.finish()
        return stream

    def statistics(self) -> StreamStatistics:
        """Return the figures of all streams, as they are now."""
        open_by_kind: dict[str, int] = dict.fromkeys(FEED_KINDS, 0)
        slow_consumers = 0
        sent_frames, sent_bytes = self._sent_frames, self._sent_bytes
        for stream in self._open:
            open_by_kind[stream.feed.kind] += 1
            slow_consumers += stream.buffered_bytes > 0
            sent_frames += stream.sent_frames
            sent_bytes += stream.written_bytes
        return StreamStatistics(
            open_by_kind, slow_consumers, sent_frames, sent_bytes, self._closed.copy()
        )

    def _on_stream_closed(self, stream: SSEResponse) -> None:
        del self._open[stream]
        self._limiter.remove(stream.client_key)
        self.drain.on_stream_closed()
        stream.detach()
        self._sent_frames += stream.sent_frames
        self._sent_bytes += stream.written_bytes
        self._closed[stream.close_reason] += 1
        stream.log_closed()
