"""Limits of state reads."""

import asyncio
from functools import partial

from marianne_stream.jobs.read_limiter import BACKGROUND_REST_FACTOR, StateReadLimiter
from tests.support.waiting import wait_until


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
    turns: list[float] = []
    loop = asyncio.get_running_loop()

    def begin() -> None:
        turns.append(loop.time())

    assert limiter.request_turn(begin)
    async with limiter.acquire(on_demand=True):
        await asyncio.sleep(0.01)
        assert not limiter.request_turn(begin)
    await wait_until(lambda: turns)
    async with limiter.acquire(on_demand=False):
        await asyncio.sleep(0.01)
    ended = loop.time()
    assert not limiter.request_turn(begin)
    async with asyncio.timeout(0.1), limiter.acquire(on_demand=True):
        pass
    assert len(turns) == 1
    await wait_until(lambda: len(turns) == 2)
    assert turns[1] - ended > 0.9 * BACKGROUND_REST_FACTOR * 0.01


async def test_background_reads_begin_in_the_order_of_their_requests() -> None:
    limiter = StateReadLimiter()
    order: list[int] = []
    async with limiter.acquire(on_demand=False):
        begins = [partial(order.append, number) for number in range(4)]
        for begin in begins:
            assert not limiter.request_turn(begin)
        limiter.cancel_turn(begins[1])
        await asyncio.sleep(0.02)
        assert order == []
    # A read that comes later does not overtake those that wait.
    assert not limiter.request_turn(begins[1])
    await wait_until(lambda: len(order) == 4)
    assert order == [0, 2, 3, 1]
