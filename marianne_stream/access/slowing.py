"""Failed attempts to sign in are answered late, the later the more there were from an address.

What is right is let in at once; but nobody tries many at the same time. It must not know what is
tried.
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


class Slowing:
    """Holds back who failed."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, Failures] = OrderedDict()

    def check(self, address: str) -> None:
        """Raises TooManySignInsError while as many answers wait as may wait for an address."""
        failures = self._failures.get(address)
        if failures is not None and failures.waiting >= WAITING_AT_ONCE:
            raise TooManySignInsError

    async def failed(self, address: str) -> None:
        """Waits as long as one more failure of an address has to."""
        now = asyncio.get_running_loop().time()
        failures = self._failures.setdefault(address, Failures())
        self._failures.move_to_end(address)
        while len(self._failures) > REMEMBERED_ADDRESSES:
            self._failures.popitem(last=False)
        if now - failures.last_at > FORGOTTEN_AFTER_S:
            failures.count = 0
        failures.count += 1
        failures.last_at = now
        failures.waiting += 1
        try:
            await asyncio.sleep(
                min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(failures.count - 1, 10))
            )
        finally:
            failures.waiting -= 1
