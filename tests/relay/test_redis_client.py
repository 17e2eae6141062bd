"""Bounds on what is read from Redis."""

import pytest

from marianne_stream.relay import redis_client
from marianne_stream.relay.redis_client import ResponseTooLargeError, close_connections, make_client
from tests.support.redis_server import RedisServer


async def test_answer_above_the_limit_is_refused_and_the_next_one_is_read(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "MAX_RESPONSE_BYTES", 1024 * 1024)
    await redis.call("SET", "small", "x" * 1000)
    await redis.call("SET", "large", "x" * (1024 * 1024))
    for n in range(20):
        await redis.call("HSET", "many", f"{n}", "x" * 60_000)
    client = make_client(redis.url, None)
    for _ in range(3):
        for question in (client.get("large"), client.hgetall("many")):
            with pytest.raises(ResponseTooLargeError):
                await question
        assert len(await client.get("small") or b"") == 1000
    await close_connections(client)
