"""Subscription to the conductor's monitor stream: when to subscribe, and the stream itself."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Protocol

import msgspec

from marianne_stream.common.backoff import Backoff
from marianne_stream.common.repeated_logs import WarnOnce
from marianne_stream.conductor.connect import connect
from marianne_stream.conductor.socket_readers import make_socket_reader
from marianne_stream.conductor_models import rename_event
from marianne_stream.errors import (
    ConductorBusyError,
    ConductorDisconnectedError,
    ConductorProtocolError,
    ConductorRpcError,
    ConductorUnavailableError,
    ConductorUnreachableError,
)
from marianne_stream.models import MonitorEvent
from marianne_stream.wire import json_text, jsonrpc
from marianne_stream.wire.lines import LineSplitter, LineTooLongError

logger = logging.getLogger(__name__)

# After a subscription of this duration the backoff begins anew.
HEALTHY_AFTER_S = 10.0

MAX_RETRY_DELAY_S = 60.0

# Handling events without a pause for this long is followed by a rest of the same length.
MAX_BURST_S = 0.25
BURST_GAP_S = 0.001

HANDSHAKE_REQUEST_ID = 1
STREAM_REQUEST_ID = 2


class EventParams(msgspec.Struct, frozen=True):
    """The fields of a notification that decide its receiver."""

    job_id: str
    event: str


class MonitorListener(Protocol):
    """Receiver of events. Its methods are called on the loop, in order, and must return at once."""

    def on_event(self, event: MonitorEvent) -> None:
        """Handle a notification."""

    def on_subscribed(self) -> None:
        """Handle the beginning of a subscription, which sends no earlier events."""

    def on_subscription_lost(self) -> None:
        """Handle the end of the subscription: events until the next one are missed."""


class MonitorClient:
    """Keeps a subscription while the conductor has enough free slots; retries with backoff.

    `require_free_slots` raises ConductorUnavailableError unless there are enough.
    """

    def __init__(self, path: Path, *, require_free_slots: Callable[[], Awaitable[None]]) -> None:
        self._path = path
        self._require_free_slots = require_free_slots
        self._session: _MonitorSession | None = None
        self._retry_now = asyncio.Event()
        self.is_subscribed = False

    async def run(self, listener: MonitorListener) -> None:
        """Subscribe, pass events on, and subscribe again with backoff, until cancelled."""
        backoff = Backoff(cap_s=MAX_RETRY_DELAY_S, healthy_after_s=HEALTHY_AFTER_S)
        not_subscribed = WarnOnce(logger)
        loop = asyncio.get_running_loop()
        while True:
            self._retry_now.clear()
            began = loop.time()
            try:
                await self._require_free_slots()
                await self._run_subscription(listener)
            except ConductorBusyError as error:
                not_subscribed.warn(
                    "monitor not subscribed reason='too few free slots' "
                    "effect='events come by visits'"
                )
                logger.debug("monitor not subscribed error=%s", error)
            except ConductorUnavailableError as error:
                not_subscribed.warn("monitor not subscribed reason=%r", str(error))
            duration_s = loop.time() - began
            backoff.session_ended(duration_s)
            if duration_s > HEALTHY_AFTER_S:
                not_subscribed.recover()
            if await self._wait_for_retry(backoff.next_delay_s()):
                backoff.reset()

    def retry_now(self) -> None:
        """Subscribe at once: the conductor is known to be back."""
        self._retry_now.set()

    def close(self) -> None:
        """Close the subscription; it is tried again after a delay."""
        if self._session is not None:
            self._session.close()

    async def _wait_for_retry(self, delay_s: float) -> bool:
        """Wait; return True if `retry_now` ended the wait early."""
        try:
            async with asyncio.timeout(delay_s):
                return await self._retry_now.wait()
        except TimeoutError:
            return False

    async def _run_subscription(self, listener: MonitorListener) -> None:
        """Run one subscription from connecting to its end, which is always an error."""
        self._session = await open_session(self._path)
        try:
            await self._session.subscribe()
            logger.info("monitor subscribed")
            self.is_subscribed = True
            listener.on_subscribed()
            async for event in self._session.events():
                listener.on_event(event)
        finally:
            self._session.close()
            self._session = None
            if self.is_subscribed:
                self.is_subscribed = False
                listener.on_subscription_lost()


class _MonitorSession:
    """A connection that carries a subscription; it owns its socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = make_socket_reader(sock)
        self._splitter = LineSplitter(limit_bytes=jsonrpc.MAX_MESSAGE_BYTES)
        self._lines: list[bytes] = []

    def close(self) -> None:
        """Close the connection; `events` ends. May be called again."""
        self._reader.close()

    async def subscribe(self) -> None:
        """Request `daemon.health`, so that a byte of its answer can stay unread, then the stream.

        There is no time limit: a connection that waits for its slot is not abandoned
        (docs/explanation/conductor.md, point 4). `close` ends the wait.
        """
        await self._send(HANDSHAKE_REQUEST_ID, "daemon.health")
        while not self._lines:
            await self._read()
        await self._send(STREAM_REQUEST_ID, "daemon.monitor.stream")
        greeting = self._lines.pop(0)
        if b'"shutting_down":true' in greeting.replace(b" ", b""):
            raise ConductorUnreachableError("the conductor is shutting down")

    async def events(self) -> AsyncIterator[MonitorEvent]:
        """Yield the notifications in order; an invalid line is logged and skipped.

        If events come faster than they are handled, half of the event loop's time is left to
        other tasks.

        Raises:
            ConductorUnavailableError: the stream has ended, or was refused.
        """
        loop = asyncio.get_running_loop()
        busy_s = 0.0
        while True:
            began = loop.time()
            lines, self._lines = self._lines, []
            for line in lines:
                event = parse_notification(line)
                if event is not None:
                    yield event
            busy_s += loop.time() - began
            if busy_s > MAX_BURST_S:
                await asyncio.sleep(busy_s)
                busy_s = 0.0
            else:
                await asyncio.sleep(0)
            waits_from = loop.time()
            await self._read()
            if loop.time() - waits_from > BURST_GAP_S:
                busy_s = 0.0

    async def _send(self, number: int, method: str) -> None:
        try:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(self._sock, jsonrpc.make_request(number, method))
        except OSError as error:
            raise ConductorDisconnectedError(
                f"the conductor closed the connection: {error}"
            ) from error

    async def _read(self) -> None:
        """Wait for bytes, and store the lines that they complete."""
        data = await self._reader.read()
        if not data:
            raise ConductorDisconnectedError("the monitor stream has ended")
        try:
            self._lines += self._splitter.feed(data)
        except LineTooLongError as error:
            raise ConductorProtocolError(f"on the monitor stream {error}") from error


async def open_session(path: Path) -> _MonitorSession:
    """Connect for a subscription; raise ConductorUnavailableError if that fails."""
    sock = await connect(path)
    try:
        return _MonitorSession(sock)
    except OSError as error:
        sock.close()
        raise ConductorUnavailableError(f"cannot watch the socket: {error.strerror}") from error


def parse_notification(line: bytes) -> MonitorEvent | None:
    """Parse a line as an event; None if it is not a notification.

    Raise ConductorRpcError if the line refuses the subscription.
    """
    try:
        message = jsonrpc.parse_message(line)
        if message.error is not None and message.id == STREAM_REQUEST_ID:
            error = message.error
            raise ConductorRpcError("daemon.monitor.stream", error.code, error.message)
        if message.method != "monitor.event":
            logger.warning("monitor line skipped reason='not an event' line=%r", line[:80])
            return None
        params = json_text.decode(message.params, EventParams)
    except ValueError as error:
        logger.warning("monitor line skipped line=%r error=%s", line[:80], error)
        return None
    return MonitorEvent(params.job_id, rename_event(params.event), bytes(message.params))
