"""Limits of state reads."""

import asyncio
from functools import partial
from itertools import pairwise

from marianne_stream.jobs.read_limiter import (
    BACKGROUND_REST_FACTOR,
    GATHER_S,
    MAX_BURST_S,
    StateReadLimiter,
)
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


async def test_reads_that_can_wait_are_gathered_into_one_burst() -> None:
    limiter = StateReadLimiter()
    loop = asyncio.get_running_loop()
    requested_at = loop.time()
    began: list[float] = []
    reads: set[asyncio.Task[None]] = set()

    async def read() -> None:
        async with limiter.acquire(on_demand=False):
            began.append(loop.time())
            await asyncio.sleep(MAX_BURST_S / 4)

    def begin() -> None:
        reads.add(loop.create_task(read()))

    begins = [partial(begin) for _ in range(9)]
    for each in begins:
        assert not limiter.request_turn(each, can_wait=True)
    await wait_until(lambda: len(began) == 9)
    assert began[0] - requested_at > 0.9 * GATHER_S
    rests = [after - before for before, after in pairwise(began)]
    long_rests = [rest for rest in rests if rest > 0.9 * BACKGROUND_REST_FACTOR * MAX_BURST_S]
    assert 0 < len(long_rests) < 8
    await asyncio.gather(*reads)


async def test_read_that_cannot_wait_is_not_held_up_by_those_that_can() -> None:
    limiter = StateReadLimiter()
    order: list[str] = []
    assert not limiter.request_turn(partial(order.append, "can wait"), can_wait=True)
    assert not limiter.request_turn(partial(order.append, "now"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order
