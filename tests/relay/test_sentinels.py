"""Connections to the primary that Sentinels name, some of which are down or silent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from marianne_stream.relay.redis_client import (
    SentinelPool,
    call,
    close_connections,
    ensure_same_primary,
    make_client,
)
from tests.support.ports import free_port
from tests.support.redis_deployments import SENTINEL_SERVICE, run_sentinel
from tests.support.waiting import wait_for_value


@asynccontextmanager
async def run_silent_server() -> AsyncIterator[str]:
    """Return the address of a server that never answers."""
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


async def test_silent_or_missing_sentinels_delay_no_command(tmp_path: Path) -> None:
    async with run_sentinel(tmp_path) as redis, run_silent_server() as never:
        assert redis.sentinel is not None
        hosts = f"{never},127.0.0.1:{free_port()},127.0.0.1:{redis.sentinel.port}"
        client = make_client(f"redis+sentinel://{hosts}/{SENTINEL_SERVICE}", None)
        async with asyncio.timeout(5):
            assert await client.ping()
        await redis.sentinel.kill()
        # Open connections keep working, and no Sentinel names another primary.
        await ensure_same_primary(client)
        assert await client.ping()
        await close_connections(client)


async def test_new_primary_closes_all_connections(tmp_path: Path) -> None:
    async with run_sentinel(tmp_path) as redis:
        assert redis.sentinel is not None
        client = make_client(
            f"redis+sentinel://127.0.0.1:{redis.sentinel.port}/{SENTINEL_SERVICE}", None
        )
        waiting = asyncio.create_task(call(client.xread({"a": "$"}, block=60_000)))
        await wait_for_value(
            lambda: redis.primary.client.info("clients"), lambda found: found["blocked_clients"]
        )
        await redis.sentinel.call("SENTINEL", "REMOVE", SENTINEL_SERVICE)
        port = redis.replica.port
        await redis.sentinel.call("SENTINEL", "MONITOR", SENTINEL_SERVICE, "127.0.0.1", port, 1)
        with pytest.raises(RedisError, match="another server has taken over"):
            await ensure_same_primary(client)
        with pytest.raises(RedisError):
            await waiting
        assert (await client.info("server"))["tcp_port"] == port
        await close_connections(client)


async def test_missing_primary_error_shows_no_password(tmp_path: Path) -> None:
    async with run_sentinel(tmp_path) as redis:
        assert redis.sentinel is not None
        url = f"redis+sentinel://u:Secret@127.0.0.1:{redis.sentinel.port}/other"
        for more in ("", "?sentinel_password=Secret"):
            client = make_client(url + more, None)
            with pytest.raises(RedisError, match="Sentinels names a primary of 'other'") as caught:
                await client.ping()
            assert "Secret" not in repr(caught.value)
            assert caught.value.__cause__ is None
            await close_connections(client)


def test_sentinel_url_options_reach_server_and_sentinels() -> None:
    url = (
        "rediss+sentinel://u:p@here,[::1]:7/main/3"
        "?ssl_ca_certs=%2Fca&sentinel_password=a%2Fb&socket_keepalive=yes"
    )
    pool = make_client(url, None).connection_pool
    assert isinstance(pool, SentinelPool)
    assert pool.service_name == "main"
    options = pool.connection_kwargs
    assert (options["username"], options["password"], options["db"]) == ("u", "p", 3)
    assert options["ssl_ca_certs"] == "/ca"
    theirs = [each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels]
    assert [(each["host"], each["port"]) for each in theirs] == [("here", 26379), ("::1", 7)]
    for each in theirs:
        assert (each["username"], each["password"]) == (None, "a/b")
        assert (each["ssl_ca_certs"], each["socket_keepalive"]) == ("/ca", True)
        assert each["db"] == 0
