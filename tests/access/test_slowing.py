"""Who fails waits, and cannot wait less by leaving."""

import asyncio

import pytest

from marianne_stream.access.slowing import WAITING_AT_ONCE, Slowing
from marianne_stream.errors import TooManySignInsError


async def test_who_leaves_keeps_his_place_until_the_delay_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("marianne_stream.access.slowing.LONGEST_DELAY_S", 0.5)
    slowing = Slowing()
    for _ in range(WAITING_AT_ONCE):
        attempt = asyncio.create_task(slowing.failed("an address"))
        await asyncio.sleep(0)
        attempt.cancel()
        await asyncio.wait([attempt])
    with pytest.raises(TooManySignInsError):
        await slowing.failed("an address")
    await slowing.failed("another address")
    await asyncio.sleep(0.5)
    await slowing.failed("an address")
