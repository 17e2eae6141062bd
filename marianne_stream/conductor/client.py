"""The conductor's client: requests in short visits, at most two connections at a time.

The conductor serves five connections at once, for everybody, and gives out its slots first come,
first served. So no connection is held open unasked (docs/explanation/conductor.md, point 4): a
visit connects, asks what callers want in sequence, and closes.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import msgspec

from marianne_stream.conductor.monitor import MonitorClient, MonitorListener
from marianne_stream.conductor.rpc import (
    DaemonHealth,
    RpcConnection,
    open_connection,
    yield_to_loop,
)
from marianne_stream.errors import (
    ConductorBusyError,
    ConductorProtocolError,
    ConductorRpcError,
    ConductorTimeoutError,
    ConductorUnavailableError,
    ConductorUnreachableError,
)
from marianne_stream.wire import json_text, jsonrpc

logger = logging.getLogger(__name__)

T = TypeVar("T")

EventsMode = Literal["auto", "visits"]

# An answer that takes longer is slow: without a slot the state is read from disk, and with one
# other requests go on over a second connection.
SLOW_AFTER_S = 1.0

CALL_TIMEOUT_S = 10.0

# A connection that has a slot is closed if it owes an answer for so long.
PENDING_TIMEOUT_S = 60.0

# The subscription is begun only if so many connections are answered at once: its own and three
# more. So two of the conductor's five slots at most are lost to subscriptions that have ended.
PROBE_CONNECTIONS = 4

# A connection that has a slot is answered within 0.1 to 0.6 ms on a real conductor.
PROBE_TIMEOUT_S = 0.25

# A conductor that stops refuses connections, and waits for the subscription to end: so while
# subscribed it is visited at least so often.
STOP_CHECK_INTERVAL_S = 1.5


@dataclass(frozen=True, slots=True)
class TimedResult(Generic[T]):
    """The result of a request, and how long the conductor took for it, in seconds."""

    result: T
    duration_s: float


class ConductorClient:
    """Asks the conductor, and keeps the subscription to its events.

    One visit at a time: callers that wait share its connection, which is closed as soon as no
    answer is owed and no caller waits. A request that is slow although its connection has a slot is
    set aside, so that the others go on over a second connection.

    A connection that waits for a slot is never given up, and no other is opened beside it: closed,
    it would stay in the conductor's queue. Callers get ConductorBusyError meanwhile.

    Attributes:
        pid: the conductor's process id, as it said when it last answered; None before that.

    Args:
        path: the conductor's socket.
        events_mode: `auto` subscribes while enough slots are free; `visits` never does.
        slow_after_s: the time from which an answer is slow, in seconds.
        call_timeout_s: the longest that a caller waits for an answer.
    """

    def __init__(
        self,
        path: Path,
        *,
        events_mode: EventsMode = "auto",
        slow_after_s: float = SLOW_AFTER_S,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._path = path
        self._slow_after_s = slow_after_s
        self._call_timeout_s = call_timeout_s
        self._monitor = MonitorClient(path, probe=self.probe) if events_mode == "auto" else None
        self._visit_lock = asyncio.Lock()
        # Callers that wait for the turn.
        self._waiting_callers = 0
        self._visit_connection: RpcConnection | None = None
        # The connection of a slow request.
        self._slow_connection: RpcConnection | None = None
        self._slow_request: object = None
        # The conductor is shutting down or gone, or has not answered yet.
        self._is_stopping = True
        self._last_answered_at = float("-inf")
        self._closed = False
        self.pid: int | None = None

    @property
    def process_key(self) -> tuple[int | None, int, int]:
        """What tells the conductor's process from the next: its pid, and its socket's file."""
        try:
            found = self._path.stat()
        except OSError:
            return self.pid, 0, 0
        return self.pid, found.st_dev, found.st_ino

    @property
    def is_subscribed(self) -> bool:
        """True if events are coming in."""
        return self._monitor is not None and self._monitor.is_subscribed

    async def run(self, listener: MonitorListener) -> None:
        """Keep the subscription until cancelled, then close all connections for good.

        Raises:
            ExceptionGroup: a fault of this server; the conductor's are dealt with.
        """
        try:
            async with asyncio.TaskGroup() as group:
                if self._monitor is not None:
                    group.create_task(self._monitor.run(listener), name="conductor monitor")
                group.create_task(self._watch_for_shutdown(), name="conductor stop check")
        finally:
            self._closed = True
            self._close_connections()

    async def call(
        self, method: str, params: Mapping[str, Any] | None, result_type: type[T]
    ) -> TimedResult[T]:
        """Ask the conductor. Cancelling is safe: the answer is dropped when it comes.

        Args:
            method: the method's name.
            params: its parameters by name.
            result_type: the type that the result is decoded as; fields that it does not name are
                skipped.

        Raises:
            ConductorAwayError: nothing listens, the conductor is shutting down, or this process is.
            ConductorBusyError: the connection waits for a slot.
            ConductorLostError: the connection ended before the answer came.
            ConductorTimeoutError: no answer within the limit, or an earlier one is still owed.
            ConductorRefusedError: the answer is an error.
            ConductorProtocolError: the answer cannot be decoded.
            ConductorUnavailableError: no connection can be made.
        """
        raw, took_s = await self._exchange(method, params)
        # Matching an answer to its request was one stretch of work, decoding it is another.
        size_bytes = len(memoryview(raw))
        await yield_to_loop(size_bytes)
        try:
            result = json_text.decode(raw, result_type)
        except ValueError as error:
            raise ConductorProtocolError(
                f"the conductor answered {method} in another shape: {error}"
            ) from error
        await yield_to_loop(size_bytes)
        return TimedResult(result, took_s)

    async def probe(self) -> None:
        """Check that enough slots are free for a subscription. Cancelling is safe.

        Raises:
            ConductorAwayError: nothing listens, or the conductor is shutting down.
            ConductorBusyError: too few connections were answered at once.
            ConductorUnavailableError: a connection cannot be made.
        """
        async with self._hold_visit_lock():
            if self._slow_connection is not None:
                raise ConductorBusyError("a slow request has a connection of its own")
            probes: list[RpcConnection] = []
            try:
                for _ in range(PROBE_CONNECTIONS):
                    probes.append(await self._get_connection())
                    # The next one opens a connection of its own.
                    self._visit_connection = None
                    await asyncio.wait([probes[-1].health], timeout=PROBE_TIMEOUT_S)
                    if not probes[-1].health.done():
                        # It waits for a slot, and so is not closed before it has had one.
                        self._visit_connection = probes.pop()
                        raise ConductorBusyError(
                            f"{len(probes)} of {PROBE_CONNECTIONS} connections were answered at "
                            f"once"
                        )
                    self._on_answered(probes[-1])
                    if self._is_stopping:
                        raise ConductorUnreachableError("the conductor is shutting down")
            finally:
                for probe in probes:
                    probe.close()

    async def _exchange(
        self, method: str, params: Mapping[str, Any] | None
    ) -> tuple[msgspec.Raw, float]:
        """Send a request in its turn; return the raw answer and how long it took, in seconds."""
        loop = asyncio.get_running_loop()
        request = (method, tuple((params or {}).items()))
        async with self._hold_visit_lock():
            if self._slow_connection is not None and self._slow_request == request:
                raise ConductorTimeoutError(f"the conductor still owes an answer to {method}")
            connection = await self._get_connection()
            sent_at = loop.time()
            answer = connection.send(method, params)
            try:
                await asyncio.wait([answer], timeout=self._slow_after_s)
                if not answer.done():
                    self._detach_slow_request(connection, request)
            except BaseException:
                answer.cancel()
                raise
        try:
            if not answer.done():
                await asyncio.wait([answer], timeout=self._call_timeout_s - self._slow_after_s)
            if not answer.done():
                raise ConductorTimeoutError(
                    f"the conductor did not answer {method} within {self._call_timeout_s:g} s"
                )
        finally:
            answer.cancel()
        took_s = loop.time() - max(sent_at, connection.slot_acquired_at)
        return self._unwrap_result(connection, answer), took_s

    @asynccontextmanager
    async def _hold_visit_lock(self) -> AsyncIterator[None]:
        """Wait for the turn, and end the visit behind it if no other caller waits."""
        self._waiting_callers += 1
        try:
            await self._visit_lock.acquire()
        except asyncio.CancelledError:
            self._waiting_callers -= 1
            self._end_visit_if_idle()
            raise
        self._waiting_callers -= 1
        try:
            yield
        finally:
            self._visit_lock.release()
            self._end_visit_if_idle()

    async def _get_connection(self) -> RpcConnection:
        """Return the connection of this visit; it is opened if there is none.

        Raises: as `ask` does.
        """
        if self._closed:
            raise ConductorUnreachableError("this process is stopping")
        visit = self._visit_connection
        if visit is not None and visit.has_slot and visit.oldest_pending_s > PENDING_TIMEOUT_S:
            # The answer will not come: only a connection that waits for its slot is kept for ever.
            visit.close()
        if visit is not None and visit.close_error is None:
            if visit.oldest_pending_s > self._slow_after_s:
                if visit.has_slot:
                    raise ConductorTimeoutError(
                        f"the conductor has owed an answer for {visit.oldest_pending_s:.0f} s"
                    )
                raise ConductorBusyError(
                    f"the conductor has answered nothing for {visit.oldest_pending_s:.0f} s: "
                    "all its slots may be taken"
                )
            return visit
        try:
            self._visit_connection = await open_connection(self._path, on_idle=self._on_idle)
        except ConductorUnreachableError:
            # A conductor that stops closes its socket first, and then waits for its clients.
            self._on_unreachable()
            raise
        if self._closed:
            self._close_connections()
            raise ConductorUnreachableError("this process is stopping")
        return self._visit_connection

    def _detach_slow_request(self, connection: RpcConnection, request: object) -> None:
        """Let the other requests go on over a second connection while one is slow.

        Raises:
            ConductorBusyError: the connection waits for a slot.
            ConductorTimeoutError: two connections are in use already.
        """
        if not connection.has_slot:
            raise ConductorBusyError(
                f"the conductor accepts connections, but has answered none for "
                f"{self._slow_after_s:g} s: "
                "all its slots may be taken"
            )
        if self._slow_connection is not None or self.is_subscribed:
            raise ConductorTimeoutError("the conductor takes long to answer")
        self._slow_connection, self._slow_request, self._visit_connection = (
            connection,
            request,
            None,
        )

    def _unwrap_result(
        self, connection: RpcConnection, answer: asyncio.Future[msgspec.Raw]
    ) -> msgspec.Raw:
        """Return an answer's result; if it says that the conductor is stopping, leave."""
        error = answer.exception()
        if isinstance(error, ConductorRpcError) and error.rpc_code == jsonrpc.SHUTTING_DOWN:
            self._on_unreachable()
            raise ConductorUnreachableError("the conductor is shutting down") from error
        if error is not None:
            raise error
        self._on_answered(connection)
        return answer.result()

    def _on_answered(self, connection: RpcConnection) -> None:
        """Remember that the conductor answers, and whether it is shutting down.

        A conductor that is shutting down may work on its jobs for minutes: it is visited, but not
        subscribed to, since it would wait for the subscription to end.

        Raises:
            ConductorUnavailableError: `daemon.health` was not answered as it should be.
        """
        health = connection.health.result()
        self.pid = health.pid
        self._last_answered_at = asyncio.get_running_loop().time()
        if health.shutting_down:
            self._on_stopping()
        elif self._is_stopping:
            self._is_stopping = False
            if self._monitor is not None:
                self._monitor.retry_now()

    def _on_idle(self, connection: RpcConnection) -> None:
        """Close a connection that owes nothing, unless its visit goes on."""
        if connection is self._slow_connection:
            self._slow_connection = self._slow_request = None
            connection.close()
        self._end_visit_if_idle()

    def _end_visit_if_idle(self) -> None:
        """Close the visit's connection if no answer is owed and no caller has or wants the turn."""
        visit = self._visit_connection
        if (
            visit is not None
            and visit.is_idle
            and not self._waiting_callers
            and not self._visit_lock.locked()
        ):
            self._visit_connection = None
            visit.close()

    def _on_stopping(self) -> None:
        """End the subscription: the conductor waits for that."""
        if not self._is_stopping:
            logger.info("the conductor is stopping or gone: subscription closed")
        self._is_stopping = True
        if self._monitor is not None:
            self._monitor.close()

    def _on_unreachable(self) -> None:
        """Close all connections: the conductor is gone, or waits for them."""
        self._on_stopping()
        self._close_connections()

    def _close_connections(self) -> None:
        for connection in (self._visit_connection, self._slow_connection):
            if connection is not None:
                connection.close()
        self._visit_connection = self._slow_connection = self._slow_request = None
        if self._monitor is not None:
            self._monitor.close()

    async def _watch_for_shutdown(self) -> None:
        """Visit the conductor often enough to notice that it stops, for as long as subscribed."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = self._last_answered_at + STOP_CHECK_INTERVAL_S - loop.time()
            await asyncio.sleep(max(due_s, 0.1) if self.is_subscribed else STOP_CHECK_INTERVAL_S)
            if self.is_subscribed and loop.time() >= self._last_answered_at + STOP_CHECK_INTERVAL_S:
                try:
                    await self.call("daemon.health", None, DaemonHealth)
                except ConductorUnavailableError as error:
                    logger.debug("daemon.health: %s", error)
