"""Which server has the keys: asked of Sentinels and nodes, some of whom are away or silent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.crc import key_slot
from redis.exceptions import RedisError

from marianne_stream.relay.servers import LOOK_LIMIT_S, server_of
from tests.support.deployments import SERVICE, SLOTS, node_options, watched_by_sentinel
from tests.support.ports import free_port
from tests.support.redis import RedisServer, redis_server
from tests.support.waiting import eventually

KEY = "marianne-stream:{oak}:lock"


@asynccontextmanager
async def silent() -> AsyncIterator[str]:
    """Where one listens who never answers."""
    held = []

    async def hear(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    listening = await asyncio.start_server(hear, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        for writer in held:
            writer.close()


async def test_sentinels_that_are_silent_or_away_keep_nobody(tmp_path: Path) -> None:
    async with watched_by_sentinel(tmp_path) as redis, silent() as never:
        assert redis.sentinel is not None
        hosts = f"{never},127.0.0.1:{free_port()},127.0.0.1:{redis.sentinel.port}"
        server = server_of(f"redis+sentinel://{hosts}/{SERVICE}", None, KEY)
        async with asyncio.timeout(2 * LOOK_LIMIT_S):
            await server.find()
        assert await server.client.ping()
        await redis.sentinel.kill()
        # The one that was found stays the one to try, and nobody says that it is another.
        await server.find()
        assert not await server.has_moved()
        assert await server.client.ping()
        await server.hang_up()


async def test_who_finds_no_server_is_told_why_and_no_password(tmp_path: Path) -> None:
    async with watched_by_sentinel(tmp_path) as redis:
        assert redis.sentinel is not None
        url = f"redis+sentinel://u:Secret@127.0.0.1:{redis.sentinel.port}/other"
        with pytest.raises(RedisError, match="none of 1 Sentinels says where 'other' is") as caught:
            await server_of(url, None, KEY).find()
        assert "it knows no 'other'" in str(caught.value)
        with pytest.raises(RedisError) as caught:
            await server_of(f"{url}?sentinel_password=Secret", None, KEY).find()
        assert "Secret" not in str(caught.value)


@asynccontextmanager
async def nodes(folder: Path) -> AsyncIterator[tuple[RedisServer, RedisServer]]:
    """Two nodes that know each other; nobody has a slot."""
    one, other = free_port(), free_port()
    async with (
        redis_server(folder / "one", options=node_options(folder / "one", one)) as first,
        redis_server(folder / "other", options=node_options(folder / "other", other)) as second,
    ):
        await first.call("CLUSTER", "MEET", "127.0.0.1", second.port, other)
        yield first, second


def cluster_url(*servers: RedisServer) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in servers)


async def test_a_cluster_without_slots_is_no_fault_of_ours(tmp_path: Path) -> None:
    async with nodes(tmp_path) as (first, _):
        with pytest.raises(RedisError, match="none of 1 nodes of the cluster says who has"):
            await server_of(cluster_url(first), None, KEY).find()


async def test_the_node_of_a_key_is_found_whoever_else_is_away(tmp_path: Path) -> None:
    slot = key_slot(KEY.encode())
    async with nodes(tmp_path) as (first, second):
        # The other one comes first in the order of slots.
        await second.call("CLUSTER", "ADDSLOTSRANGE", 0, slot - 1)
        await first.call("CLUSTER", "ADDSLOTSRANGE", slot, SLOTS - 1)
        await eventually(lambda: second.call("CLUSTER", "SLOTS"), lambda found: len(found) == 2)
        server = server_of(cluster_url(second), None, KEY)
        await server.find()
        # Who was told of is asked, too, when those are gone that were named.
        await second.kill()
        again = server_of(cluster_url(second, first), None, KEY)
        for found in (server, again):
            await found.find()
            assert not await found.has_moved()
            assert await found.client.ping()
            assert found.client.connection_pool.connection_kwargs["port"] == first.port
            await found.hang_up()
