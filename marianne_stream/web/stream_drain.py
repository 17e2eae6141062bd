"""Graceful end of all streams at shutdown."""

import asyncio
import contextlib
import random
import time
from collections.abc import Collection

from marianne_stream.web.sse_response import SSEResponse

# The drain ends at least so many streams a second. Clients reconnect after the last stream has
# ended and this margin, spread over as long again, or at least over a second.
DRAIN_STREAMS_PER_S = 200
DRAIN_RETRY_MARGIN_S = 0.5
DRAIN_RETRY_SPREAD_S = 1.0

DRAIN_TICK_S = 0.02

# Time that clients have to take what has been sent to them.
DRAIN_FLUSH_TIMEOUT_S = 1.0


class StreamDrain:
    """Ends streams one after the other, so that not all clients reconnect at once."""

    def __init__(self, streams: Collection[SSEResponse]) -> None:
        self.is_active = False
        self._streams = streams
        self._duration_s = self._ends_at = 0.0
        self._all_closed = asyncio.Event()

    def begin(self, timeout_s: float) -> None:
        """Begin the drain: new streams end at once.

        `run` ends the open streams over `timeout_s`, or in less time if they are few.
        """
        self._duration_s = min(timeout_s, len(self._streams) / DRAIN_STREAMS_PER_S)
        self._ends_at = time.monotonic() + self._duration_s
        self.is_active = True
        self._all_closed.clear()

    def retry_ms(self) -> int | None:
        """Return the delay after which a client should reconnect, in milliseconds.

        The delays are random, and end after the drain. None unless the drain has begun.
        """
        if not self.is_active:
            return None
        rest_s = max(0.0, self._ends_at - time.monotonic())
        spread_s = random.uniform(0.0, max(DRAIN_RETRY_SPREAD_S, self._duration_s))  # noqa: S311 - no secret
        return round(1000 * (rest_s + DRAIN_RETRY_MARGIN_S + spread_s))

    async def run(self, force: asyncio.Event) -> None:
        """End the streams, once `begin` was called. If `force` is set, the rest ends at once."""
        waiting = list(self._streams)
        random.shuffle(waiting)
        each_s = self._duration_s / max(1, len(waiting))
        while each_s and waiting and not force.is_set():
            due = len(waiting) - max(0, int((self._ends_at - time.monotonic()) / each_s))
            for _ in range(due):
                # The feed of a stream that has ended meanwhile is an empty one.
                waiting.pop().feed.finish()
            await asyncio.sleep(DRAIN_TICK_S)
        self.finish_all()
        if self._streams:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_FLUSH_TIMEOUT_S):
                    await self._all_closed.wait()
        self.abort_all()

    def finish_all(self) -> None:
        """End all streams once they have sent what they have, and after a second in any case."""
        self.is_active = True
        for stream in self._streams:
            stream.feed.finish()
        asyncio.get_running_loop().call_later(DRAIN_FLUSH_TIMEOUT_S, self.abort_all)

    def abort_all(self) -> None:
        """Close the connections of all streams at once; what has not been sent is lost."""
        for stream in list(self._streams):
            stream.abort("shutdown")

    def on_stream_closed(self) -> None:
        """Stop waiting for streams if the last one has closed."""
        if not self._streams:
            self._all_closed.set()
