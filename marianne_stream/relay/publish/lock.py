"""Lock of a source: one relay at a time publishes under its name."""

import asyncio
import secrets
from dataclasses import dataclass

from redis.asyncio import Redis

from marianne_stream.errors import SourceNameInUseError
from marianne_stream.relay.publish.writer import Command, Writer
from marianne_stream.relay.redis_client import call
from marianne_stream.relay.redis_keys import SourceKeys
from marianne_stream.relay.schema import FORMAT_VERSION, UNVERSIONED_FORMAT
from marianne_stream.relay.validation import describe_version

LOCK_TTL_MS = 10_000
RENEW_INTERVAL_S = 3.0
LOCK_POLL_S = 0.25

# A fencing token is a counter and a random suffix: a promoted replica may have missed the last
# increment, and must not issue the same token twice. A relay that finds its own token there takes
# the lock again. Data of another format is left alone.
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
    """Result of an attempt to take a lock. The token is "" if another relay holds it."""

    token: str
    ttl_ms: int
    redis_time_s: int


class SourceLock:
    """Lock of one source."""

    def __init__(self, client: Redis, keys: SourceKeys) -> None:
        self._client = client
        self._keys = keys
        self._token = ""

    async def try_acquire(self) -> LockResult:
        """Take the lock if it is free.

        Raises SourceNameInUseError if the source's data is in another format, or RedisError.
        """
        keys = self._keys
        acquire = self._client.register_script(ACQUIRE_SCRIPT)
        suffix = secrets.token_hex(8)
        answer = await call(
            acquire(
                keys=[keys.lock, keys.fence, keys.format],
                args=[suffix, LOCK_TTL_MS, self._token, FORMAT_VERSION, UNVERSIONED_FORMAT],
            )
        )
        if len(answer) > 3:
            raise SourceNameInUseError(
                f"Redis has data of {keys.source!r} in format {describe_version(answer[3])}, and "
                f"this server publishes in format {FORMAT_VERSION}: give it another source_name, "
                f"or, if no other server publishes as {keys.source!r}, delete the keys "
                f"{keys.pattern}"
            )
        token = answer[0].decode()
        self._token = token or self._token
        return LockResult(token, int(answer[1]), int(answer[2]))

    async def acquire_at_startup(self) -> LockResult:
        """Take the lock, which an earlier process of this server may have left behind.

        A lock that is held is watched for one renewal interval. Raises SourceNameInUseError if its
        holder renews it, and as `try_acquire` does.
        """
        result = await self.try_acquire()
        until = asyncio.get_running_loop().time() + RENEW_INTERVAL_S + 2 * LOCK_POLL_S
        while not result.token and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(LOCK_POLL_S)
            before, result = result, await self.try_acquire()
            if not result.token and result.ttl_ms > before.ttl_ms:
                raise SourceNameInUseError(
                    f"another relay publishes as {self._keys.source!r}, and its lock lasts for "
                    f"another {result.ttl_ms / 1000:.1f} s unless it is renewed: give this one "
                    "another source_name, or stop that one"
                )
        return result

    async def keep_renewed(self, writer: Writer) -> None:
        """Renew the lock until cancelled; raises as `Writer.write_batch` does."""
        while True:
            await asyncio.sleep(RENEW_INTERVAL_S)
            await writer.write_batch([Command("PEXPIRE", self._keys.lock, (str(LOCK_TTL_MS),))])
