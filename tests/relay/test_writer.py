"""Writer: batches that are fenced by the lock's token."""

import asyncio

import pytest

from marianne_stream.errors import LockLostError
from marianne_stream.relay.publish.writer import Command, SourceLock, Writer, WriteStats
from tests.relay.conftest import KEYS
from tests.support.redis_server import RedisServer
from tests.support.waiting import TIMEOUT_S

LOG = KEYS.log("a")


def make_command(*numbers: int) -> Command:
    """Return a command that adds an entry for each number."""
    ids = tuple(f"7-{number}" for number in numbers)
    return Command("XADD", LOG, (ids, "n", tuple(str(number) for number in numbers), "t", b"now"))


async def read_numbers(redis: RedisServer) -> list[bytes]:
    """Return the numbers of the entries in Redis."""
    return [fields[b"n"] for _, fields in await redis.read_stream(LOG)]


async def test_command_with_columns_runs_for_each_row(redis: RedisServer) -> None:
    await redis.call("SET", KEYS.lock, "1-a")
    writer = Writer(redis.client, KEYS.lock, "1-a", 1000, WriteStats())
    behind = Command("SET", KEYS.status, ("x",))
    assert await writer.write_batch([make_command(*range(1, 2001)), behind]) == 0
    assert await read_numbers(redis) == [b"%d" % number for number in range(1, 2001)]
    _, fields = (await redis.read_stream(LOG))[-1]
    assert fields == {b"n": b"2000", b"t": b"now"}
    assert await redis.client.get(KEYS.status) == b"x"


async def test_repeated_rows_are_refused_and_new_rows_are_written(
    redis: RedisServer,
) -> None:
    await redis.call("SET", KEYS.lock, "1-a")
    writer = Writer(redis.client, KEYS.lock, "1-a", 1000, WriteStats())
    assert await writer.write_batch([make_command(1, 2, 3)]) == 0
    assert await writer.write_batch([make_command(2, 3, 4, 5)]) == 2
    assert await read_numbers(redis) == [b"1", b"2", b"3", b"4", b"5"]


async def test_writer_without_the_lock_writes_no_row(redis: RedisServer) -> None:
    await redis.call("SET", KEYS.lock, "2-b")
    with pytest.raises(LockLostError):
        await Writer(redis.client, KEYS.lock, "1-a", 1000, WriteStats()).write_batch(
            [make_command(1, 2)]
        )
    assert await read_numbers(redis) == []


async def test_commands_given_during_a_batch_are_one_batch_in_order(
    redis: RedisServer,
) -> None:
    await redis.call("SET", KEYS.lock, "1-a")
    written = WriteStats()
    writer = Writer(redis.client, KEYS.lock, "1-a", 1000, written)
    async with asyncio.TaskGroup() as group:
        given = [group.create_task(writer.write([make_command(n)])) for n in range(1, 401)]
        await asyncio.sleep(0)
        # Commands whose caller is cancelled before the batch are not written.
        given[6].cancel()
        running = group.create_task(writer.run())
        await asyncio.wait(given)
        running.cancel()
    assert await read_numbers(redis) == [b"%d" % number for number in range(1, 401) if number != 7]
    assert (written.batch_count, written.command_count, written.duplicate_count) == (1, 399, 0)


async def test_failed_write_raises_in_run_while_callers_wait(redis: RedisServer) -> None:
    await redis.call("SET", KEYS.lock, "2-b")
    writer = Writer(redis.client, KEYS.lock, "1-a", 1000, WriteStats())
    waiting = asyncio.create_task(writer.write([make_command(1)]))
    with pytest.raises(LockLostError):
        await writer.run()
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert await read_numbers(redis) == []


async def test_large_writes_are_split_into_batches(redis: RedisServer) -> None:
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


async def test_bulk_writes_do_not_delay_urgent_ones(redis: RedisServer) -> None:
    await redis.call("SET", KEYS.lock, "1-a")
    writer = Writer(redis.client, KEYS.lock, "1-a", 1000, WriteStats())
    many = [make_command(*range(n, n + 500)) for n in range(1, 50_000, 500)]
    async with asyncio.TaskGroup() as group:
        bulk = [group.create_task(writer.write([each], is_bulk=True)) for each in many]
        await asyncio.sleep(0)
        running = group.create_task(writer.run())
        await writer.write([Command("SET", KEYS.status, ("x",))])
        assert not all(task.done() for task in bulk)
        await asyncio.wait(bulk)
        running.cancel()
    assert await redis.client.get(KEYS.status) == b"x"


async def test_lock_left_behind_is_taken_as_soon_as_it_expires(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marianne_stream.relay.publish.writer.RENEW_INTERVAL_S", 3600.0)
    await redis.call("SET", KEYS.lock, "7-dead", "PX", "200")
    async with asyncio.timeout(TIMEOUT_S):
        assert (await SourceLock(redis.client, KEYS).acquire_at_startup()).token
