"""Delay of the response to failed sign-ins, which grows with the failures of a client."""

import asyncio
from collections import OrderedDict

from marianne_stream.common.backoff import Backoff
from marianne_stream.errors import LoginRateLimitError

MIN_DELAY_S = 0.25
MAX_DELAY_S = 8.0
MAX_PENDING = 20

# A client without a failure for so long begins again at the shortest delay.
RESET_AFTER_S = 600.0
MAX_TRACKED_CLIENTS = 10_000


class FailureRecord:
    """Failures of one client."""

    __slots__ = ("_backoff", "_last_failure_at", "_pending")

    def __init__(self) -> None:
        self._backoff = Backoff(first_s=MIN_DELAY_S, cap_s=MAX_DELAY_S, jitter=0.0)
        self._last_failure_at = 0.0
        self._pending = 0

    def add(self, loop: asyncio.AbstractEventLoop) -> float:
        """Record a failure and return its delay; raise LoginRateLimitError if too many wait."""
        if self._pending >= MAX_PENDING:
            raise LoginRateLimitError
        now = loop.time()
        if now - self._last_failure_at > RESET_AFTER_S:
            self._backoff.reset()
        self._last_failure_at = now
        self._pending += 1
        delay_s = self._backoff.next_delay_s()
        loop.call_later(delay_s, self._on_delay_passed)
        return delay_s

    def _on_delay_passed(self) -> None:
        self._pending -= 1


class LoginThrottle:
    """Delays failed sign-ins. Valid ones are never delayed, whatever else the client has sent."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, FailureRecord] = OrderedDict()

    async def penalize(self, client_key: str) -> None:
        """Record a failure of a client, and wait for its delay.

        Cancelling the wait does not free the place: it stays taken for the full delay.

        Raises:
            LoginRateLimitError: as many delays are pending for the client as the limit allows.
        """
        record = self._failures.setdefault(client_key, FailureRecord())
        self._failures.move_to_end(client_key)
        while len(self._failures) > MAX_TRACKED_CLIENTS:
            self._failures.popitem(last=False)
        await asyncio.sleep(record.add(asyncio.get_running_loop()))
