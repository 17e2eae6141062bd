"""Periodic check of all open streams: keepalives, revoked grants, stalled clients, memory."""

import asyncio
import logging
import time
from collections.abc import Collection

from marianne_stream.schemas.event_schemas import HeartbeatData
from marianne_stream.web.sse_response import SSEResponse
from marianne_stream.wire import sse

logger = logging.getLogger(__name__)

# Each stream is checked once a tick, a slice of all streams at a time: keepalives for ten thousand
# streams at once would hold the event loop for 100 ms.
TICK_S = 1.0
TICK_SLICES = 10

COMMENT_AFTER_IDLE_S = 15.0
HEARTBEAT_AFTER_IDLE_S = 30.0

# Time that a client has to take what was sent before its grant was revoked.
REVOKED_FLUSH_TIMEOUT_S = 2.0

# A client that has taken nothing for so long is disconnected.
STALL_TIMEOUT_S = 60.0

# If all streams together hold more, the clients that hold most are disconnected.
MAX_BUFFERED_BYTES = 256 * 1024 * 1024


async def monitor_streams(open_streams: Collection[SSEResponse]) -> None:
    """Check all streams once a second until cancelled, without a task for each of them."""
    while True:
        streams = list(open_streams)
        for number in range(TICK_SLICES):
            await asyncio.sleep(TICK_S / TICK_SLICES)
            now = time.monotonic()
            send_keepalives(streams[number::TICK_SLICES], now)
            close_revoked(streams[number::TICK_SLICES], now)
            abort_stalled(streams[number::TICK_SLICES], now)
            measure_buffers(streams[number::TICK_SLICES])
        # Streams that have ended are not kept.
        del streams
        limit_memory(open_streams)


def send_keepalives(streams: Collection[SSEResponse], now: float) -> None:
    """Send a heartbeat or a comment on each stream that has been idle for long enough."""
    data = HeartbeatData(timestamp=round(time.time(), 3)).json_bytes()
    heartbeat = sse.EncodedFrames(sse.frame(data, event="heartbeat"))
    comment = sse.EncodedFrames(sse.comment("idle"))
    for stream in streams:
        if stream.has_written():
            stream.last_write_at = stream.last_event_at = now
        elif stream.feed.has_heartbeats and now - stream.last_event_at >= HEARTBEAT_AFTER_IDLE_S:
            stream.last_write_at = stream.last_event_at = now
            stream.send_keepalive(heartbeat)
        elif now - stream.last_write_at >= COMMENT_AFTER_IDLE_S:
            stream.last_write_at = now
            stream.send_keepalive(comment)


def close_revoked(streams: Collection[SSEResponse], now: float) -> None:
    """End streams whose grant has become invalid; abort those that do not take the rest in time."""
    for stream in streams:
        if stream.grant.is_valid:
            continue
        if not stream.revoked_at:
            stream.revoked_at = now
            stream.feed.finish()
        elif now - stream.revoked_at >= REVOKED_FLUSH_TIMEOUT_S:
            stream.abort("revoked")


def abort_stalled(streams: Collection[SSEResponse], now: float) -> None:
    """Disconnect clients that take nothing."""
    for stream in streams:
        if stream.is_stalled(now, STALL_TIMEOUT_S):
            stream.abort("stalled")


def measure_buffers(streams: Collection[SSEResponse]) -> None:
    """Note how much each stream holds: a combined stream asks all its parts."""
    for stream in streams:
        stream.held_bytes = stream.buffered_bytes


def limit_memory(streams: Collection[SSEResponse]) -> None:
    """Disconnect the clients that hold most, if all together hold too much.

    Frames that several clients hold count for each of them, so the sum is an upper bound.
    """
    buffered_bytes = sum(stream.held_bytes for stream in streams)
    if buffered_bytes <= MAX_BUFFERED_BYTES:
        return
    aborted = 0
    left_bytes = buffered_bytes
    for stream in sorted(streams, key=lambda one: one.held_bytes, reverse=True):
        if left_bytes <= MAX_BUFFERED_BYTES:
            break
        left_bytes -= stream.held_bytes
        stream.abort("memory_pressure")
        aborted += 1
    logger.warning(
        "slow clients disconnected count=%d buffered_bytes=%d limit_bytes=%d",
        *(aborted, buffered_bytes, MAX_BUFFERED_BYTES),
    )
