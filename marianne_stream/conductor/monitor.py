"""The subscription to the conductor's monitor: begun while slots are free, kept, begun again."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Protocol

import msgspec

from marianne_stream.conductor.connect import connect
from marianne_stream.conductor.socket_readers import make_socket_reader
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
from marianne_stream.wire.backoff import exponential_backoff
from marianne_stream.wire.lines import LineSplitter, LineTooLongError

logger = logging.getLogger(__name__)

# A subscription that stood for so long was a good one: the backoff begins anew behind it.
HEALTHY_AFTER_S = 10.0

MAX_RETRY_DELAY_S = 60.0

# Work on events that come without a pause for so long is followed by a rest of the same length.
MAX_BURST_S = 0.25
BURST_GAP_S = 0.001

HANDSHAKE_REQUEST_ID = 1
STREAM_REQUEST_ID = 2


class EventParams(msgspec.Struct, frozen=True):
    """What of a notification's params decides where it goes."""

    job_id: str
    event: str


class MonitorListener(Protocol):
    """Receives the events. Each method is called on the loop, in order, and must return at once."""

    def on_event(self, event: MonitorEvent) -> None:
        """A notification has come."""

    def on_subscribed(self) -> None:
        """A subscription has begun: it has no history."""

    def on_subscription_lost(self) -> None:
        """The subscription has ended: what happens until the next is not seen."""


class MonitorClient:
    """Keeps one subscription for as long as it runs.

    Args:
        path: the conductor's socket.
        probe: checks that the conductor has slots to spare; raises ConductorUnavailableError.
    """

    def __init__(self, path: Path, *, probe: Callable[[], Awaitable[None]]) -> None:
        self._path = path
        self._probe = probe
        self._session: _MonitorSession | None = None
        self._retry_now = asyncio.Event()
        self._is_subscribed = False

    @property
    def is_subscribed(self) -> bool:
        """True if events are coming in."""
        return self._is_subscribed

    async def run(self, listener: MonitorListener) -> None:
        """Subscribe, pass events on, and begin again with exponential backoff, until cancelled.

        Args:
            listener: gets the events.
        """
        waits = exponential_backoff(cap_s=MAX_RETRY_DELAY_S)
        reported = ""
        loop = asyncio.get_running_loop()
        while True:
            self._retry_now.clear()
            began = loop.time()
            reason = ""
            try:
                await self._probe()
                await self._run_subscription(listener)
            except ConductorBusyError as error:
                reason = "too few of its connection slots are free, so events come by visits"
                logger.debug("no subscription: %s", error)
            except ConductorUnavailableError as error:
                reason = str(error)
            # Trying again and failing for the same reason is the same occurrence.
            if reason != reported:
                logger.warning("not subscribed to the conductor's monitor: %s", reason)
            reported = reason
            if loop.time() - began > HEALTHY_AFTER_S:
                waits = exponential_backoff(cap_s=MAX_RETRY_DELAY_S)
                reported = ""
            if await self._wait_for_retry(next(waits)):
                waits = exponential_backoff(cap_s=MAX_RETRY_DELAY_S)

    def retry_now(self) -> None:
        """Try at once: the conductor is known to be back."""
        self._retry_now.set()

    def close(self) -> None:
        """Close the subscription; it is tried again after a delay."""
        if self._session is not None:
            self._session.close()

    async def _wait_for_retry(self, delay_s: float) -> bool:
        """Wait; return True if `retry_now` cut it short."""
        try:
            async with asyncio.timeout(delay_s):
                return await self._retry_now.wait()
        except TimeoutError:
            return False

    async def _run_subscription(self, listener: MonitorListener) -> None:
        """Run one subscription, from connecting to its end, which is always an error."""
        self._session = await open_session(self._path)
        try:
            await self._session.subscribe()
            logger.info("subscribed to the conductor's monitor")
            self._is_subscribed = True
            listener.on_subscribed()
            async for event in self._session.events():
                listener.on_event(event)
        finally:
            self._session.close()
            self._session = None
            if self._is_subscribed:
                self._is_subscribed = False
                listener.on_subscription_lost()


class _MonitorSession:
    """One connection that carries a subscription, and owns its socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = make_socket_reader(sock)
        self._splitter = LineSplitter(limit_bytes=jsonrpc.MAX_MESSAGE_BYTES)
        self._lines: list[bytes] = []

    def close(self) -> None:
        """Hangs up; `events` ends. May be called again."""
        self._reader.close()

    async def subscribe(self) -> None:
        """Ask something cheap, for the byte of its answer to leave unread, then for the stream.

        There is no time limit: a connection that waits for its slot is not given up
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
        """Yield the notifications in order; a line that is none is logged and skipped.

        A burst is read at once. If events come faster than they are handled, half of the event
        loop's time is left to everything else.

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
            raise ConductorDisconnectedError(f"the conductor hung up: {error}") from error

    async def _read(self) -> None:
        """Waits for bytes, and keeps the lines that they complete."""
        data = await self._reader.read()
        if not data:
            raise ConductorDisconnectedError("the monitor stream has ended")
        try:
            self._lines += self._splitter.feed(data)
        except LineTooLongError as error:
            raise ConductorProtocolError(f"on the monitor stream {error}") from error


async def open_session(path: Path) -> _MonitorSession:
    """A connection that can carry a subscription.

    Raises:
        ConductorUnavailableError: none can be made.
    """
    sock = await connect(path)
    try:
        return _MonitorSession(sock)
    except OSError as error:
        sock.close()
        raise ConductorUnavailableError(f"cannot watch a socket: {error.strerror}") from error


def parse_notification(line: bytes) -> MonitorEvent | None:
    """The event that a line notifies of, or None where it is no notification.

    Raises:
        ConductorRefusedError: the line refuses the subscription.
    """
    try:
        message = jsonrpc.parse_message(line)
        if message.error is not None and message.id == STREAM_REQUEST_ID:
            error = message.error
            raise ConductorRpcError("daemon.monitor.stream", error.code, error.message)
        if message.method != "monitor.event":
            logger.warning("skipped a line of the monitor stream that is no event: %r", line[:80])
            return None
        params = json_text.decode(message.params, EventParams)
    except ValueError as error:
        logger.warning("skipped a line of the monitor stream, %r: %s", line[:80], error)
        return None
    return MonitorEvent(params.job_id, params.event, bytes(message.params))
