"""Failed attempts to sign in are answered late, the later the more there were from an address.

What is right is let in at once, whoever else has failed. It must not know what is tried.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from marianne_stream.errors import TooManySignInsError

FIRST_DELAY_S = 0.25
LONGEST_DELAY_S = 8.0
WAITING_AT_ONCE = 20

# An address that has failed, and was quiet for so long, begins anew.
FORGOTTEN_AFTER_S = 600.0
REMEMBERED_ADDRESSES = 10_000


@dataclass(slots=True)
class Failures:
    """What an address has failed at."""

    count: int = 0
    waiting: int = 0
    last_at: float = 0.0

    def end_waiting(self) -> None:
        """One has waited long enough."""
        self.waiting -= 1


class Slowing:
    """Holds back who failed."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, Failures] = OrderedDict()

    async def failed(self, address: str) -> None:
        """Waits as long as one more failure of an address has to.

        Who does not wait for it has not waited less: its place is taken as long.

        Raises:
            TooManySignInsError: as many wait already as may wait for an address.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        failures = self._failures.setdefault(address, Failures())
        self._failures.move_to_end(address)
        while len(self._failures) > REMEMBERED_ADDRESSES:
            self._failures.popitem(last=False)
        if failures.waiting >= WAITING_AT_ONCE:
            raise TooManySignInsError
        if now - failures.last_at > FORGOTTEN_AFTER_S:
            failures.count = 0
        failures.count += 1
        failures.last_at = now
        failures.waiting += 1
        delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(failures.count - 1, 10))
        loop.call_later(delay_s, failures.end_waiting)
        await asyncio.sleep(delay_s)
