"""Wait for conditions with a limit instead of sleeping."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

# Long enough for a machine with other work.
TIMEOUT_S = 30.0


async def wait_until(condition: Callable[[], object], *, timeout_s: float = TIMEOUT_S) -> None:
    """Wait until a condition holds; fail if it does not within the limit."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition never came"
        await asyncio.sleep(0.002)


async def wait_for_value(
    read: Callable[[], Awaitable[Any]],
    is_expected: Callable[[Any], object],
    *,
    timeout_s: float = TIMEOUT_S,
) -> Any:
    """Wait until a coroutine function returns a wanted value, and return it."""
    found = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                if is_expected(found := await read()):
                    return found
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"it never came; the last was {found!r}")
