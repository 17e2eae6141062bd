"""Streams that are kept open: headers, first field, frames, idle signs, faults and the end.

It must not know what the frames say.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp_sse import EventSourceResponse

from marianne_stream.errors import MarianneStreamError
from marianne_stream.feeds.feed import Feed
from marianne_stream.jobs.views import error_frame
from marianne_stream.payloads import HeartbeatData
from marianne_stream.wire import sse

logger = logging.getLogger(__name__)

# What a client waits before it connects again: by itself, and while we are leaving.
RETRY_MS = 2_000
LEAVING_RETRY_MS = (1_000, 5_000)

IDLE_COMMENT_S = 15.0
IDLE_HEARTBEAT_S = 30.0


class EventStream(EventSourceResponse):
    """An EventSourceResponse without a task of its own: `Streams` gives all a sign of life.

    Args:
        heartbeats: whether an idle stream carries `heartbeat` events as well as comments.
    """

    def __init__(self, *, heartbeats: bool) -> None:
        super().__init__()
        self.headers["Cache-Control"] = "private, no-store, no-transform"
        # Whether the connection is kept is for the request to say.
        del self.headers["Connection"]
        self.heartbeats = heartbeats
        self.idle_since = self.quiet_since = 0.0

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Sends the headers, framed as the client's version of HTTP can read it.

        The parent's own method starts a task for each stream; its parent's does all that is needed
        here.
        """
        if request.version < HttpVersion11:
            # No chunks there: the body ends with the connection (RFC 9112 section 6.3).
            self.headers["Connection"] = "close"
            self.force_close()
        return await web.StreamResponse.prepare(self, request)

    async def send_frames(self, frames: bytes) -> None:
        """Sends whole frames; waits while the client takes no more. Cancelling is safe.

        Raises:
            ConnectionError: the client has gone.
        """
        self.idle_since = self.quiet_since = time.monotonic()
        await self.write(frames)

    async def send_if_idle(self, frames: bytes) -> None:
        """Sends whole frames, unless the client has not yet taken what it was sent. Never waits."""
        transport = None if self._req is None else self._req.transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size():
            return
        await self.write(frames)


class Streams:
    """All open streams: one timer keeps the idle ones alive, and closing ends all."""

    def __init__(self) -> None:
        self._open: dict[EventStream, Feed] = {}
        self._leaving = False

    def __len__(self) -> int:
        return len(self._open)

    async def run(self) -> None:
        """Gives idle streams a sign of life, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            await self._keep_alive(time.monotonic())

    def close(self) -> None:
        """Ends all streams once they have sent what they have; later ones end at once."""
        self._leaving = True
        for feed in self._open.values():
            feed.close()

    async def serve(self, request: web.Request, feed: Feed) -> web.StreamResponse:
        """Sends a feed to a client, from the headers to the end.

        A fault after the headers becomes a `stream_error`, never a second answer. Cancelled when
        the client leaves.
        """
        stream = EventStream(heartbeats=feed.heartbeats)
        await stream.prepare(request)
        if self._leaving:
            feed.close()
        self._open[stream] = feed
        try:
            try:
                await stream.send_frames(sse.retry(RETRY_MS))
                await self._send_all(stream, feed.frames())
                if self._leaving:
                    await stream.send_frames(sse.retry(random.randint(*LEAVING_RETRY_MS)))
            finally:
                # Before the end is written: nothing may follow that.
                del self._open[stream]
            await stream.write_eof()
        except ConnectionError:
            # The client has gone, which is its right.
            logger.debug("a client left %r", request.path)
        return stream

    async def _send_all(self, stream: EventStream, frames: AsyncIterator[bytes]) -> None:
        try:
            async for chunk in frames:
                await stream.send_frames(chunk)
        except ConnectionError:
            raise
        except MarianneStreamError as error:
            await stream.send_frames(error_frame(error.detail, error.code))
        except Exception:
            logger.exception("a stream failed")
            fault = MarianneStreamError()
            await stream.send_frames(error_frame(fault.detail, fault.code))

    async def _keep_alive(self, now: float) -> None:
        """Writes to what has been idle for long, unless it does not take what it is sent."""
        heartbeat = sse.frame(
            HeartbeatData(timestamp=round(time.time(), 3)).json_bytes(), event="heartbeat"
        )
        for stream in list(self._open):
            if stream.heartbeats and now - stream.quiet_since >= IDLE_HEARTBEAT_S:
                stream.idle_since = stream.quiet_since = now
                await stream.send_if_idle(heartbeat)
            elif now - stream.idle_since >= IDLE_COMMENT_S:
                stream.idle_since = now
                await stream.send_if_idle(sse.comment("idle"))
