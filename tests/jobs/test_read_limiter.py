"""Limits of state reads."""

import asyncio

from marianne_stream.jobs.read_limiter import BACKGROUND_REST_FACTOR, StateReadLimiter


async def test_concurrent_reads_run_in_order() -> None:
    limiter = StateReadLimiter()
    order: list[int] = []

    async def read(number: int) -> None:
        async with limiter.acquire(on_demand=True):
            order.append(number)
            await asyncio.sleep(0)
            assert order[-1] == number

    await asyncio.gather(*(read(number) for number in range(10)))
    assert order == list(range(10))


async def test_background_read_delays_next_background_read() -> None:
    limiter = StateReadLimiter()
    assert limiter.background_delay_s == 0
    async with limiter.acquire(on_demand=True):
        await asyncio.sleep(0.01)
        assert limiter.background_delay_s > 0
    assert limiter.background_delay_s == 0
    async with limiter.acquire(on_demand=False):
        await asyncio.sleep(0.01)
    assert limiter.background_delay_s > 0.9 * BACKGROUND_REST_FACTOR * 0.01
    async with asyncio.timeout(0.1), limiter.acquire(on_demand=True):
        pass
