"""Waiting for a condition, with a limit: never sleeping for luck."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

LIMIT_S = 10.0


async def until(condition: Callable[[], object], *, limit_s: float = LIMIT_S) -> None:
    """Waits until a condition holds, and fails when it does not within the limit."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition never came"
        await asyncio.sleep(0.002)


async def eventually(
    look: Callable[[], Awaitable[Any]], wanted: Callable[[Any], object], *, limit_s: float = LIMIT_S
) -> Any:
    """What a look gives, once it is what is wanted."""
    found = None
    try:
        async with asyncio.timeout(limit_s):
            while True:
                if wanted(found := await look()):
                    return found
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"it never came; the last was {found!r}")
