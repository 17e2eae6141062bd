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
    TooManyStreamsOfOneError,
)
from marianne_stream.feeds.feed import Feed
from marianne_stream.payloads import HeartbeatData
from marianne_stream.web.answers import NO_STORE
from marianne_stream.web.event_stream import EndReason, EventStream
from marianne_stream.web.gate import GRANT, VISITOR
from marianne_stream.wire import sse

logger = logging.getLogger(__name__)

# While we are leaving, as many streams end in a second at least; the clients return later by this
# than the last of them has left, and then over as long again, or a second.
LEAVING_EACH_S = 200
LEAVING_MARGIN_S = 0.5
LEAVING_SPREAD_S = 1.0

DRAIN_TICK_S = 0.02

# How long clients have to take what they are sent when the server ends.
LEAVING_S = 1.0

# How long a client has to take what it was sent before its right was revoked.
REVOKED_S = 2.0

IDLE_COMMENT_S = 15.0
IDLE_HEARTBEAT_S = 30.0

# Each stream is looked after so often, and a share of them at a time: a sign of life to ten
# thousand who came together would stop the loop for 100 ms.
TICK_S = 1.0
SHARES = 10

# One whose write buffer has not shrunk for so long is disconnected; and those that hold the most,
# when all together hold more than this.
STUCK_S = 60.0
HELD_BYTES = 256 * 1024 * 1024


class Streams:
    """All open streams: one timer keeps the idle ones alive, and closing ends all.

    Args:
        max_streams: how many there may be.
        max_streams_of_one: how many there may be to one client.
        stuck_s: how long a client may take nothing.
        held_bytes: what may be kept for all together.

    Attributes:
        leaving: whether the server ends.
        sent_frames: how many frames the streams that have ended were sent.
        sent_bytes: how many bytes.
        ended: how many have ended, by reason.
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
        # Of the streams that have ended.
        self.sent_frames = self.sent_bytes = 0
        self.ended: Counter[EndReason] = Counter()
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
            streams = list(self._open)
            for share in range(SHARES):
                await asyncio.sleep(TICK_S / SHARES)
                now = time.monotonic()
                self._keep_alive(streams[share::SHARES], now)
                self._end_stuck(streams[share::SHARES], now)
            # Those that have ended are held no longer.
            del streams
            self._bound_memory()

    def begin_leaving(self, drain_s: float) -> None:
        """No stream is begun any more; those that are open end over so long, or less if few."""
        self._leaving_s = min(drain_s, len(self._open) / LEAVING_EACH_S)
        self._left_at = time.monotonic() + self._leaving_s
        self.leaving = True
        self._all_gone.clear()

    def leaving_retry_ms(self) -> int:
        """When a client does well to come back, in milliseconds: after all others have gone."""
        rest_s = max(0.0, self._left_at - time.monotonic())
        spread_s = random.uniform(0.0, max(LEAVING_SPREAD_S, self._leaving_s))  # noqa: S311 - no secret
        return round(1000 * (rest_s + LEAVING_MARGIN_S + spread_s))

    async def drain(self, hurry: asyncio.Event) -> None:
        """Ends the streams one after the other, once `begin_leaving` was called.

        Args:
            hurry: ends the rest at once when it is set.
        """
        waiting = list(self._open)
        random.shuffle(waiting)
        each_s = self._leaving_s / max(1, len(waiting))
        while each_s and waiting and not hurry.is_set():
            due = len(waiting) - max(0, int((self._left_at - time.monotonic()) / each_s))
            for _ in range(due):
                # Of one that has ended meanwhile, nothing is left to close.
                waiting.pop().feed.finish()
            await asyncio.sleep(DRAIN_TICK_S)
        self.close()
        if self._open:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVING_S):
                    await self._all_gone.wait()
        self.abort_all()

    def close(self) -> None:
        """Ends all streams once they have sent what they have; later ones end at once.

        A client that does not take it is not waited for.
        """
        self.leaving = True
        for stream in self._open:
            stream.feed.finish()
        asyncio.get_running_loop().call_later(LEAVING_S, self.abort_all)

    def abort_all(self) -> None:
        """Ends all streams at once, without what has not been sent."""
        for stream in list(self._open):
            stream.abort("shutdown")

    def check_room(self, request: web.Request) -> None:
        """Makes sure that one more may begin, before anything is asked or opened for it.

        Raises:
            TooManyStreamsError: there are as many as there may be.
            TooManyStreamsOfOneError: there are as many as there may be to one client.
        """
        if len(self._open) >= self._max_streams:
            raise TooManyStreamsError
        if self._clients[request[VISITOR].counted_as] >= self._max_streams_of_one:
            raise TooManyStreamsOfOneError

    def answer(self, request: web.Request, feed: Feed) -> web.StreamResponse:
        """The answer that sends a feed; it is the answer's to leave from now on.

        Raises:
            TooManyStreamsError: there are as many as there may be.
            TooManyStreamsOfOneError: there are as many as there may be to one client.
        """
        if feed.is_exhausted:
            feed.close()
            return nothing_new()
        try:
            self.check_room(request)
        except MarianneStreamError:
            feed.close()
            raise
        client = request[VISITOR].counted_as
        stream = EventStream(feed, self, grant=request[GRANT], client=client)
        self._open[stream] = None
        self._clients[client] += 1
        feed.set_sink(stream)
        if self.leaving:
            feed.finish()
        return stream

    def forget(self, stream: EventStream) -> None:
        """A stream has ended, and its client has taken all, or is gone."""
        del self._open[stream]
        if not self._open:
            self._all_gone.set()
        self._clients[stream.client] -= 1
        if not self._clients[stream.client]:
            del self._clients[stream.client]
        stream.let_go()
        self.sent_frames += stream.sent_frames
        self.sent_bytes += stream.written
        self.ended[stream.end_reason] += 1
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s %s %s ended: %s, %.1f s, %d bytes", *stream.ended_line())

    def _keep_alive(self, streams: list[EventStream], now: float) -> None:
        """Writes to what has been idle for long, unless it does not take what it is sent.

        Those whose right was revoked end, once they have sent what they have, or soon.
        """
        data = HeartbeatData(timestamp=round(time.time(), 3)).json_bytes()
        heartbeat = sse.EncodedFrames(sse.frame(data, event="heartbeat"))
        comment = sse.EncodedFrames(sse.comment("idle"))
        revoked: list[EventStream] = []
        for stream in streams:
            if stream.grant.revoked:
                revoked.append(stream)
            if stream.has_written():
                stream.idle_since = stream.quiet_since = now
            elif stream.feed.has_heartbeats and now - stream.quiet_since >= IDLE_HEARTBEAT_S:
                stream.idle_since = stream.quiet_since = now
                stream.send_sign(heartbeat)
            elif now - stream.idle_since >= IDLE_COMMENT_S:
                stream.idle_since = now
                stream.send_sign(comment)
        self._end_revoked(revoked, now)

    @staticmethod
    def _end_revoked(streams: list[EventStream], now: float) -> None:
        """Ends those who have no right to more; at once who does not take what there is."""
        for stream in streams:
            if not stream.revoked_at:
                stream.revoked_at = now
                stream.feed.finish()
            elif now - stream.revoked_at >= REVOKED_S:
                stream.abort("revoked")

    def _end_stuck(self, streams: list[EventStream], now: float) -> None:
        """Disconnects who takes nothing."""
        stuck = [stream for stream in streams if stream.is_stuck(now, self._stuck_s)]
        for stream in stuck:
            stream.abort("stalled")
        if stuck:
            logger.info(
                "%d clients took nothing for %.0f s: disconnected", len(stuck), self._stuck_s
            )

    def _bound_memory(self) -> None:
        """Disconnects who holds the most, where all hold too much.

        What many hold together is counted for each of them: the sum is an upper bound.
        """
        held = sum(stream.held_bytes for stream in self._open)
        if held <= self._held_bytes:
            return
        let_go = 0
        for stream in sorted(self._open, key=lambda one: one.held_bytes, reverse=True):
            if held <= self._held_bytes:
                break
            held -= stream.held_bytes
            stream.abort("memory_pressure")
            let_go += 1
        logger.warning("disconnected: %d that do not read, all held too much together", let_go)


def nothing_new() -> web.Response:
    """The answer on which an EventSource stops for good (WHATWG HTML section 9.2.3)."""
    return web.Response(status=204, headers=NO_STORE)
