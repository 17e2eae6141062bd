"""Measure stalls of this process, to allow for a busy machine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

STEP_INTERVAL_S = 0.01


class LoopLag:
    """Event loop lag.

    Attributes:
        max_s: the longest delay of a 10 ms timer.
    """

    def __init__(self) -> None:
        self.max_s = 0.0

    async def measure(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + STEP_INTERVAL_S
            await asyncio.sleep(STEP_INTERVAL_S)
            self.max_s = max(self.max_s, loop.time() - due)


@asynccontextmanager
async def measure_loop_lag() -> AsyncIterator[LoopLag]:
    """Measure the event loop lag."""
    measured = LoopLag()
    task = asyncio.create_task(measured.measure())
    try:
        yield measured
    finally:
        task.cancel()
        await asyncio.wait([task])
