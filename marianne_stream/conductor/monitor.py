"""The one subscription to the monitor: opened once, kept, opened again when it is really gone.

It must not know who wants the events.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import msgspec

from marianne_stream.conductor.address import connect
from marianne_stream.conductor.readers import socket_reader
from marianne_stream.errors import (
    ConductorAwayError,
    ConductorLostError,
    ConductorProtocolError,
    ConductorRefusedError,
    ConductorTimeoutError,
    ConductorUnavailableError,
)
from marianne_stream.models import MonitorEvent
from marianne_stream.wire import json_text, jsonrpc
from marianne_stream.wire.backoff import delays
from marianne_stream.wire.lines import LineSplitter, LineTooLongError

logger = logging.getLogger(__name__)

GREETING_LIMIT_S = 10.0

# A subscription that stood for so long was a good one: the next delay begins at the first again.
GOOD_SESSION_S = 10.0

GREETING_NUMBER = 1
STREAM_NUMBER = 2


class EventParams(msgspec.Struct, frozen=True):
    """What of a notification's params decides where it goes."""

    job_id: str
    event: str


class MonitorListener(Protocol):
    """Who wants the events. Each is called on the loop, in order, and must return at once."""

    def on_event(self, event: MonitorEvent) -> None:
        """A notification has come."""

    def on_subscribed(self) -> None:
        """A subscription has begun: it has no history."""

    def on_lost(self) -> None:
        """The subscription has ended: what happens until the next is not seen."""


class Monitor:
    """Keeps one subscription for as long as it runs.

    Args:
        path: the conductor's socket.

    Attributes:
        subscribed: whether events are coming in.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._session: _Session | None = None
        self._retry_now = asyncio.Event()
        self._subscribed_at = float("inf")
        self.subscribed = False

    @property
    def is_open(self) -> bool:
        """Whether a place at the conductor is taken."""
        return self._session is not None

    async def run(self, listener: MonitorListener) -> None:
        """Subscribes, hands on what comes, and begins again, with growing delays, until cancelled.

        Args:
            listener: who is told.
        """
        waits = delays()
        reported = ""
        while True:
            self._retry_now.clear()
            self._subscribed_at = float("inf")
            try:
                await self._subscription(listener)
            except ConductorUnavailableError as error:
                # Trying again and failing for the same reason is the same occurrence.
                if str(error) != reported:
                    logger.warning("no monitor events: %s", error)
                reported = str(error)
            if asyncio.get_running_loop().time() - self._subscribed_at > GOOD_SESSION_S:
                waits = delays()
                reported = ""
            if await self._pause(next(waits)):
                waits = delays()

    def retry_now(self) -> None:
        """The conductor is known to be back: there is no need to wait for the delay to pass."""
        self._retry_now.set()

    def leave(self) -> None:
        """Gives the place back at once; the subscription ends, and is tried again after a delay."""
        if self._session is not None:
            self._session.close()

    async def _pause(self, delay_s: float) -> bool:
        """Waits, and says whether it was cut short by `retry_now`."""
        try:
            async with asyncio.timeout(delay_s):
                return await self._retry_now.wait()
        except TimeoutError:
            return False

    async def _subscription(self, listener: MonitorListener) -> None:
        """One subscription, from connecting to its end, which is always an error."""
        self._session = await open_session(self._path)
        try:
            await self._session.subscribe()
            logger.info("subscribed to the conductor's monitor")
            self.subscribed = True
            self._subscribed_at = asyncio.get_running_loop().time()
            listener.on_subscribed()
            async for event in self._session.events():
                listener.on_event(event)
        finally:
            self._session.close()
            self._session = None
            if self.subscribed:
                self.subscribed = False
                listener.on_lost()


class _Session:
    """One connection that carries a subscription, and owns its socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = socket_reader(sock)
        self._splitter = LineSplitter(limit_bytes=jsonrpc.MESSAGE_LIMIT_BYTES)
        self._lines: list[bytes] = []

    def close(self) -> None:
        """Hangs up; `events` ends. May be called again."""
        self._reader.close()

    async def subscribe(self) -> None:
        """Asks something cheap, for the byte of its answer to leave unread, then for the stream."""
        try:
            async with asyncio.timeout(GREETING_LIMIT_S):
                await self._send(GREETING_NUMBER, "daemon.health")
                while not self._lines:
                    await self._read()
                await self._send(STREAM_NUMBER, "daemon.monitor.stream")
        except TimeoutError as error:
            raise ConductorTimeoutError(
                f"the conductor did not answer daemon.health within {GREETING_LIMIT_S:g} s"
            ) from error
        greeting = self._lines.pop(0)
        if b'"shutting_down":true' in greeting.replace(b" ", b""):
            raise ConductorAwayError("the conductor is shutting down")

    async def events(self) -> AsyncIterator[MonitorEvent]:
        """The notifications, one after the other; a line that is none is logged and passed over.

        Raises:
            ConductorUnavailableError: the stream has ended, or was refused.
        """
        while True:
            lines, self._lines = self._lines, []
            for line in lines:
                event = event_of(line)
                if event is not None:
                    yield event
            await self._read()

    async def _send(self, number: int, method: str) -> None:
        try:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(self._sock, jsonrpc.request(number, method))
        except OSError as error:
            raise ConductorLostError(f"the conductor hung up: {error}") from error

    async def _read(self) -> None:
        """Waits for bytes, and keeps the lines that they complete."""
        data = await self._reader.read()
        if not data:
            raise ConductorLostError("the monitor stream has ended")
        try:
            self._lines += self._splitter.feed(data)
        except LineTooLongError as error:
            raise ConductorProtocolError(f"on the monitor stream {error}") from error


async def open_session(path: Path) -> _Session:
    """A connection that can carry a subscription.

    Raises:
        ConductorUnavailableError: none can be made.
    """
    sock = await connect(path)
    try:
        return _Session(sock)
    except OSError as error:
        sock.close()
        raise ConductorUnavailableError(f"cannot watch a socket: {error.strerror}") from error


def event_of(line: bytes) -> MonitorEvent | None:
    """The event that a line notifies of, or None where it is no notification.

    Raises:
        ConductorRefusedError: the line refuses the subscription.
    """
    try:
        message = jsonrpc.message(line)
        if message.error is not None and message.id == STREAM_NUMBER:
            error = message.error
            raise ConductorRefusedError("daemon.monitor.stream", error.code, error.message)
        if message.method != "monitor.event":
            logger.warning("skipped a line of the monitor stream that is no event: %r", line[:80])
            return None
        params = json_text.decode(message.params, EventParams)
    except ValueError as error:
        logger.warning("skipped a line of the monitor stream, %r: %s", line[:80], error)
        return None
    return MonitorEvent(params.job_id, params.event, bytes(message.params))
