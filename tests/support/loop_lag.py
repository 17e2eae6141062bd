"""How long the machine let this process stand still: what has to be quick then may be later."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

STEP_INTERVAL_S = 0.01


class LoopLag:
    """Measures while its context lasts.

    Attributes:
        max_s: the longest that a step of a hundredth of a second was late.
    """

    def __init__(self) -> None:
        self.max_s = 0.0

    async def measure(self) -> None:
        """Steps until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + STEP_INTERVAL_S
            await asyncio.sleep(STEP_INTERVAL_S)
            self.max_s = max(self.max_s, loop.time() - due)


@asynccontextmanager
async def measure_loop_lag() -> AsyncIterator[LoopLag]:
    """Measures for as long as the context lasts."""
    measured = LoopLag()
    task = asyncio.create_task(measured.measure())
    try:
        yield measured
    finally:
        task.cancel()
        await asyncio.wait([task])
