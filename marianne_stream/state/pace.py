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
    """Takes turns, one at a time, with a rest after each that grows with what it took."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._not_before = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits for a turn, first come first served, and has it. Cancelling is safe.

        A turn that fails is followed by no rest: who does not answer has nothing to rest from, and
        somebody else may be asked instead.
        """
        loop = asyncio.get_running_loop()
        async with self._lock:
            if (rest_s := self._not_before - loop.time()) > 0:
                await asyncio.sleep(rest_s)
            began = loop.time()
            yield
            now = loop.time()
            self._not_before = now + min(REST_FACTOR * (now - began), REST_CAP_S)
