"""Who fails waits, and cannot wait less by leaving."""

import asyncio

import pytest

from marianne_stream.auth.login_throttle import MAX_PENDING, LoginThrottle
from marianne_stream.errors import LoginRateLimitError


async def test_who_leaves_keeps_his_place_until_the_delay_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("marianne_stream.auth.login_throttle.MAX_DELAY_S", 0.5)
    slowing = LoginThrottle()
    for _ in range(MAX_PENDING):
        attempt = asyncio.create_task(slowing.penalize("an address"))
        await asyncio.sleep(0)
        attempt.cancel()
        await asyncio.wait([attempt])
    with pytest.raises(LoginRateLimitError):
        await slowing.penalize("an address")
    await slowing.penalize("another address")
    await asyncio.sleep(0.5)
    await slowing.penalize("an address")
