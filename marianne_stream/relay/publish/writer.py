"""Writer of batches to Redis, fenced by the lock of the source: one relay at a time publishes.

Each batch is a script that first compares the lock with the token of the writer, so a relay that
has lost the lock writes nothing.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
from redis.asyncio import Redis

from marianne_stream.common.task_set import run_until_first_failure
from marianne_stream.errors import LockLostError, SourceNameInUseError
from marianne_stream.relay.redis_client import call
from marianne_stream.relay.schema import (
    FORMAT_VERSION,
    UNVERSIONED_FORMAT,
    SourceKeys,
    describe_version,
)

# Keys are passed apart from the commands, which name them by index, so that Redis checks the user's
# rights to all of them first. A command with columns is run once for each row. An entry whose id is
# not above the newest id was written before, which is not an error.
BATCH_SCRIPT = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local refused = 0
for _, command in ipairs(cmsgpack.unpack(ARGV[2])) do
  command[2] = KEYS[command[2]]
  local columns, rows = {}, 1
  for place, value in ipairs(command) do
    if type(value) == 'table' then columns[place], rows = value, #value end
  end
  for row = 1, rows do
    for place, values in pairs(columns) do command[place] = values[row] end
    local reply = redis.pcall(unpack(command))
    if type(reply) == 'table' and reply.err then
      if not string.find(reply.err, 'equal or smaller', 1, true) then return reply end
      refused = refused + 1
    end
  end
end
return refused
"""

LOCK_LOST = -1

encode_msgpack = msgspec.msgpack.Encoder().encode

# Lua's stack holds at most 8,000 values.
MAX_COMMAND_FIELDS = 1000

# Redis runs nothing else during a batch: these limits are some milliseconds.
MAX_BATCH_ROWS = 1000
MAX_BATCH_BYTES = 512 * 1024

# Values of one argument, for each row.
Column = tuple[str, ...]


class Command(NamedTuple):
    """Command of Redis whose first argument is its only key.

    If some arguments are columns, of the same length, it is run once for each row.
    """

    name: str
    key: str
    arguments: tuple[str | bytes | Column, ...] = ()

    @property
    def row_count(self) -> int:
        """Number of times that the command is run."""
        return next((len(value) for value in self.arguments if isinstance(value, tuple)), 1)

    @property
    def size_bytes(self) -> int:
        """Approximate size of the arguments."""
        return sum(
            sum(map(len, value)) if isinstance(value, tuple) else len(value)
            for value in self.arguments
        )


@dataclass(slots=True)
class WriteQueue:
    """Commands to write, each group with the future of its caller."""

    requests: deque[tuple[Sequence[Command], asyncio.Future[None]]] = field(default_factory=deque)
    has_requests: asyncio.Event = field(default_factory=asyncio.Event)

    def take_batch(self) -> list[tuple[Sequence[Command], asyncio.Future[None]]]:
        """Take groups up to the limits of a batch, without those whose caller was cancelled."""
        found = []
        rows = size_bytes = 0
        while self.requests and rows < MAX_BATCH_ROWS and size_bytes < MAX_BATCH_BYTES:
            commands, done = self.requests.popleft()
            if not done.done():
                found.append((commands, done))
                rows += sum(command.row_count for command in commands)
                size_bytes += sum(command.size_bytes for command in commands)
        return found


@dataclass(slots=True)
class WriteStats:
    """Counters of all writes. A command counts for each row."""

    batch_count: int = 0
    command_count: int = 0
    duplicate_count: int = 0
    write_s: float = 0.0


class Writer:
    """Writes while the lock holds a fencing token.

    Args:
        client: client of Redis.
        lock_key: key of the lock.
        token: the token.
        redis_time_s: time by the clock of Redis, in seconds of the epoch.
        stats: counters to update.
    """

    def __init__(
        self, client: Redis, lock_key: str, token: str, redis_time_s: float, stats: WriteStats
    ) -> None:
        self.client = client
        self._stats = stats
        self._lock_key = lock_key
        self._token = token
        self._script = client.register_script(BATCH_SCRIPT)
        self._clock_offset_s = redis_time_s - asyncio.get_running_loop().time()
        self._urgent, self._bulk = WriteQueue(), WriteQueue()

    @property
    def redis_time_s(self) -> int:
        """Approximate time by the clock of Redis, in seconds of the epoch."""
        return int(asyncio.get_running_loop().time() + self._clock_offset_s)

    async def write(self, commands: Sequence[Command], *, is_bulk: bool = False) -> None:
        """Write commands, in the order of the calls of one kind, and return when it is done.

        While they cannot be written it waits, and `run` raises the error. If it is cancelled, the
        commands may have been run or not. Commands that are not bulk do not wait for bulk ones.
        """
        if commands:
            queue = self._bulk if is_bulk else self._urgent
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            queue.requests.append((commands, done))
            queue.has_requests.set()
            await done

    async def run(self) -> None:
        """Write what `write` is given until cancelled; raises as `write_batch` does.

        Commands that arrive during a batch make up the next one: each costs a round trip.
        """
        await run_until_first_failure(
            self._write_queue(self._urgent), self._write_queue(self._bulk)
        )

    async def _write_queue(self, queue: WriteQueue) -> None:
        while True:
            await queue.has_requests.wait()
            queue.has_requests.clear()
            while batch := queue.take_batch():
                await self.write_batch([command for commands, _ in batch for command in commands])
                for _, done in batch:
                    if not done.done():
                        done.set_result(None)

    async def write_batch(self, commands: Sequence[Command]) -> int:
        """Run commands in one script, and return the number of entries that Redis had before.

        If it is cancelled, they may have been run or not.

        Raises:
            LockLostError: the lock does not hold the token.
            RedisError: Redis is away, or refuses a command.
        """
        indices = {self._lock_key: 1}
        batch = [
            (name, indices.setdefault(key, len(indices) + 1), *map(to_text, arguments))
            for name, key, arguments in commands
        ]
        # One argument for all: redis-py takes several microseconds for each.
        answer = self._script(keys=list(indices), args=[self._token, encode_msgpack(batch)])
        began = time.monotonic()
        refused = await call(answer)
        if refused == LOCK_LOST:
            raise LockLostError("the lock is another relay's, or has expired")
        self._stats.write_s += time.monotonic() - began
        self._stats.batch_count += 1
        self._stats.command_count += sum(command.row_count for command in commands)
        self._stats.duplicate_count += int(refused)
        return int(refused)


def to_text(value: str | bytes | Column) -> str | Column:
    """Return a value as text, since Redis' own MessagePack has no other kind of bytes.

    All values are UTF-8, except for parameters of events that a conductor encoded wrongly.
    """
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def set_fields(key: str, fields: dict[str, bytes]) -> list[Command]:
    """Return the commands that set fields of a hash."""
    pairs = list(fields.items())
    return [
        Command("HSET", key, tuple(x for pair in pairs[at : at + MAX_COMMAND_FIELDS] for x in pair))
        for at in range(0, len(pairs), MAX_COMMAND_FIELDS)
    ]


def delete_fields(key: str, names: Sequence[str]) -> list[Command]:
    """Return the commands that delete fields of a hash."""
    return [
        Command("HDEL", key, tuple(names[at : at + MAX_COMMAND_FIELDS]))
        for at in range(0, len(names), MAX_COMMAND_FIELDS)
    ]


LOCK_TTL_MS = 10_000
RENEW_INTERVAL_S = 3.0
# Time that a renewal may be late.
RENEW_DELAY_S = 0.5

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

        Raises SourceNameInUseError if the holder of the lock renews it, and as `try_acquire` does.
        """
        first = await self.try_acquire()
        if first.token:
            return first
        # The holder has renewed it after this time, unless it has expired.
        await asyncio.sleep(min(RENEW_INTERVAL_S, first.ttl_ms / 1000) + RENEW_DELAY_S)
        result = await self.try_acquire()
        if not result.token and result.ttl_ms > first.ttl_ms - RENEW_INTERVAL_S * 1000:
            raise SourceNameInUseError(
                f"another relay publishes as {self._keys.source!r}, and its lock lasts for another "
                f"{result.ttl_ms / 1000:.1f} s unless it is renewed: give this one another "
                "source_name, or stop that one"
            )
        return result

    async def keep_renewed(self, writer: Writer) -> None:
        """Renew the lock until cancelled; raises as `Writer.write_batch` does."""
        while True:
            await asyncio.sleep(RENEW_INTERVAL_S)
            await writer.write_batch([Command("PEXPIRE", self._keys.lock, (str(LOCK_TTL_MS),))])
