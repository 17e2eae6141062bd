"""Writes, in whole batches, and only while the lock is ours.

A relay that was thought dead, and is not, writes nothing once another one has the lock: each batch
is a script, which compares the lock with the writer's token first. It must not know what is
written.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
from redis.asyncio import Redis

from marianne_stream.errors import LockLostError
from marianne_stream.relay.redis_client import call
from marianne_stream.relay.task_set import run_until_first_failure

# The keys are named apart from the commands, each by its place among them, so that Redis checks the
# user's rights to all of them first. What has columns is done once for each row of them. An entry
# whose id is not above the last one was written before: that is no error.
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

# How many fields of a hash one command takes: Lua's stack holds no more than 8,000 values.
MAX_COMMAND_FIELDS = 1000

# Nothing is added any more to what is done together when it is so much: Redis does nothing else
# meanwhile, some milliseconds.
MAX_BATCH_ROWS = 1000
MAX_BATCH_BYTES = 512 * 1024


# The values that an argument has in each row.
Column = tuple[str, ...]


class Command(NamedTuple):
    """A command of Redis that has one key, as its first argument.

    Attributes:
        name: the command's.
        key: its key.
        arguments: what follows the key. Where there are columns among it, which are of one length,
            the command is done for each of their rows.
    """

    name: str
    key: str
    arguments: tuple[str | bytes | Column, ...] = ()

    @property
    def row_count(self) -> int:
        """How often it is done."""
        return next((len(value) for value in self.arguments if isinstance(value, tuple)), 1)

    @property
    def size_bytes(self) -> int:
        """How much it is, roughly."""
        return sum(
            sum(map(len, value)) if isinstance(value, tuple) else len(value)
            for value in self.arguments
        )


@dataclass(slots=True)
class WriteQueue:
    """What is to be written, and who waits for it.

    Attributes:
        requests: both.
        has_requests: set when there is more.
    """

    requests: deque[tuple[Sequence[Command], asyncio.Future[None]]] = field(default_factory=deque)
    has_requests: asyncio.Event = field(default_factory=asyncio.Event)

    def take_batch(self) -> list[tuple[Sequence[Command], asyncio.Future[None]]]:
        """What is done together now; none where nothing is to be done."""
        found = []
        rows = size_bytes = 0
        while self.requests and rows < MAX_BATCH_ROWS and size_bytes < MAX_BATCH_BYTES:
            commands, done = self.requests.popleft()
            # Nobody waits for what was cancelled before its turn.
            if not done.done():
                found.append((commands, done))
                rows += sum(command.row_count for command in commands)
                size_bytes += sum(command.size_bytes for command in commands)
        return found


@dataclass(slots=True)
class WriteStats:
    """What was written so far.

    Attributes:
        batch_count: how many, that Redis has taken.
        command_count: how many, in all of them; one with columns counts as often as it is done.
        duplicate_count: how many entries there were before.
        write_s: how long Redis took for them, together.
    """

    batch_count: int = 0
    command_count: int = 0
    duplicate_count: int = 0
    write_s: float = 0.0


class Writer:
    """Writes for as long as the lock holds a token.

    Args:
        client: a client of Redis.
        lock_key: the lock's key.
        token: what it must hold.
        redis_time_s: what Redis' clock says, in seconds of the epoch.
        stats: where is counted what is written.
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
        """What Redis' clock says, roughly: no clock of this machine counts."""
        return int(asyncio.get_running_loop().time() + self._clock_offset_s)

    async def write(self, commands: Sequence[Command], *, is_bulk: bool = False) -> None:
        """Has some commands done, and returns when they are. Those of one kind stay in
        their order.

        Cancelled, it may have done them or not. Where they cannot be done, it waits: `run` tells.

        Args:
            commands: what is to be done.
            is_bulk: whether there may be much of such: it does not keep back what is not.
        """
        if commands:
            pending = self._bulk if is_bulk else self._urgent
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            pending.requests.append((commands, done))
            pending.has_requests.set()
            await done

    async def run(self) -> None:
        """Does what `write` is given, until cancelled; raises as `write_batch` does.

        What several give while Redis is at work is done at once: of a hundred logs that are written
        a line at a time, each would cost a call.
        """
        await run_until_first_failure(
            self._write_queue(self._urgent), self._write_queue(self._bulk)
        )

    async def _write_queue(self, queue: WriteQueue) -> None:
        while True:
            await queue.has_requests.wait()
            queue.has_requests.clear()
            while group := queue.take_batch():
                await self.write_batch([command for commands, _ in group for command in commands])
                for _, done in group:
                    if not done.done():
                        done.set_result(None)

    async def write_batch(self, commands: Sequence[Command]) -> int:
        """Does all of some commands at once, or none where the lock is another's.

        Cancelled, it may have done them or not.

        Returns:
            How many entries were there before.

        Raises:
            LockLostError: the lock is not ours any more.
            RedisError: Redis is away, or will not do it.
        """
        places = {self._lock_key: 1}
        batch = [
            (name, places.setdefault(key, len(places) + 1), *map(to_text, rest))
            for name, key, rest in commands
        ]
        # As one argument: redis-py takes several microseconds for each.
        given = self._script(keys=list(places), args=[self._token, encode_msgpack(batch)])
        began = time.monotonic()
        answer = await call(given)
        if answer == LOCK_LOST:
            raise LockLostError("the lock is another relay's, or has expired")
        self._stats.write_s += time.monotonic() - began
        self._stats.batch_count += 1
        self._stats.command_count += sum(command.row_count for command in commands)
        self._stats.duplicate_count += int(answer)
        return int(answer)


def to_text(value: str | bytes | Column) -> str | Column:
    """A value as text: Redis' own MessagePack knows no other kind of bytes.

    All values are text in UTF-8, but for what a conductor may have got wrong in its events.
    """
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def set_fields(key: str, fields: dict[str, bytes]) -> list[Command]:
    """The commands that set fields of a hash."""
    pairs = list(fields.items())
    return [
        Command("HSET", key, tuple(x for pair in pairs[at : at + MAX_COMMAND_FIELDS] for x in pair))
        for at in range(0, len(pairs), MAX_COMMAND_FIELDS)
    ]


def delete_fields(key: str, names: Sequence[str]) -> list[Command]:
    """The commands that delete fields of a hash."""
    return [
        Command("HDEL", key, tuple(names[at : at + MAX_COMMAND_FIELDS]))
        for at in range(0, len(names), MAX_COMMAND_FIELDS)
    ]
