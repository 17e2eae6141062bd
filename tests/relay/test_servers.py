"""Which server has the keys: asked of Sentinels, some of whom are away or silent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from marianne_stream.relay.servers import LOOK_LIMIT_S, server_of
from tests.support.deployments import SERVICE, watched_by_sentinel
from tests.support.ports import free_port


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
        server = server_of(f"redis+sentinel://{hosts}/{SERVICE}", None)
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
            await server_of(url, None).find()
        assert "it knows no 'other'" in str(caught.value)
        with pytest.raises(RedisError) as caught:
            await server_of(f"{url}?sentinel_password=Secret", None).find()
        assert "Secret" not in str(caught.value)
