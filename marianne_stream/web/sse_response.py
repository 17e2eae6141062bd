"""Response that sends one feed as Server-Sent Events, and logs its end."""

import logging
import time
from collections.abc import Callable
from typing import Literal, get_args

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from marianne_stream.auth.authenticator import Grant
from marianne_stream.errors import MarianneStreamError
from marianne_stream.feeds.feed import EmptyFeed, Feed
from marianne_stream.jobs.snapshots import make_error_frame
from marianne_stream.web.aiohttp_internals import DirectEventSourceResponse
from marianne_stream.web.request_ids import REQUEST_ID, loggable_path
from marianne_stream.wire import sse
from marianne_stream.wire.sse import MAX_WRITE_BYTES, EncodedFrames

logger = logging.getLogger(__name__)

# Delay before a client reconnects by itself.
RETRY_MS = 2_000

CloseReason = Literal[
    "finished", "client_disconnect", "shutdown", "revoked", "stalled", "memory_pressure", "failed"
]
CLOSE_REASONS: tuple[CloseReason, ...] = get_args(CloseReason)


class SSEResponse(DirectEventSourceResponse):
    """Stream: an EventSourceResponse whose body is a feed.

    The feed is sent after the handler has returned the response, as the body of a FileResponse is,
    so no handler waits while a stream is open. The feed is closed when it ends or the client
    disconnects; the stream stays open until the client has taken everything.

    The kernel closes the connection of a client that has vanished
    (`sockets.set_stream_socket_options`).

    Args:
        feed: the feed to send; the response closes it.
        drain_retry_ms: returns the delay after which the client should reconnect, in milliseconds,
            or None unless the server is draining.
        on_close: called once with the stream when it has ended.

    Attributes:
        feed: the feed; an empty one after the end.
        written_bytes: bytes given to the transport: the body with its framing, without the end.
        sent_frames: number of frames in these bytes.
        close_reason: reason of the end; until then, the reason if the client disconnected now.
        opened_at: time of creation. All times are in seconds of the monotonic clock.
        last_write_at: time at which the monitor last saw or made a write.
        last_event_at: the same for writes other than comments.
        revoked_at: time at which the monitor found the grant to be revoked; 0 before.
    """

    __slots__ = (
        "_checked_bytes",
        "_consumed_at",
        "_consumed_bytes",
        "_drain_retry_ms",
        "_in_flight_bytes",
        "_is_sending",
        "_loggable_path",
        "_on_close",
        "_request_id",
        "client_key",
        "close_reason",
        "feed",
        "grant",
        "held_bytes",
        "last_event_at",
        "last_write_at",
        "opened_at",
        "revoked_at",
        "sent_frames",
        "written_bytes",
    )

    def __init__(
        self,
        feed: Feed,
        *,
        grant: Grant,
        client_key: str,
        drain_retry_ms: Callable[[], int | None],
        on_close: Callable[["SSEResponse"], None],
    ) -> None:
        super().__init__()
        self.headers["Cache-Control"] = "private, no-store, no-transform"
        self.feed = feed
        self.grant = grant
        self.client_key = client_key
        self.opened_at = self.last_write_at = self.last_event_at = time.monotonic()
        self.revoked_at = 0.0
        # `buffered_bytes` at the last check.
        self.held_bytes = 0
        self.written_bytes = self.sent_frames = 0
        self.close_reason: CloseReason = "client_disconnect"
        self._drain_retry_ms = drain_retry_ms
        self._on_close = on_close
        # True while queued frames are being sent, and after the feed: nothing may overtake them.
        self._is_sending = False
        self._in_flight_bytes = 0
        # The bytes written at the last check, and those that the client had taken and when.
        self._checked_bytes = self._consumed_bytes = 0
        self._consumed_at = self.opened_at
        # Kept for the log entry: the request is gone when the stream ends.
        self._loggable_path = self._request_id = ""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the headers; if that fails, the stream has ended."""
        try:
            return await super().prepare(request)
        except BaseException:
            self._on_close(self)
            raise

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the feed to its end, end the body, and wait until the client has taken everything.

        aiohttp calls this after `prepare`, and cancels it if the client disconnects. A failure of
        the feed is sent as a `stream_error` event.

        Raises:
            ConnectionError: the client has disconnected.
        """
        try:
            try:
                await self._send_feed()
            finally:
                self._keep_log_fields()
                self._is_sending = True
                self.close_feed()
            await super().write_eof(data)
            # Closing the transport would wait for a client that does not read; until it has taken
            # everything, the stream is one of those that are checked for stalls.
            await self.flush()
        finally:
            self._on_close(self)

    async def send_frames(self, frames: bytes) -> None:
        """Send whole frames, and wait until the client has taken most of them.

        Raise ConnectionError if the client has disconnected.
        """
        self._is_sending = True
        self._in_flight_bytes = len(frames)
        self.sent_frames += frames.count(b"\n\n")
        for start in range(0, len(frames), MAX_WRITE_BYTES):
            piece = frames[start : start + MAX_WRITE_BYTES]
            await self.write(piece)
            self.written_bytes += self.framed_size(len(piece))
            await self.wait_writable()
        self._in_flight_bytes = 0
        self._is_sending = False

    def try_send(self, frames: EncodedFrames) -> bool:
        """Send whole frames without waiting; return False if the client is behind."""
        if self._is_sending or not (written := self.write_direct(frames)):
            return False
        self.written_bytes += written
        self.sent_frames += frames.count
        return True

    def send_keepalive(self, frames: EncodedFrames) -> None:
        """Send a keepalive, unless the client has still to take earlier frames."""
        if not self.unsent_bytes and self.try_send(frames):
            self._checked_bytes = self.written_bytes

    def has_written(self) -> bool:
        """Return whether anything but keepalives was written since the last call."""
        before, self._checked_bytes = self._checked_bytes, self.written_bytes
        return self.written_bytes != before

    @property
    def buffered_bytes(self) -> int:
        """Bytes kept for the client: in the transport, being sent, and in the feed."""
        return self.unsent_bytes + self._in_flight_bytes + self.feed.buffered_bytes

    def is_stalled(self, now: float, timeout_s: float) -> bool:
        """Return whether the client has taken nothing for `timeout_s`, although data waits."""
        consumed = self.written_bytes - self.unsent_bytes
        if consumed != self._consumed_bytes or not self.unsent_bytes:
            self._consumed_bytes, self._consumed_at = consumed, now
        return now - self._consumed_at >= timeout_s

    def close_feed(self) -> None:
        """Close the feed and drop it: feed and stream refer to each other."""
        feed, self.feed = self.feed, EmptyFeed(self.feed.kind)
        feed.close()

    def abort(self, reason: CloseReason) -> None:
        """Close the connection at once; what has not been sent is lost."""
        self.close_reason = reason
        self.abort_transport()

    def detach(self) -> None:
        """Let go of the feed and of the connection."""
        self.close_feed()
        super().detach()

    def log_closed(self) -> None:
        """Log the end of the stream."""
        logger.info(
            "stream closed reason=%s duration=%.1fs bytes=%d client=%s path=%s request_id=%s%s",
            self.close_reason,
            time.monotonic() - self.opened_at,
            self.written_bytes,
            self.client_key,
            self._loggable_path,
            self._request_id,
            f" user={self.grant.user}" if self.grant.user else "",
        )

    async def _send_feed(self) -> None:
        await self.send_frames(sse.retry(RETRY_MS))
        try:
            async for chunk in self.feed.frames():
                await self.send_frames(chunk)
                # The next chunk may be a long time coming; do not keep this one.
                del chunk
            self.close_reason = self._feed_close_reason()
        except ConnectionError:
            raise
        except MarianneStreamError as error:
            await self._send_error(error)
        except Exception:
            self._keep_log_fields()
            logger.exception(
                "stream failed path=%s request_id=%s", self._loggable_path, self._request_id
            )
            await self._send_error(MarianneStreamError())
        if (retry_ms := self._drain_retry_ms()) is not None:
            await self.send_frames(sse.retry(retry_ms))

    def _keep_log_fields(self) -> None:
        if self.request is not None:
            self._loggable_path = loggable_path(self.request)
            self._request_id = self.request.get(REQUEST_ID, "")

    async def _send_error(self, error: MarianneStreamError) -> None:
        self.close_reason = "failed"
        await self.send_frames(make_error_frame(error.detail, error.code))

    def _feed_close_reason(self) -> CloseReason:
        if self._drain_retry_ms() is not None:
            return "shutdown"
        return "finished" if self.grant.is_valid else "revoked"
