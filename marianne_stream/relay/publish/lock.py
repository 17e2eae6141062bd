"""The lock of a source: one relay at a time writes what is known of it.

It must not know what is written.
"""

import asyncio
import logging
import secrets
from dataclasses import dataclass

from redis.asyncio import Redis

from marianne_stream.errors import SourceNameInUseError
from marianne_stream.relay.publish.writer import Command, Writer
from marianne_stream.relay.redis_client import call
from marianne_stream.relay.redis_keys import SourceKeys
from marianne_stream.relay.schema import FORMAT_VERSION, UNVERSIONED_FORMAT
from marianne_stream.relay.validation import describe_version

logger = logging.getLogger(__name__)

LOCK_TTL_MS = 10_000
RENEW_INTERVAL_S = 3.0

# How often one looks at a lock that another has.
LOCK_POLL_S = 0.25

# A token is a number that rises, and a lot: a replica that took over may not have heard of the
# last number, and must not make two tokens the same. A lock that one had oneself before a fault is
# taken anew at once. Nothing is written into what was published in another format.
ACQUIRE_SCRIPT = """
local held = redis.call('GET', KEYS[1])
local format = redis.call('GET', KEYS[3]) or (redis.call('GET', KEYS[2]) and ARGV[5])
if format and format ~= ARGV[4] then return {'', 0, 0, format} end
if held and held ~= ARGV[3] then
  return {'', redis.call('PTTL', KEYS[1]), redis.call('TIME')[1]}
end
local token = redis.call('INCR', KEYS[2]) .. '-' .. ARGV[1]
redis.call('SET', KEYS[1], token, 'PX', ARGV[2])
redis.call('SET', KEYS[3], ARGV[4])
return {token, tonumber(ARGV[2]), redis.call('TIME')[1]}
"""


@dataclass(frozen=True, slots=True)
class LockResult:
    """What came of trying to take a lock.

    Attributes:
        token: by which its holder writes; "" where it is another's.
        ttl_ms: how long the lock lasts, unless it is renewed.
        redis_time_s: what Redis' clock says.
    """

    token: str
    ttl_ms: int
    redis_time_s: int


class SourceLock:
    """Takes and keeps the lock of one source.

    Args:
        client: of Redis.
        keys: the source's.
    """

    def __init__(self, client: Redis, keys: SourceKeys) -> None:
        self._client = client
        self._keys = keys
        self._token = ""

    async def try_acquire(self) -> LockResult:
        """Takes the lock, where it is free.

        Raises:
            SourceTakenError: what is there was published in another format.
            RedisError: Redis is away.
        """
        keys = self._keys
        take = self._client.register_script(ACQUIRE_SCRIPT)
        answer = await call(
            take(
                keys=[keys.lock, keys.fence, keys.format],
                args=[
                    secrets.token_hex(8),
                    LOCK_TTL_MS,
                    self._token,
                    FORMAT_VERSION,
                    UNVERSIONED_FORMAT,
                ],
            )
        )
        if len(answer) > 3:
            raise SourceNameInUseError(
                f"Redis has data of {keys.source!r} in format {describe_version(answer[3])}, and "
                f"this "
                f"server publishes in format {FORMAT_VERSION}: give it another source_name, or, "
                f"if no "
                f"other server publishes as {keys.source!r}, delete the keys {keys.pattern}"
            )
        token, left_ms, now_s = answer[0].decode(), int(answer[1]), int(answer[2])
        self._token = token or self._token
        return LockResult(token, left_ms, now_s)

    async def acquire_at_startup(self) -> LockResult:
        """The first attempt of a process, which may have died just now and left a lock behind.

        A lock that somebody has is watched for as long as its holder needs to renew it.

        Raises:
            SourceTakenError: it is renewed: there is another relay; or as `attempt` does.
            RedisError: Redis is away.
        """
        attempt = await self.try_acquire()
        until = asyncio.get_running_loop().time() + RENEW_INTERVAL_S + 2 * LOCK_POLL_S
        while not attempt.token and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(LOCK_POLL_S)
            before, attempt = attempt, await self.try_acquire()
            if not attempt.token and attempt.ttl_ms > before.ttl_ms:
                raise SourceNameInUseError(
                    f"another relay publishes as {self._keys.source!r}, and its lock lasts for "
                    f"another {attempt.ttl_ms / 1000:.1f} s unless it is renewed: give this one "
                    "another source_name, or stop that one"
                )
        return attempt

    async def keep_renewed(self, writer: Writer) -> None:
        """Keeps the lock until cancelled; raises as `Writer.write_batch` does."""
        while True:
            await asyncio.sleep(RENEW_INTERVAL_S)
            await writer.write_batch([Command("PEXPIRE", self._keys.lock, (str(LOCK_TTL_MS),))])
