"""One stream that is kept open: headers, first field, frames, faults and the end.

Its body is a feed. It must not know what the frames say.
"""

import logging
import time
from typing import Literal, Protocol, get_args

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp_sse import EventSourceResponse
from multidict import CIMultiDict

from marianne_stream.access.keeper import Grant
from marianne_stream.errors import MarianneStreamError
from marianne_stream.feeds.feed import EmptyFeed, Feed
from marianne_stream.jobs.views import make_error_frame
from marianne_stream.web.request_ids import REQUEST_ID, path_in_log
from marianne_stream.wire import sse
from marianne_stream.wire.sse import MAX_WRITE_BYTES, EncodedFrames

logger = logging.getLogger(__name__)

# What a client waits before it connects again by itself.
RETRY_MS = 2_000

# What a client has not taken yet of one stream is kept in four places: the kernel's buffer, the
# transport's (up to this and one write), the frames that are being sent, and the feed.
WRITE_BUFFER_BYTES = 16 * 1024

# Its feed came to its end; its client left; the server did; its right was revoked; its client took
# nothing, or held too much; it failed.
EndReason = Literal[
    "finished", "client_disconnect", "shutdown", "revoked", "stalled", "memory_pressure", "failed"
]
END_REASONS: tuple[EndReason, ...] = get_args(EndReason)


class Owner(Protocol):
    """All streams together, as one of them sees them."""

    @property
    def leaving(self) -> bool:
        """Whether the server ends."""
        ...

    def leaving_retry_ms(self) -> int:
        """When a client does well to come back."""
        ...

    def forget(self, stream: "EventStream", /) -> None:
        """A stream has ended."""
        ...


class EventStream(EventSourceResponse):
    """An EventSourceResponse without a task of its own: `Streams` gives all a sign of life.

    Its body is a feed, which is sent when the handler has returned the response, as a FileResponse
    is: while it is open, no handler waits for it. It leaves the feed at its end, and when the
    client leaves; it is one of the open streams until its client has taken all, too.

    A client that has gone without a word is given up by the kernel, as the socket that listens says
    (`listening.for_streams`): the parent would set that for each stream, in the method that is not
    used here.

    Args:
        feed: what it is sent.
        streams: all others; it is one of them to its end.
        grant: by what right.
        client: to whom, as clients are counted.

    Attributes:
        grant: by what right.
        client: to whom.
        feed: what it is sent; once it has ended, nothing.
        written: how many bytes were given to the transport, the framing of chunks included, headers
            and the end of the body aside.
        sent_frames: how many frames they held.
        revoked_at: when it was noticed that its right was revoked, 0 before.
        end_reason: why it has ended, or would if its client left now.
        opened_at: since when it is open, in seconds of the monotonic clock.
        idle_since: when something was written last, in seconds of the monotonic clock.
        quiet_since: the same, comments aside.
    """

    # With them in its `__dict__`, the names of all would be more than dictionaries share: each
    # stream would hold its own table of 2 KB.
    __slots__ = (
        "_chunks",
        "_in_hand",
        "_path",
        "_protocol",
        "_request_id",
        "_seen_taken",
        "_seen_written",
        "_sending",
        "_streams",
        "_taken_at",
        "_writer",
        "client",
        "end_reason",
        "feed",
        "grant",
        "idle_since",
        "opened_at",
        "quiet_since",
        "revoked_at",
        "sent_frames",
        "written",
    )

    def __init__(self, feed: Feed, streams: Owner, *, grant: Grant, client: str) -> None:
        super().__init__()
        self.grant = grant
        self.client = client
        self.headers["Cache-Control"] = "private, no-store, no-transform"
        # Whether the connection is kept is for the request to say.
        del self.headers["Connection"]
        self.feed = feed
        self._streams = streams
        self.written = self.sent_frames = 0
        self.revoked_at = 0.0
        self.end_reason: EndReason = "client_disconnect"
        self.opened_at = time.monotonic()
        self.idle_since = self.quiet_since = 0.0
        # What had been written, and taken, when the timer looked last; and when more had been.
        self._seen_written = self._seen_taken = 0
        self._taken_at = 0.0
        # While frames are sent whose turn it is, and from the end on, nothing may go past them.
        self._sending = False
        # How many bytes these are.
        self._in_hand = 0
        # What the line of its end says of the request, which is gone by then.
        self._path = self._request_id = ""
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
        # They have been sent; ten thousand of them are worth 10 MB. One that is cleared keeps its
        # table.
        self._headers = CIMultiDict()
        self._protocol = request.protocol
        if request.transport is not None:
            request.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self.idle_since = self.quiet_since = self._taken_at = time.monotonic()
        return self._writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Sends the feed, from its first frame to its end, ends the body, and sees it leave.

        A fault after the headers becomes a `stream_error`, never a second answer. Cancelled when
        the client leaves.

        Raises:
            ConnectionError: the client has gone.
        """
        try:
            try:
                await self._send_feed()
            finally:
                if self._req is not None:
                    self._path = path_in_log(self._req)
                    self._request_id = self._req.get(REQUEST_ID, "")
                self._sending = True
                self.leave_feed()
            await super().write_eof(data)
            await self._all_sent()
        finally:
            self._streams.forget(self)

    async def _send_feed(self) -> None:
        await self.send_frames(sse.retry(RETRY_MS))
        try:
            async for chunk in self.feed.frames():
                await self.send_frames(chunk)
                # The next may be long in coming.
                del chunk
            self.end_reason = self._end_reason()
        except ConnectionError:
            raise
        except MarianneStreamError as error:
            self.end_reason = "failed"
            await self.send_frames(make_error_frame(error.detail, error.code))
        except Exception:
            self.end_reason = "failed"
            logger.exception("a stream failed")
            fault = MarianneStreamError()
            await self.send_frames(make_error_frame(fault.detail, fault.code))
        if self._streams.leaving:
            await self.send_frames(sse.retry(self._streams.leaving_retry_ms()))

    async def _all_sent(self) -> None:
        """Waits until nothing is left in the transport's buffer.

        A transport that is closed before waits for ever for a client that does not read. So the
        stream stays one of those that are looked after, and are aborted.
        """
        transport = self._protocol.transport if self._protocol is not None else None
        if transport is None or self._writer is None:
            return
        # The writer waits while there is more than this.
        transport.set_write_buffer_limits(high=1, low=0)
        await self._writer.drain()
        if not transport.is_closing():
            transport.set_write_buffer_limits()

    def leave_feed(self) -> None:
        """Lets go of the feed. Its mailbox holds the stream, which holds the feed: no longer."""
        feed, self.feed = self.feed, EmptyFeed(self.feed.kind)
        feed.close()

    def let_go(self) -> None:
        """Lets go of the feed, and of the connection, which may be another answer's from now on."""
        self.leave_feed()
        self._protocol = self._writer = None

    def _end_reason(self) -> EndReason:
        """Why the feed has come to its end."""
        if self._streams.leaving:
            return "shutdown"
        return "revoked" if self.grant.revoked else "finished"

    def ended_line(self) -> tuple[object, ...]:
        """By which id, who was sent what, why it ended, how long, how much."""
        seconds = time.monotonic() - self.opened_at
        asked = self._request_id, self.client, self._path
        return *asked, self.end_reason, seconds, self.written

    async def send_frames(self, frames: bytes) -> None:
        """Sends whole frames; waits while the client takes no more.

        Raises:
            ConnectionError: the client has gone.
        """
        self._sending = True
        self._in_hand = len(frames)
        self.sent_frames += frames.count(b"\n\n")
        for start in range(0, len(frames), MAX_WRITE_BYTES):
            piece = frames[start : start + MAX_WRITE_BYTES]
            await self.write(piece)
            self.written += len(piece) + (
                sse.chunk_overhead_bytes(len(piece)) if self._chunks else 0
            )
            if self._writer is not None:
                await self._writer.drain()
        self._in_hand = 0
        self._sending = False

    def try_send(self, frames: EncodedFrames) -> bool:
        """Sends whole frames to a client that takes what it is sent; false where it does not.

        They go straight to the transport: its buffer has room, and the headers have gone before.
        False, too, for more than one write: the buffer would have to hold all that the client does
        not take of it.
        """
        protocol = self._protocol
        if protocol is None or self._sending or protocol.writing_paused:
            return False
        if len(frames.data) > MAX_WRITE_BYTES:
            return False
        transport = protocol.transport
        if transport is None or transport.is_closing():
            return False
        data = frames.chunk if self._chunks else frames.data
        transport.write(data)
        self.written += len(data)
        self.sent_frames += frames.count
        return True

    def send_sign(self, frames: EncodedFrames) -> None:
        """Sends a sign of life to a client that has taken all that it was sent."""
        if not self.unsent_bytes and self.try_send(frames):
            self._seen_written = self.written

    @property
    def unsent_bytes(self) -> int:
        """What the transport still has to send.

        Of TLS, what the transport below it has is not seen: at most 64 KiB, before it asks for no
        more.
        """
        transport = self._protocol.transport if self._protocol is not None else None
        return transport.get_write_buffer_size() if transport is not None else 0

    @property
    def held_bytes(self) -> int:
        """What is kept for the client: in the transport, on its way there, and in the feed."""
        return self.unsent_bytes + self._in_hand + self.feed.buffered_bytes

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

    def abort(self, reason: EndReason) -> None:
        """Ends the connection at once, without what has not been sent."""
        self.end_reason = reason
        if self._protocol is not None and self._protocol.transport is not None:
            self._protocol.transport.abort()
