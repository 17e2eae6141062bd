"""How often one kind of request may be made: a slow answer buys the one who gave it a rest.

It must not know what is asked.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# After an answer nothing of its kind is asked for so many times what it took.
REST_FACTOR = 5.0

# However long one answer took, nobody waits longer than this for the next.
REST_CAP_S = 30.0


class Pace:
    """Takes turns, one at a time, with a rest after each that grows with what it took.

    Attributes:
        last_s: what the last turn took, in seconds.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._not_before = 0.0
        self.last_s = 0.0

    @property
    def rest_s(self) -> float:
        """How long the next turn has to wait, if nobody is having one."""
        return max(0.0, self._not_before - asyncio.get_running_loop().time())

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits for a turn, first come first served, and has it. Cancelling is safe."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            if (rest_s := self.rest_s) > 0:
                await asyncio.sleep(rest_s)
            began = loop.time()
            try:
                yield
            finally:
                now = loop.time()
                self.last_s = now - began
                self._not_before = now + min(REST_FACTOR * self.last_s, REST_CAP_S)
