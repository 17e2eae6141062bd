"""Client of the conductor: requests in short visits over at most two connections.

The conductor serves five connections at once, for all its clients, and assigns its slots first
come, first served. So no connection is held open idle (docs/explanation/conductor.md, point 4): a
visit connects, sends the requests of all callers in sequence, and closes.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, cast

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

# A request that takes longer is slow: without a slot, state is read from disk; with one, the other
# requests use a second connection.
SLOW_AFTER_S = 1.0

CALL_TIMEOUT_S = 10.0

# A connection with a slot is closed if an answer is pending for this long.
PENDING_TIMEOUT_S = 60.0

# A visit without a request goes on for this long: reads of several jobs follow each other.
VISIT_PAUSE_S = 0.01

# Subscribe only if this many connections are answered at once: the subscription's own and three
# more. So ended subscriptions take at most two of the conductor's five slots.
PROBE_CONNECTIONS = 4

# A real conductor answers a connection with a slot within 0.1 to 0.6 ms.
PROBE_TIMEOUT_S = 0.25

# A stopping conductor refuses connections and waits for the subscription to end, so it is visited
# at least this often while subscribed.
STOP_CHECK_INTERVAL_S = 1.5


@dataclass(frozen=True, slots=True)
class TimedResult(Generic[T]):
    """The result of a request, and the time that the conductor took for it, in seconds."""

    result: T
    duration_s: float


class ConductorClient:
    """Sends requests to the conductor, and keeps the subscription to its events.

    Only one visit runs at a time: waiting callers share its connection, which is closed once no
    answer is pending and no caller waits or comes within VISIT_PAUSE_S. A slow request on a
    connection with a slot is detached, so that other requests go on over a second connection.

    A connection that waits for a slot is never closed, and no other is opened beside it: the
    conductor would keep the closed one in its queue. Callers get ConductorBusyError meanwhile.

    Args:
        events_mode: `auto` subscribes while enough slots are free; `visits` never does.
        slow_after_s: time after which a request is slow, in seconds.

    Attributes:
        pid: the conductor's process id from its last answer; None before the first.
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
        self._subscribes = events_mode == "auto"
        self._monitor = MonitorClient(path, require_free_slots=self.require_free_slots)
        self._visit_lock = asyncio.Lock()
        self._waiting_callers = 0
        self._visit_connection: RpcConnection | None = None
        # The connection of a slow request.
        self._slow_connection: RpcConnection | None = None
        self._slow_request: object = None
        # True as well until the conductor has answered for the first time.
        self._is_stopping = True
        self._last_answered_at = float("-inf")
        self._closed = False
        self.pid: int | None = None

    @property
    def process_key(self) -> tuple[int | None, int, int]:
        """Identity of the conductor's process: its pid, and its socket's device and inode."""
        try:
            found = self._path.stat()
        except OSError:
            return self.pid, 0, 0
        return self.pid, found.st_dev, found.st_ino

    @property
    def is_subscribed(self) -> bool:
        """True if events are coming in."""
        return self._monitor.is_subscribed

    async def run(self, listener: MonitorListener) -> None:
        """Keep the subscription until cancelled, then close all connections for good.

        Raises:
            ExceptionGroup: a bug in this server; errors of the conductor are handled.
        """
        try:
            async with asyncio.TaskGroup() as group:
                if self._subscribes:
                    group.create_task(self._monitor.run(listener), name="conductor monitor")
                group.create_task(self._watch_for_shutdown(), name="conductor stop check")
        finally:
            self._closed = True
            self._close_connections()

    async def call(
        self, method: str, params: Mapping[str, Any] | None, result_type: type[T]
    ) -> TimedResult[T]:
        """Send a request and decode its result. Cancelling is safe: the answer is dropped.

        Fields that `result_type` does not name are skipped; `msgspec.Raw` gives the JSON as it is.

        Raises:
            ConductorUnreachableError: no process listens, or the conductor or this server stops.
            ConductorBusyError: the connection waits for a slot.
            ConductorDisconnectedError: the connection ended before the answer came.
            ConductorTimeoutError: no answer within the limit, or an earlier one is pending.
            ConductorRpcError: the answer is an error.
            ConductorProtocolError: the answer cannot be decoded.
            ConductorUnavailableError: the connection cannot be made.
        """
        raw, took_s = await self._exchange(method, params)
        if result_type is msgspec.Raw:
            return TimedResult(cast("T", raw), took_s)
        size_bytes = len(memoryview(raw))
        await yield_to_loop(size_bytes)
        try:
            result = json_text.decode(raw, result_type)
        except ValueError as error:
            raise ConductorProtocolError(
                f"the conductor's answer to {method} has an unexpected shape: {error}"
            ) from error
        await yield_to_loop(size_bytes)
        return TimedResult(result, took_s)

    async def require_free_slots(self) -> None:
        """Check that enough slots are free for a subscription. Cancelling is safe.

        Raises:
            ConductorUnreachableError: no process listens, or the conductor is shutting down.
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
                    # Make the next iteration open another connection.
                    self._visit_connection = None
                    await asyncio.wait([probes[-1].health], timeout=PROBE_TIMEOUT_S)
                    if not probes[-1].health.done():
                        # It waits for a slot, so it must not be closed yet.
                        self._visit_connection = probes.pop()
                        raise ConductorBusyError(
                            f"{len(probes)} of {PROBE_CONNECTIONS} probe connections were answered"
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
        """Send a request in its turn; return the raw result and its duration in seconds."""
        loop = asyncio.get_running_loop()
        request = (method, tuple((params or {}).items()))
        async with self._hold_visit_lock():
            if self._slow_connection is not None and self._slow_request == request:
                raise ConductorTimeoutError(f"an earlier request for {method} is still pending")
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
        """Hold the visit lock; end the visit afterwards if no other caller waits."""
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
            self._end_visit_later()

    async def _get_connection(self) -> RpcConnection:
        """Return the connection of this visit, opening it if there is none.

        Raises the errors of `call`.
        """
        if self._closed:
            raise ConductorUnreachableError("this process is stopping")
        visit = self._visit_connection
        if visit is not None and visit.has_slot and visit.oldest_pending_s > PENDING_TIMEOUT_S:
            # The answer will not come. Only a connection that waits for its slot is kept for ever.
            visit.close()
        if visit is not None and visit.close_error is None:
            if visit.oldest_pending_s > self._slow_after_s:
                if visit.has_slot:
                    raise ConductorTimeoutError(
                        f"the conductor has not answered for {visit.oldest_pending_s:.0f} s"
                    )
                raise ConductorBusyError(
                    f"the conductor has assigned no slot for {visit.oldest_pending_s:.0f} s: "
                    "all its slots may be taken"
                )
            return visit
        try:
            self._visit_connection = await open_connection(self._path, on_idle=self._on_idle)
        except ConductorUnreachableError:
            # A stopping conductor closes its socket first, and then waits for its clients.
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
                f"the conductor has assigned no slot within {self._slow_after_s:g} s: "
                "all its slots may be taken"
            )
        if self._slow_connection is not None or self.is_subscribed:
            raise ConductorTimeoutError(
                f"the conductor did not answer within {self._slow_after_s:g} s, "
                "and both connections are in use"
            )
        self._slow_connection, self._slow_request = connection, request
        self._visit_connection = None

    def _unwrap_result(
        self, connection: RpcConnection, answer: asyncio.Future[msgspec.Raw]
    ) -> msgspec.Raw:
        """Return an answer's result; close all connections if it says that the conductor stops."""
        error = answer.exception()
        if isinstance(error, ConductorRpcError) and error.rpc_code == jsonrpc.SHUTTING_DOWN:
            self._on_unreachable()
            raise ConductorUnreachableError("the conductor is shutting down") from error
        if error is not None:
            raise error
        self._on_answered(connection)
        return answer.result()

    def _on_answered(self, connection: RpcConnection) -> None:
        """Note that the conductor answers; end the subscription if it is shutting down.

        A conductor that is shutting down may work on its jobs for minutes: it is visited, but not
        subscribed to, since it would wait for the subscription to end.

        Raises:
            ConductorUnavailableError: `daemon.health` was answered with an invalid result.
        """
        if not connection.health.done():
            # Its answer came with this one, and is taken in with the next callback.
            return
        health = connection.health.result()
        self.pid = health.pid
        self._last_answered_at = asyncio.get_running_loop().time()
        if health.shutting_down:
            self._on_stopping()
        elif self._is_stopping:
            self._is_stopping = False
            self._monitor.retry_now()

    def _on_idle(self, connection: RpcConnection) -> None:
        """Close a connection without pending answers, unless its visit goes on."""
        if connection is self._slow_connection:
            self._slow_connection = self._slow_request = None
            connection.close()
        self._end_visit_later()

    def _end_visit_later(self) -> None:
        """Close the visit's connection after a pause without requests."""
        asyncio.get_running_loop().call_later(VISIT_PAUSE_S, self._end_visit_if_idle)

    def _end_visit_if_idle(self) -> None:
        """Close the visit's connection if no answer is pending and no caller holds the lock."""
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
        """End the subscription, for which a stopping conductor waits."""
        if not self._is_stopping:
            logger.info("monitor closed reason='conductor stopping or gone'")
        self._is_stopping = True
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
        self._monitor.close()

    async def _watch_for_shutdown(self) -> None:
        """Visit the conductor often enough to notice that it stops, while subscribed."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = self._last_answered_at + STOP_CHECK_INTERVAL_S - loop.time()
            await asyncio.sleep(max(due_s, 0.1) if self.is_subscribed else STOP_CHECK_INTERVAL_S)
            if self.is_subscribed and loop.time() >= self._last_answered_at + STOP_CHECK_INTERVAL_S:
                try:
                    await self.call("daemon.health", None, DaemonHealth)
                except ConductorUnavailableError as error:
                    logger.debug("stop check failed error=%s", error)
