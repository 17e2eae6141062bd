"""Delays of failed sign-ins."""

import asyncio

import pytest

from marianne_stream.auth.login_throttle import MAX_PENDING, LoginThrottle
from marianne_stream.errors import LoginRateLimitError


async def test_cancelled_penalty_keeps_its_place_until_the_delay_has_passed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("marianne_stream.auth.login_throttle.MAX_DELAY_S", 0.5)
    throttle = LoginThrottle()
    for _ in range(MAX_PENDING):
        attempt = asyncio.create_task(throttle.penalize("an address"))
        await asyncio.sleep(0)
        attempt.cancel()
        await asyncio.wait([attempt])
    with pytest.raises(LoginRateLimitError):
        await throttle.penalize("an address")
    await throttle.penalize("another address")
    await asyncio.sleep(0.5)
    await throttle.penalize("an address")
