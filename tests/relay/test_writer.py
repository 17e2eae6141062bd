"""Writing in whole batches, and only under the lock's token."""

import asyncio

import pytest

from marianne_stream.errors import LockLostError
from marianne_stream.relay.publish.writer import Command, Writer, WriteStats
from tests.relay.conftest import KEYS
from tests.support.redis_server import RedisServer

LOG = KEYS.log("a")


def rows(*numbers: int) -> Command:
    """An entry for each number."""
    ids = tuple(f"7-{number}" for number in numbers)
    return Command("XADD", LOG, (ids, "n", tuple(str(number) for number in numbers), "t", b"now"))


async def numbers(redis: RedisServer) -> list[bytes]:
    """Those that are there."""
    return [fields[b"n"] for _, fields in await redis.read_stream(LOG)]


async def test_a_command_with_columns_is_done_for_each_row(redis: RedisServer) -> None:
    await redis.call("SET", KEYS.lock, "1-a")
    writer = Writer(redis.client, KEYS.lock, "1-a", 1000, WriteStats())
    behind = Command("SET", KEYS.status, ("x",))
    assert await writer.write_batch([rows(*range(1, 2001)), behind]) == 0
    assert await numbers(redis) == [b"%d" % number for number in range(1, 2001)]
    _, fields = (await redis.read_stream(LOG))[-1]
    assert fields == {b"n": b"2000", b"t": b"now"}
    assert await redis.client.get(KEYS.status) == b"x"


async def test_rows_that_were_written_before_are_refused_and_the_others_are_not(
    redis: RedisServer,
) -> None:
    await redis.call("SET", KEYS.lock, "1-a")
    writer = Writer(redis.client, KEYS.lock, "1-a", 1000, WriteStats())
    assert await writer.write_batch([rows(1, 2, 3)]) == 0
    assert await writer.write_batch([rows(2, 3, 4, 5)]) == 2
    assert await numbers(redis) == [b"1", b"2", b"3", b"4", b"5"]


async def test_no_row_is_written_under_another_s_token(redis: RedisServer) -> None:
    await redis.call("SET", KEYS.lock, "2-b")
    with pytest.raises(LockLostError):
        await Writer(redis.client, KEYS.lock, "1-a", 1000, WriteStats()).write_batch([rows(1, 2)])
    assert await numbers(redis) == []


async def test_what_several_give_meanwhile_is_written_at_once_and_in_order(
    redis: RedisServer,
) -> None:
    await redis.call("SET", KEYS.lock, "1-a")
    written = WriteStats()
    writer = Writer(redis.client, KEYS.lock, "1-a", 1000, written)
    async with asyncio.TaskGroup() as group:
        given = [group.create_task(writer.write([rows(n)])) for n in range(1, 401)]
        await asyncio.sleep(0)
        # Who leaves before its turn leaves no trace.
        given[6].cancel()
        running = group.create_task(writer.run())
        await asyncio.wait(given)
        running.cancel()
    assert await numbers(redis) == [b"%d" % number for number in range(1, 401) if number != 7]
    assert (written.batch_count, written.command_count, written.duplicate_count) == (1, 399, 0)


async def test_who_waits_for_what_cannot_be_written_is_told_by_the_run(redis: RedisServer) -> None:
    await redis.call("SET", KEYS.lock, "2-b")
    writer = Writer(redis.client, KEYS.lock, "1-a", 1000, WriteStats())
    waiting = asyncio.create_task(writer.write([rows(1)]))
    with pytest.raises(LockLostError):
        await writer.run()
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert await numbers(redis) == []


async def test_redis_is_not_kept_long_by_what_is_large(redis: RedisServer) -> None:
    await redis.call("SET", KEYS.lock, "1-a")
    written = WriteStats()
    writer = Writer(redis.client, KEYS.lock, "1-a", 1000, written)
    large = [Command("HSET", KEYS.states, (str(n), "x" * 200_000)) for n in range(10)]
    async with asyncio.TaskGroup() as group:
        given = [group.create_task(writer.write([command])) for command in large]
        running = group.create_task(writer.run())
        await asyncio.wait(given)
        running.cancel()
    assert written.batch_count == 4


async def test_what_is_much_does_not_keep_back_what_is_not(redis: RedisServer) -> None:
    await redis.call("SET", KEYS.lock, "1-a")
    writer = Writer(redis.client, KEYS.lock, "1-a", 1000, WriteStats())
    many = [rows(*range(n, n + 500)) for n in range(1, 50_000, 500)]
    async with asyncio.TaskGroup() as group:
        bulk = [group.create_task(writer.write([each], is_bulk=True)) for each in many]
        await asyncio.sleep(0)
        running = group.create_task(writer.run())
        await writer.write([Command("SET", KEYS.status, ("x",))])
        assert not all(task.done() for task in bulk)
        await asyncio.wait(bulk)
        running.cancel()
    assert await redis.client.get(KEYS.status) == b"x"
