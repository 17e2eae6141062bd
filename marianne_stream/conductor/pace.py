"""How often one kind of request may be made: a slow answer buys the conductor a rest.

It must not know what is asked.
"""

import asyncio

# After an answer nothing of its kind is asked for so many times what it took.
REST_FACTOR = 5.0

# However long one answer took, nobody waits longer than this for the next.
REST_CAP_S = 30.0


class Pace:
    """Remembers what the last request of a kind took, and when the next may be made."""

    def __init__(self) -> None:
        self._not_before = 0.0

    async def rested(self) -> None:
        """Waits until the next request may be made. Cancelling is safe."""
        now = asyncio.get_running_loop().time()
        if now < self._not_before:
            await asyncio.sleep(self._not_before - now)

    def took(self, answer_s: float) -> None:
        """A request has kept the conductor busy for so long."""
        now = asyncio.get_running_loop().time()
        self._not_before = now + min(REST_FACTOR * answer_s, REST_CAP_S)
