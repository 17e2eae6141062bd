"""All streams that are open: signs of life, limits, and how they end when the server does.

It must not know what the frames say.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Iterator

from aiohttp import web

from marianne_stream.errors import (
    MarianneStreamError,
    TooManyStreamsError,
    TooManyStreamsPerClientError,
)
from marianne_stream.feeds.feed import Feed
from marianne_stream.schemas import HeartbeatData
from marianne_stream.web.auth_middleware import CLIENT_INFO, GRANT
from marianne_stream.web.responses import NO_STORE
from marianne_stream.web.sse_response import CloseReason, SSEResponse
from marianne_stream.wire import sse

logger = logging.getLogger(__name__)

# While we are leaving, as many streams end in a second at least; the clients return later by this
# than the last of them has left, and then over as long again, or a second.
DRAIN_STREAMS_PER_S = 200
DRAIN_RETRY_MARGIN_S = 0.5
DRAIN_RETRY_SPREAD_S = 1.0

DRAIN_TICK_S = 0.02

# How long clients have to take what they are sent when the server ends.
DRAIN_FLUSH_TIMEOUT_S = 1.0

# How long a client has to take what it was sent before its right was revoked.
REVOKED_FLUSH_TIMEOUT_S = 2.0

COMMENT_AFTER_IDLE_S = 15.0
HEARTBEAT_AFTER_IDLE_S = 30.0

# Each stream is looked after so often, and a share of them at a time: a sign of life to ten
# thousand who came together would stop the loop for 100 ms.
TICK_S = 1.0
TICK_SLICES = 10

# One whose write buffer has not shrunk for so long is disconnected; and those that hold the most,
# when all together hold more than this.
STALL_TIMEOUT_S = 60.0
MAX_BUFFERED_BYTES = 256 * 1024 * 1024


class StreamRegistry:
    """All open streams: one timer keeps the idle ones alive, and closing ends all.

    Args:
        max_streams: how many there may be.
        max_streams_per_client: how many there may be to one client.
        stall_timeout_s: how long a client may take nothing.
        max_buffered_bytes: what may be kept for all together.

    Attributes:
        is_draining: whether the server ends.
        sent_frames: how many frames the streams that have ended were sent.
        sent_bytes: how many bytes.
        closed: how many have ended, by reason.
    """

    def __init__(
        self,
        *,
        max_streams: int = 10_000,
        max_streams_per_client: int = 10_000,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        max_buffered_bytes: int = MAX_BUFFERED_BYTES,
    ) -> None:
        self._open: dict[SSEResponse, None] = {}
        # Of the streams that have ended.
        self.sent_frames = self.sent_bytes = 0
        self.closed: Counter[CloseReason] = Counter()
        self._max_streams = max_streams
        self._max_streams_per_client = max_streams_per_client
        self._open_by_client: Counter[str] = Counter()
        self._stall_timeout_s = stall_timeout_s
        self._max_buffered_bytes = max_buffered_bytes
        self.is_draining = False
        self._drain_duration_s = self._drain_ends_at = 0.0
        self._all_closed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[SSEResponse]:
        return iter(self._open)

    async def run_keepalive(self) -> None:
        """Gives idle streams a sign of life, until cancelled."""
        while True:
            streams = list(self._open)
            for share in range(TICK_SLICES):
                await asyncio.sleep(TICK_S / TICK_SLICES)
                now = time.monotonic()
                self._send_keepalives(streams[share::TICK_SLICES], now)
                self._abort_stalled(streams[share::TICK_SLICES], now)
            # Those that have ended are held no longer.
            del streams
            self._limit_memory()

    def begin_drain(self, drain_timeout_s: float) -> None:
        """No stream is begun any more; those that are open end over so long, or less if few."""
        self._drain_duration_s = min(drain_timeout_s, len(self._open) / DRAIN_STREAMS_PER_S)
        self._drain_ends_at = time.monotonic() + self._drain_duration_s
        self.is_draining = True
        self._all_closed.clear()

    def drain_retry_ms(self) -> int:
        """When a client does well to come back, in milliseconds: after all others have gone."""
        rest_s = max(0.0, self._drain_ends_at - time.monotonic())
        spread_s = random.uniform(0.0, max(DRAIN_RETRY_SPREAD_S, self._drain_duration_s))  # noqa: S311 - no secret
        return round(1000 * (rest_s + DRAIN_RETRY_MARGIN_S + spread_s))

    async def drain(self, force: asyncio.Event) -> None:
        """Ends the streams one after the other, once `begin_drain` was called.

        Args:
            force: ends the rest at once when it is set.
        """
        waiting = list(self._open)
        random.shuffle(waiting)
        each_s = self._drain_duration_s / max(1, len(waiting))
        while each_s and waiting and not force.is_set():
            due = len(waiting) - max(0, int((self._drain_ends_at - time.monotonic()) / each_s))
            for _ in range(due):
                # Of one that has ended meanwhile, nothing is left to close.
                waiting.pop().feed.finish()
            await asyncio.sleep(DRAIN_TICK_S)
        self.close()
        if self._open:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_FLUSH_TIMEOUT_S):
                    await self._all_closed.wait()
        self.abort_all()

    def close(self) -> None:
        """Ends all streams once they have sent what they have; later ones end at once.

        A client that does not take it is not waited for.
        """
        self.is_draining = True
        for stream in self._open:
            stream.feed.finish()
        asyncio.get_running_loop().call_later(DRAIN_FLUSH_TIMEOUT_S, self.abort_all)

    def abort_all(self) -> None:
        """Ends all streams at once, without what has not been sent."""
        for stream in list(self._open):
            stream.abort("shutdown")

    def require_capacity(self, request: web.Request) -> None:
        """Makes sure that one more may begin, before anything is asked or opened for it.

        Raises:
            TooManyStreamsError: there are as many as there may be.
            TooManyStreamsOfOneError: there are as many as there may be to one client.
        """
        if len(self._open) >= self._max_streams:
            raise TooManyStreamsError
        if (
            self._open_by_client[request[CLIENT_INFO].rate_limit_key]
            >= self._max_streams_per_client
        ):
            raise TooManyStreamsPerClientError

    def open(self, request: web.Request, feed: Feed) -> web.StreamResponse:
        """The answer that sends a feed; it is the answer's to leave from now on.

        Raises:
            TooManyStreamsError: there are as many as there may be.
            TooManyStreamsOfOneError: there are as many as there may be to one client.
        """
        if feed.is_exhausted:
            feed.close()
            return no_content_response()
        try:
            self.require_capacity(request)
        except MarianneStreamError:
            feed.close()
            raise
        client = request[CLIENT_INFO].rate_limit_key
        stream = SSEResponse(feed, self, grant=request[GRANT], client_key=client)
        self._open[stream] = None
        self._open_by_client[client] += 1
        feed.set_sink(stream)
        if self.is_draining:
            feed.finish()
        return stream

    def discard(self, stream: SSEResponse) -> None:
        """A stream has ended, and its client has taken all, or is gone."""
        del self._open[stream]
        if not self._open:
            self._all_closed.set()
        self._open_by_client[stream.client_key] -= 1
        if not self._open_by_client[stream.client_key]:
            del self._open_by_client[stream.client_key]
        stream.detach()
        self.sent_frames += stream.sent_frames
        self.sent_bytes += stream.written_bytes
        self.closed[stream.close_reason] += 1
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s %s %s ended: %s, %.1f s, %d bytes", *stream.access_log_fields())

    def _send_keepalives(self, streams: list[SSEResponse], now: float) -> None:
        """Writes to what has been idle for long, unless it does not take what it is sent.

        Those whose right was revoked end, once they have sent what they have, or soon.
        """
        data = HeartbeatData(timestamp=round(time.time(), 3)).json_bytes()
        heartbeat = sse.EncodedFrames(sse.frame(data, event="heartbeat"))
        comment = sse.EncodedFrames(sse.comment("idle"))
        revoked: list[SSEResponse] = []
        for stream in streams:
            if stream.grant.revoked:
                revoked.append(stream)
            if stream.has_written_since_check():
                stream.last_write_at = stream.last_event_at = now
            elif (
                stream.feed.has_heartbeats and now - stream.last_event_at >= HEARTBEAT_AFTER_IDLE_S
            ):
                stream.last_write_at = stream.last_event_at = now
                stream.send_keepalive(heartbeat)
            elif now - stream.last_write_at >= COMMENT_AFTER_IDLE_S:
                stream.last_write_at = now
                stream.send_keepalive(comment)
        self._close_revoked(revoked, now)

    @staticmethod
    def _close_revoked(streams: list[SSEResponse], now: float) -> None:
        """Ends those who have no right to more; at once who does not take what there is."""
        for stream in streams:
            if not stream.revoked_at:
                stream.revoked_at = now
                stream.feed.finish()
            elif now - stream.revoked_at >= REVOKED_FLUSH_TIMEOUT_S:
                stream.abort("revoked")

    def _abort_stalled(self, streams: list[SSEResponse], now: float) -> None:
        """Disconnects who takes nothing."""
        stuck = [stream for stream in streams if stream.is_stalled(now, self._stall_timeout_s)]
        for stream in stuck:
            stream.abort("stalled")
        if stuck:
            logger.info(
                "%d clients took nothing for %.0f s: disconnected",
                len(stuck),
                self._stall_timeout_s,
            )

    def _limit_memory(self) -> None:
        """Disconnects who holds the most, where all hold too much.

        What many hold together is counted for each of them: the sum is an upper bound.
        """
        held = sum(stream.buffered_bytes for stream in self._open)
        if held <= self._max_buffered_bytes:
            return
        let_go = 0
        for stream in sorted(self._open, key=lambda one: one.buffered_bytes, reverse=True):
            if held <= self._max_buffered_bytes:
                break
            held -= stream.buffered_bytes
            stream.abort("memory_pressure")
            let_go += 1
        logger.warning("disconnected: %d that do not read, all held too much together", let_go)


def no_content_response() -> web.Response:
    """The answer on which an EventSource stops for good (WHATWG HTML section 9.2.3)."""
    return web.Response(status=204, headers=NO_STORE)
