"""The two connections as one guest, who notices when the host wants to close, and leaves.

It must not know what is asked of the conductor, or who wants its events.
"""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from marianne_stream.conductor.monitor import Monitor, MonitorListener
from marianne_stream.conductor.pace import Pace
from marianne_stream.conductor.rpc import CALL_LIMIT_S, IDLE_LIMIT_S, RequestConnection
from marianne_stream.errors import (
    ConductorAwayError,
    ConductorRefusedError,
    ConductorUnavailableError,
)
from marianne_stream.wire import jsonrpc

logger = logging.getLogger(__name__)

T = TypeVar("T")

# How soon we notice that the conductor wants to stop (docs/explanation/conductor.md, point 5): it
# needs some time of its own, and should be gone within 3 s.
HEALTH_INTERVAL_S = 1.5


class Health(msgspec.Struct, frozen=True):
    """What of `daemon.health` a guest goes by."""

    shutting_down: bool = False


class ConductorGuest:
    """Holds one connection for requests and one for the monitor, and never more.

    Args:
        path: the conductor's socket.
        call_limit_s: how long one call may take.
        idle_limit_s: after so long without a call the request connection is closed.
        health_interval_s: how often the conductor is asked whether it is shutting down.
    """

    def __init__(
        self,
        path: Path,
        *,
        call_limit_s: float = CALL_LIMIT_S,
        idle_limit_s: float = IDLE_LIMIT_S,
        health_interval_s: float = HEALTH_INTERVAL_S,
    ) -> None:
        self._requests = RequestConnection(
            path, call_limit_s=call_limit_s, idle_limit_s=idle_limit_s
        )
        self._monitor = Monitor(path)
        self._health_interval_s = health_interval_s
        # Whether the last thing heard of the conductor is that it is not there.
        self._away = False

    @property
    def subscribed(self) -> bool:
        """Whether events are coming in."""
        return self._monitor.subscribed

    async def run(self, listener: MonitorListener) -> None:
        """Keeps the subscription and the manners, until cancelled; then hangs up for good.

        Args:
            listener: who wants the monitor's events.

        Raises:
            ExceptionGroup: a fault of ours; the conductor's are dealt with.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._monitor.run(listener), name="conductor-monitor")
                group.create_task(self._keep_manners(), name="conductor-manners")
        finally:
            await self._requests.leave()

    async def call(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        kind: type[T],
        *,
        keeps_open: bool = True,
        pace: Pace | None = None,
    ) -> T:
        """Asks the conductor something; as `RequestConnection.call`."""
        try:
            result = await self._requests.call(
                method, params, kind, keeps_open=keeps_open, pace=pace
            )
        except ConductorAwayError:
            # Nobody listens. A conductor that stops closes that first, and then waits for us.
            self._away = True
            await self._leave()
            raise
        except ConductorRefusedError as error:
            if error.number == jsonrpc.SHUTTING_DOWN:
                await self._leave()
                raise ConductorAwayError("the conductor is shutting down") from error
            raise
        if self._away:
            self._away = False
            self._monitor.retry_now()
        return result

    async def _leave(self) -> None:
        """Gives both places back."""
        self._monitor.leave()
        await self._requests.close()

    async def _keep_manners(self) -> None:
        """Asks, for as long as a place is taken, whether the conductor is shutting down."""
        while True:
            await asyncio.sleep(self._health_interval_s)
            if not (self._monitor.is_open or self._requests.is_open):
                continue
            # A subscription is reason enough to keep the connection that watches over it.
            subscribed = self._monitor.subscribed
            try:
                health = await self.call("daemon.health", None, Health, keeps_open=subscribed)
            except ConductorUnavailableError as error:
                logger.debug("daemon.health: %s", error)
                continue
            if health.shutting_down:
                logger.info("the conductor is shutting down: closing both connections")
                self._away = True
                await self._leave()
