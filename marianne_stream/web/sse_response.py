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

from marianne_stream.auth.authenticator import Grant
from marianne_stream.errors import MarianneStreamError
from marianne_stream.feeds.feed import EmptyFeed, Feed
from marianne_stream.jobs.snapshots import make_error_frame
from marianne_stream.web.request_ids import REQUEST_ID, loggable_path
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
CloseReason = Literal[
    "finished", "client_disconnect", "shutdown", "revoked", "stalled", "memory_pressure", "failed"
]
CLOSE_REASONS: tuple[CloseReason, ...] = get_args(CloseReason)


class ResponseOwner(Protocol):
    """All streams together, as one of them sees them."""

    @property
    def is_draining(self) -> bool:
        """Whether the server ends."""
        ...

    def drain_retry_ms(self) -> int:
        """When a client does well to come back."""
        ...

    def discard(self, stream: "SSEResponse", /) -> None:
        """A stream has ended."""
        ...


class SSEResponse(EventSourceResponse):
    """An EventSourceResponse without a task of its own: `StreamRegistry` gives all a sign of life.

    Its body is a feed, which is sent when the handler has returned the response, as a FileResponse
    is: while it is open, no handler waits for it. It leaves the feed at its end, and when the
    client leaves; it is one of the open streams until its client has taken all, too.

    A client that has gone without a word is given up by the kernel, as the socket that listens says
    (`listening.for_streams`): the parent would set that for each stream, in the method that is not
    used here.

    Args:
        feed: what it is sent.
        owner: all others; it is one of them to its end.
        grant: by what right.
        client_key: to whom, as clients are counted.

    Attributes:
        grant: by what right.
        client_key: to whom.
        feed: what it is sent; once it has ended, nothing.
        written_bytes: how many bytes were given to the transport, the framing of chunks included,
            headers and the end of the body aside.
        sent_frames: how many frames they held.
        revoked_at: when it was noticed that its right was revoked, 0 before.
        close_reason: why it has ended, or would if its client left now.
        opened_at: since when it is open, in seconds of the monotonic clock.
        last_write_at: when something was written last, in seconds of the monotonic clock.
        last_event_at: the same, comments aside.
    """

    # With them in its `__dict__`, the names of all would be more than dictionaries share: each
    # stream would hold its own table of 2 KB.
    __slots__ = (
        "_has_chunk_framing",
        "_in_flight_bytes",
        "_is_sending",
        "_last_consumed_at",
        "_last_consumed_bytes",
        "_last_written_bytes",
        "_loggable_path",
        "_owner",
        "_protocol",
        "_request_id",
        "_writer",
        "client_key",
        "close_reason",
        "feed",
        "grant",
        "last_event_at",
        "last_write_at",
        "opened_at",
        "revoked_at",
        "sent_frames",
        "written_bytes",
    )

    def __init__(self, feed: Feed, owner: ResponseOwner, *, grant: Grant, client_key: str) -> None:
        super().__init__()
        self.grant = grant
        self.client_key = client_key
        self.headers["Cache-Control"] = "private, no-store, no-transform"
        # Whether the connection is kept is for the request to say.
        del self.headers["Connection"]
        self.feed = feed
        self._owner = owner
        self.written_bytes = self.sent_frames = 0
        self.revoked_at = 0.0
        self.close_reason: CloseReason = "client_disconnect"
        self.opened_at = time.monotonic()
        self.last_write_at = self.last_event_at = 0.0
        # What had been written, and taken, when the timer looked last; and when more had been.
        self._last_written_bytes = self._last_consumed_bytes = 0
        self._last_consumed_at = 0.0
        # While frames are sent whose turn it is, and from the end on, nothing may go past them.
        self._is_sending = False
        # How many bytes these are.
        self._in_flight_bytes = 0
        # What the line of its end says of the request, which is gone by then.
        self._loggable_path = self._request_id = ""
        self._protocol: web.RequestHandler | None = None
        self._writer: AbstractStreamWriter | None = None
        self._has_chunk_framing = True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Sends the headers, framed as the client's version of HTTP can read it.

        The parent's own method starts a task for each stream; its parent's does all that is needed
        here.
        """
        try:
            return await self._prepare(request)
        except BaseException:
            self._owner.discard(self)
            raise

    async def _prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if request.version < HttpVersion11:
            # No chunks there: the body ends with the connection (RFC 9112 section 6.3).
            self.headers["Connection"] = "close"
            self.force_close()
            self._has_chunk_framing = False
        self._writer = await web.StreamResponse.prepare(self, request)
        # They have been sent; ten thousand of them are worth 10 MB. One that is cleared keeps its
        # table.
        self._headers = CIMultiDict()
        self._protocol = request.protocol
        if request.transport is not None:
            request.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self.last_write_at = self.last_event_at = self._last_consumed_at = time.monotonic()
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
                    self._loggable_path = loggable_path(self._req)
                    self._request_id = self._req.get(REQUEST_ID, "")
                self._is_sending = True
                self.close_feed()
            await super().write_eof(data)
            await self._flush_transport()
        finally:
            self._owner.discard(self)

    async def _send_feed(self) -> None:
        await self.send_frames(sse.retry(RETRY_MS))
        try:
            async for chunk in self.feed.frames():
                await self.send_frames(chunk)
                # The next may be long in coming.
                del chunk
            self.close_reason = self._feed_close_reason()
        except ConnectionError:
            raise
        except MarianneStreamError as error:
            self.close_reason = "failed"
            await self.send_frames(make_error_frame(error.detail, error.code))
        except Exception:
            self.close_reason = "failed"
            logger.exception("a stream failed")
            fault = MarianneStreamError()
            await self.send_frames(make_error_frame(fault.detail, fault.code))
        if self._owner.is_draining:
            await self.send_frames(sse.retry(self._owner.drain_retry_ms()))

    async def _flush_transport(self) -> None:
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

    def close_feed(self) -> None:
        """Lets go of the feed. Its mailbox holds the stream, which holds the feed: no longer."""
        feed, self.feed = self.feed, EmptyFeed(self.feed.kind)
        feed.close()

    def detach(self) -> None:
        """Lets go of the feed, and of the connection, which may be another answer's from now on."""
        self.close_feed()
        self._protocol = self._writer = None

    def _feed_close_reason(self) -> CloseReason:
        """Why the feed has come to its end."""
        if self._owner.is_draining:
            return "shutdown"
        return "revoked" if self.grant.revoked else "finished"

    def access_log_fields(self) -> tuple[object, ...]:
        """By which id, who was sent what, why it ended, how long, how much."""
        seconds = time.monotonic() - self.opened_at
        asked = self._request_id, self.client_key, self._loggable_path
        return *asked, self.close_reason, seconds, self.written_bytes

    async def send_frames(self, frames: bytes) -> None:
        """Sends whole frames; waits while the client takes no more.

        Raises:
            ConnectionError: the client has gone.
        """
        self._is_sending = True
        self._in_flight_bytes = len(frames)
        self.sent_frames += frames.count(b"\n\n")
        for start in range(0, len(frames), MAX_WRITE_BYTES):
            piece = frames[start : start + MAX_WRITE_BYTES]
            await self.write(piece)
            self.written_bytes += len(piece) + (
                sse.chunk_overhead_bytes(len(piece)) if self._has_chunk_framing else 0
            )
            if self._writer is not None:
                await self._writer.drain()
        self._in_flight_bytes = 0
        self._is_sending = False

    def try_send(self, frames: EncodedFrames) -> bool:
        """Sends whole frames to a client that takes what it is sent; false where it does not.

        They go straight to the transport: its buffer has room, and the headers have gone before.
        False, too, for more than one write: the buffer would have to hold all that the client does
        not take of it.
        """
        protocol = self._protocol
        if protocol is None or self._is_sending or protocol.writing_paused:
            return False
        if len(frames.data) > MAX_WRITE_BYTES:
            return False
        transport = protocol.transport
        if transport is None or transport.is_closing():
            return False
        data = frames.chunk if self._has_chunk_framing else frames.data
        transport.write(data)
        self.written_bytes += len(data)
        self.sent_frames += frames.count
        return True

    def send_keepalive(self, frames: EncodedFrames) -> None:
        """Sends a sign of life to a client that has taken all that it was sent."""
        if not self.unsent_bytes and self.try_send(frames):
            self._last_written_bytes = self.written_bytes

    @property
    def unsent_bytes(self) -> int:
        """What the transport still has to send.

        Of TLS, what the transport below it has is not seen: at most 64 KiB, before it asks for no
        more.
        """
        transport = self._protocol.transport if self._protocol is not None else None
        return transport.get_write_buffer_size() if transport is not None else 0

    @property
    def buffered_bytes(self) -> int:
        """What is kept for the client: in the transport, on its way there, and in the feed."""
        return self.unsent_bytes + self._in_flight_bytes + self.feed.buffered_bytes

    def has_written_since_check(self) -> bool:
        """Whether anything was written since this was asked last."""
        before, self._last_written_bytes = self._last_written_bytes, self.written_bytes
        return self.written_bytes != before

    def is_stalled(self, now: float, timeout_s: float) -> bool:
        """Whether the client has taken nothing for so long, of what there is."""
        unsent = self.unsent_bytes
        taken = self.written_bytes - unsent
        if taken != self._last_consumed_bytes or not unsent:
            self._last_consumed_bytes, self._last_consumed_at = taken, now
        return now - self._last_consumed_at >= timeout_s

    def abort(self, reason: CloseReason) -> None:
        """Ends the connection at once, without what has not been sent."""
        self.close_reason = reason
        if self._protocol is not None and self._protocol.transport is not None:
            self._protocol.transport.abort()
