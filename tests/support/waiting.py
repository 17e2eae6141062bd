"""Waiting for a condition, with a limit: never sleeping for luck."""

import asyncio
import time
from collections.abc import Callable

LIMIT_S = 10.0


async def until(condition: Callable[[], object], *, limit_s: float = LIMIT_S) -> None:
    """Waits until a condition holds, and fails when it does not within the limit."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition never came"
        await asyncio.sleep(0.002)
