"""A slow answer buys the one who gave it a rest."""

import asyncio

import pytest

from marianne_stream.state.pace import REST_FACTOR, Pace


async def test_a_turn_waits_five_times_what_the_last_one_took() -> None:
    loop = asyncio.get_running_loop()
    pace = Pace()
    async with pace.turn():
        await asyncio.sleep(0.02)
    ended = loop.time()
    async with pace.turn():
        assert loop.time() - ended >= REST_FACTOR * 0.02 * 0.99


async def test_turns_are_taken_one_at_a_time_first_come_first_served() -> None:
    pace = Pace()
    order: list[int] = []
    having = 0

    async def have(number: int) -> None:
        nonlocal having
        async with pace.turn():
            having += 1
            assert having == 1
            await asyncio.sleep(0)
            order.append(number)
            having -= 1

    await asyncio.gather(*(have(number) for number in range(10)))
    assert order == list(range(10))


async def test_one_who_gives_up_waiting_leaves_the_others_their_turns() -> None:
    pace = Pace()
    async with pace.turn():
        waiting = asyncio.create_task(pace.turn().__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    async with asyncio.timeout(1), pace.turn():
        pass


async def test_a_turn_that_fails_is_followed_by_no_rest() -> None:
    loop = asyncio.get_running_loop()
    pace = Pace()

    async def fail() -> None:
        async with pace.turn():
            await asyncio.sleep(0.1)
            raise TimeoutError

    with pytest.raises(TimeoutError):
        await fail()
    failed = loop.time()
    async with pace.turn():
        assert loop.time() - failed < 0.1
