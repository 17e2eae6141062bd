"""Reader of a source's streams, whose subscriptions change during a read."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from unittest.mock import Mock

import pytest

from marianne_stream.common.task_set import cancel_and_wait
from marianne_stream.relay.edge.source_reader import ReadPacing, SourceReader
from marianne_stream.relay.redis_client import close_connections, make_client
from marianne_stream.relay.redis_streams import FIRST_ID, StreamEntry
from tests.relay.conftest import JOB, KEYS
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

KEY = KEYS.log(JOB)

# Entries of one read, which are handled in several slices.
ENTRY_IDS = [b"1-%d" % number for number in range(1, 1001)]


@pytest.fixture
async def reader(redis: RedisServer) -> AsyncIterator[SourceReader]:
    """Return a reader, which does not run yet, of a source with one stream of entries."""
    async with redis.client.pipeline() as pipe:
        for entry_id in ENTRY_IDS:
            pipe.xadd(KEY, {"n": "1"}, id=entry_id)
        await pipe.execute()
    client = make_client(redis.url, None)
    yield SourceReader(client, KEYS, ReadPacing.for_sources(1), Mock())
    await close_connections(client)


@contextlib.asynccontextmanager
async def run_reader(reader: SourceReader) -> AsyncIterator[None]:
    task = asyncio.create_task(reader.run())
    try:
        yield
    finally:
        await cancel_and_wait([task])


@pytest.mark.parametrize("is_between_slices", [False, True])
async def test_consumer_replaced_during_read_gets_each_entry_behind_its_id(
    reader: SourceReader, *, is_between_slices: bool
) -> None:
    found: list[bytes] = []

    async def consume(entries: list[StreamEntry]) -> None:
        found.extend(entry_id for entry_id, _ in entries)

    def replace_consumer() -> None:
        reader.unsubscribe(KEY)
        reader.subscribe(KEY, FIRST_ID, consume)

    async def consume_first_slice(entries: list[StreamEntry]) -> None:
        assert len(entries) < len(ENTRY_IDS)
        if is_between_slices:
            asyncio.get_running_loop().call_soon(replace_consumer)
        else:
            replace_consumer()

    reader.subscribe(KEY, FIRST_ID, consume_first_slice)
    async with run_reader(reader):
        await wait_until(lambda: found[-1:] == ENTRY_IDS[-1:])
    assert found == ENTRY_IDS
