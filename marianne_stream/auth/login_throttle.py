"""Failed attempts to sign in are answered late, the later the more there were from an address.

What is right is let in at once, whoever else has failed. It must not know what is tried.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from marianne_stream.errors import LoginRateLimitError

MIN_DELAY_S = 0.25
MAX_DELAY_S = 8.0
MAX_PENDING = 20

# An address that has failed, and was quiet for so long, begins anew.
RESET_AFTER_S = 600.0
MAX_TRACKED_CLIENTS = 10_000


@dataclass(slots=True)
class FailureRecord:
    """What an address has failed at."""

    count: int = 0
    pending: int = 0
    last_failure_at: float = 0.0

    def release_pending(self) -> None:
        """One has waited long enough."""
        self.pending -= 1


class LoginThrottle:
    """Holds back who failed."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, FailureRecord] = OrderedDict()

    async def penalize(self, client_key: str) -> None:
        """Waits as long as one more failure of an address has to.

        Who does not wait for it has not waited less: its place is taken as long.

        Raises:
            TooManySignInsError: as many wait already as may wait for an address.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        failures = self._failures.setdefault(client_key, FailureRecord())
        self._failures.move_to_end(client_key)
        while len(self._failures) > MAX_TRACKED_CLIENTS:
            self._failures.popitem(last=False)
        if failures.pending >= MAX_PENDING:
            raise LoginRateLimitError
        if now - failures.last_failure_at > RESET_AFTER_S:
            failures.count = 0
        failures.count += 1
        failures.last_failure_at = now
        failures.pending += 1
        delay_s = min(MAX_DELAY_S, MIN_DELAY_S * 2 ** min(failures.count - 1, 10))
        loop.call_later(delay_s, failures.release_pending)
        await asyncio.sleep(delay_s)
