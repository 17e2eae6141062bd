"""Streams that are kept open: headers, first field, frames, idle signs, faults and the end.

It must not know what the frames say.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Iterator

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp_sse import EventSourceResponse

from marianne_stream.access.keeper import Grant
from marianne_stream.errors import (
    MarianneStreamError,
    TooManyStreamsError,
    TooManyStreamsOfOneError,
)
from marianne_stream.feeds.feed import Feed
from marianne_stream.jobs.views import error_frame
from marianne_stream.payloads import HeartbeatData
from marianne_stream.web.answers import NO_STORE
from marianne_stream.web.gate import GRANT, VISITOR
from marianne_stream.wire import sse
from marianne_stream.wire.sse import Frames

logger = logging.getLogger(__name__)

# What a client waits before it connects again by itself.
RETRY_MS = 2_000

# While we are leaving, as many streams end in a second at least; the clients return later by this
# than the last of them has left, and then over as long again, or a second.
LEAVING_EACH_S = 200
LEAVING_MARGIN_S = 0.5
LEAVING_SPREAD_S = 1.0

DRAIN_TICK_S = 0.02

# How long clients have to take what they are sent when the server ends.
LEAVING_S = 1.0

IDLE_COMMENT_S = 15.0
IDLE_HEARTBEAT_S = 30.0


# What a client has not taken yet of one stream is kept in three places: the kernel's buffer, the
# transport's (up to this and one write), and the feed's.
WRITE_BUFFER_BYTES = 16 * 1024
WRITE_BYTES = 32 * 1024

# One whose write buffer has not shrunk for so long is disconnected; and those that hold the most,
# when all together hold more than this.
STUCK_S = 60.0
HELD_BYTES = 256 * 1024 * 1024


class EventStream(EventSourceResponse):
    """An EventSourceResponse without a task of its own: `Streams` gives all a sign of life.

    Its body is a feed, which is sent when the handler has returned the response, as a FileResponse
    is: while it is open, no handler waits for it. It leaves the feed at its end, and when the
    client leaves.

    Args:
        feed: what it is sent.
        streams: all others; it is one of them to its end.
        grant: by what right.
        client: to whom, as clients are counted.

    Attributes:
        grant: by what right.
        client: to whom.
        feed: what it is sent.
        written: how many bytes were given to the transport, headers aside.
        idle_since: when something was written last, in seconds of the monotonic clock.
        quiet_since: the same, comments aside.
    """

    def __init__(self, feed: Feed, streams: "Streams", *, grant: Grant, client: str) -> None:
        super().__init__()
        self.grant = grant
        self.client = client
        self.headers["Cache-Control"] = "private, no-store, no-transform"
        # Whether the connection is kept is for the request to say.
        del self.headers["Connection"]
        self.feed = feed
        self._streams = streams
        self.written = 0
        self.idle_since = self.quiet_since = 0.0
        # What had been written, and taken, when the timer looked last; and when more had been.
        self._seen_written = self._seen_taken = 0
        self._taken_at = 0.0
        self._sending = False
        self._protocol: web.RequestHandler | None = None
        self._writer: AbstractStreamWriter | None = None
        self._chunks = True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Sends the headers, framed as the client's version of HTTP can read it.

        The parent's own method starts a task for each stream; its parent's does all that is needed
        here.
        """
        try:
            return await self._prepare(request)
        except BaseException:
            self._streams.forget(self)
            raise

    async def _prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if request.version < HttpVersion11:
            # No chunks there: the body ends with the connection (RFC 9112 section 6.3).
            self.headers["Connection"] = "close"
            self.force_close()
            self._chunks = False
        self._writer = await web.StreamResponse.prepare(self, request)
        # They have been sent; ten thousand of them are worth 10 MB.
        self.headers.clear()
        self._protocol = request.protocol
        if request.transport is not None:
            request.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self.idle_since = self.quiet_since = self._taken_at = time.monotonic()
        return self._writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Sends the feed, from its first frame to its end, and ends the body.

        A fault after the headers becomes a `stream_error`, never a second answer. Cancelled when
        the client leaves.

        Raises:
            ConnectionError: the client has gone.
        """
        try:
            await self.send_frames(sse.retry(RETRY_MS))
            try:
                async for chunk in self.feed.frames():
                    await self.send_frames(chunk)
                    # The next may be long in coming.
                    del chunk
            except ConnectionError:
                raise
            except MarianneStreamError as error:
                await self.send_frames(error_frame(error.detail, error.code))
            except Exception:
                logger.exception("a stream failed")
                fault = MarianneStreamError()
                await self.send_frames(error_frame(fault.detail, fault.code))
            if self._streams.leaving:
                await self.send_frames(sse.retry(self._streams.leaving_retry_ms()))
        finally:
            # Before the end is written: nothing may follow that.
            self._streams.forget(self)
        await super().write_eof(data)

    async def send_frames(self, frames: bytes) -> None:
        """Sends whole frames; waits while the client takes no more.

        Raises:
            ConnectionError: the client has gone.
        """
        self._sending = True
        for start in range(0, len(frames), WRITE_BYTES):
            await self.write(frames[start : start + WRITE_BYTES])
            self.written += min(WRITE_BYTES, len(frames) - start)
            if self._writer is not None:
                await self._writer.drain()
        self._sending = False

    def send_now(self, frames: Frames) -> bool:
        """Sends whole frames to a client that takes what it is sent; false where it does not.

        They go straight to the transport: its buffer has room, and the headers have gone before.
        """
        protocol = self._protocol
        if protocol is None or self._sending or protocol.writing_paused:
            return False
        transport = protocol.transport
        if transport is None or transport.is_closing():
            return False
        data = frames.chunk if self._chunks else frames.data
        transport.write(data)
        self.written += len(data)
        return True

    def send_sign(self, frames: Frames) -> None:
        """Sends a sign of life to a client that has taken all that it was sent."""
        if not self.unsent_bytes and self.send_now(frames):
            self._seen_written = self.written

    @property
    def unsent_bytes(self) -> int:
        """What the transport still has to send."""
        transport = self._protocol.transport if self._protocol is not None else None
        return transport.get_write_buffer_size() if transport is not None else 0

    @property
    def held_bytes(self) -> int:
        """What is kept for the client, in the transport and in the feed."""
        return self.unsent_bytes + self.feed.held_bytes

    def has_written(self) -> bool:
        """Whether anything was written since this was asked last."""
        before, self._seen_written = self._seen_written, self.written
        return self.written != before

    def is_stuck(self, now: float, limit_s: float) -> bool:
        """Whether the client has taken nothing for so long, of what there is."""
        unsent = self.unsent_bytes
        taken = self.written - unsent
        if taken != self._seen_taken or not unsent:
            self._seen_taken, self._taken_at = taken, now
        return now - self._taken_at >= limit_s

    def abort(self) -> None:
        """Ends the connection at once, without what has not been sent."""
        if self._protocol is not None and self._protocol.transport is not None:
            self._protocol.transport.abort()


class Streams:
    """All open streams: one timer keeps the idle ones alive, and closing ends all.

    Args:
        max_streams: how many there may be.
        max_streams_of_one: how many there may be to one client.
        stuck_s: how long a client may take nothing.
        held_bytes: what may be kept for all together.

    Attributes:
        leaving: whether the server ends.
    """

    def __init__(
        self,
        *,
        max_streams: int = 10_000,
        max_streams_of_one: int = 10_000,
        stuck_s: float = STUCK_S,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        self._open: dict[EventStream, None] = {}
        self._max_streams = max_streams
        self._max_streams_of_one = max_streams_of_one
        self._clients: Counter[str] = Counter()
        self._stuck_s = stuck_s
        self._held_bytes = held_bytes
        self.leaving = False
        self._leaving_s = self._left_at = 0.0
        self._all_gone = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[EventStream]:
        return iter(self._open)

    async def run(self) -> None:
        """Gives idle streams a sign of life, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            self._keep_alive(now)
            self._let_go(now)

    def begin_leaving(self, drain_s: float) -> None:
        """No stream is begun any more; those that are open end over so long, or less if few."""
        self._leaving_s = min(drain_s, len(self._open) / LEAVING_EACH_S)
        self._left_at = time.monotonic() + self._leaving_s
        self.leaving = True
        self._all_gone.clear()

    def leaving_retry_ms(self) -> int:
        """When a client does well to come back, in milliseconds: after all others have gone."""
        rest_s = max(0.0, self._left_at - time.monotonic())
        spread_s = random.uniform(0.0, max(LEAVING_SPREAD_S, self._leaving_s))
        return round(1000 * (rest_s + LEAVING_MARGIN_S + spread_s))

    async def drain(self, hurry: asyncio.Event) -> None:
        """Ends the streams one after the other, once `begin_leaving` was called.

        Args:
            hurry: ends the rest at once when it is set.
        """
        waiting = list(self._open)
        random.shuffle(waiting)
        each_s = self._leaving_s / max(1, len(waiting))
        while waiting and not hurry.is_set():
            due = len(waiting) - max(0, int((self._left_at - time.monotonic()) / each_s))
            for _ in range(due):
                waiting.pop().feed.close()
            await asyncio.sleep(DRAIN_TICK_S)
        self.close()
        if self._open:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVING_S):
                    await self._all_gone.wait()
        self._abort_all()

    def close(self) -> None:
        """Ends all streams once they have sent what they have; later ones end at once.

        A client that does not take it is not waited for.
        """
        self.leaving = True
        for stream in self._open:
            stream.feed.close()
        asyncio.get_running_loop().call_later(LEAVING_S, self._abort_all)

    def _abort_all(self) -> None:
        for stream in list(self._open):
            stream.abort()

    def answer(self, request: web.Request, feed: Feed) -> web.StreamResponse:
        """The answer that sends a feed; it is the answer's to leave from now on.

        Raises:
            TooManyStreamsError: there are as many as there may be.
            TooManyStreamsOfOneError: there are as many as there may be to one client.
        """
        client = request[VISITOR].counted_as
        if feed.nothing_new:
            feed.leave()
            return nothing_new()
        if len(self._open) >= self._max_streams:
            feed.leave()
            raise TooManyStreamsError
        if self._clients[client] >= self._max_streams_of_one:
            feed.leave()
            raise TooManyStreamsOfOneError
        stream = EventStream(feed, self, grant=request[GRANT], client=client)
        self._open[stream] = None
        self._clients[client] += 1
        feed.attach(stream)
        if self.leaving:
            feed.close()
        return stream

    def forget(self, stream: EventStream) -> None:
        """A stream has ended."""
        del self._open[stream]
        if not self._open:
            self._all_gone.set()
        self._clients[stream.client] -= 1
        if not self._clients[stream.client]:
            del self._clients[stream.client]
        stream.feed.leave()

    def _keep_alive(self, now: float) -> None:
        """Writes to what has been idle for long, unless it does not take what it is sent.

        Those whose right was revoked end, once they have sent what they have.
        """
        data = HeartbeatData(timestamp=round(time.time(), 3)).json_bytes()
        heartbeat = sse.Frames(sse.frame(data, event="heartbeat"))
        comment = sse.Frames(sse.comment("idle"))
        for stream in self._open:
            if stream.grant.revoked:
                stream.feed.close()
            if stream.has_written():
                stream.idle_since = stream.quiet_since = now
            elif stream.feed.heartbeats and now - stream.quiet_since >= IDLE_HEARTBEAT_S:
                stream.idle_since = stream.quiet_since = now
                stream.send_sign(heartbeat)
            elif now - stream.idle_since >= IDLE_COMMENT_S:
                stream.idle_since = now
                stream.send_sign(comment)

    def _let_go(self, now: float) -> None:
        """Disconnects who takes nothing, and who holds the most where all hold too much."""
        stuck = [stream for stream in self._open if stream.is_stuck(now, self._stuck_s)]
        for stream in stuck:
            stream.abort()
        if stuck:
            logger.info(
                "%d clients took nothing for %.0f s: disconnected", len(stuck), self._stuck_s
            )
        held = sum(stream.held_bytes for stream in self._open)
        if held <= self._held_bytes:
            return
        let_go = 0
        for stream in sorted(self._open, key=lambda one: one.held_bytes, reverse=True):
            if held <= self._held_bytes:
                break
            held -= stream.held_bytes
            stream.abort()
            let_go += 1
        logger.warning("disconnected: %d that do not read, all held too much together", let_go)


def nothing_new() -> web.Response:
    """The answer on which an EventSource stops for good (WHATWG HTML section 9.2.3)."""
    return web.Response(status=204, headers=NO_STORE)
