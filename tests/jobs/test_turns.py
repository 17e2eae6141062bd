"""One look at a time, and those that nothing asked for wait."""

import asyncio

from marianne_stream.jobs.read_limiter import BACKGROUND_REST_FACTOR, StateReadLimiter


async def test_one_looks_at_a_time_first_come_first_served() -> None:
    turns = StateReadLimiter()
    order: list[int] = []

    async def look(number: int) -> None:
        async with turns.acquire(on_demand=True):
            order.append(number)
            await asyncio.sleep(0)
            assert order[-1] == number

    await asyncio.gather(*(look(number) for number in range(10)))
    assert order == list(range(10))


async def test_a_look_that_nothing_asked_for_is_followed_by_a_long_rest_for_its_like() -> None:
    turns = StateReadLimiter()
    assert turns.background_delay_s == 0
    async with turns.acquire(on_demand=True):
        await asyncio.sleep(0.01)
        assert turns.background_delay_s > 0
    assert turns.background_delay_s == 0
    async with turns.acquire(on_demand=False):
        await asyncio.sleep(0.01)
    assert turns.background_delay_s > 0.9 * BACKGROUND_REST_FACTOR * 0.01
    async with asyncio.timeout(0.1), turns.acquire(on_demand=True):
        pass
