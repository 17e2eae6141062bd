"""Hostile relay: writes arbitrary data to the Redis keys of its source."""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

from redis.exceptions import RedisError

from marianne_stream.conductor_models import (
    ConductorInfo,
    ConductorLimits,
    RateLimit,
)
from marianne_stream.models import (
    Hook,
    JobProgress,
    JobState,
    RosterEntry,
    RunTimes,
    Sheet,
)
from marianne_stream.relay.schema import (
    FORMAT_VERSION,
    EventEntry,
    LogEntry,
    RelayStatus,
    SourceKeys,
    encode_json,
)
from tests.support.redis_server import RedisServer

RedisArgument = str | bytes | int

# A job that anyone may watch, and another one.
JOBS = ("bait", "other")

CURSOR = "l-1e240-0123456789abcdef-80-1-0123456789abcdef"
EPOCH = "0123456789abcdef"

# Values that are hard to decode; each is tried in the place of any other.
VALUES: tuple[bytes, ...] = (
    b"",
    b"\xff\xfe",
    b"a\nb",
    b"a\r\nX-Header: b",
    b"a\0b",
    b"-1",
    b"1e999",
    b"NaN",
    b"9" * 19,
    b"9" * 5_000,
    b"[" * 100_000,
    b'"a"\n\nevent: gap\ndata: {}',
    b'"\\udc80"',
    b'"\xff"',
    b'{"job_id": "' + b"x" * 300_000 + b'"}',
    b"null",
    b"{}",
    b"x" * 2_000_000,
)


def find_objects(value: object) -> Iterator[dict[str, object]]:
    """Yield all objects with fields in a value of JSON."""
    if isinstance(value, dict) and value:
        yield value
    children: Iterable[object] = value if isinstance(value, list) else ()
    for child in value.values() if isinstance(value, dict) else children:
        yield from find_objects(child)


class HostileSource:
    """Source that begins as a valid one.

    Args:
        redis: the Redis to write to.
        keys: the keys of the source.
        seed: seed of the random choices.
    """

    def __init__(self, redis: RedisServer, keys: SourceKeys, seed: int = 0) -> None:
        self._redis = redis
        self._keys = keys
        self._random = random.Random(seed)
        self._number = 0

    async def write_valid_source(
        self, jobs: Sequence[str] = JOBS, *, with_log: bool = True
    ) -> None:
        """Write what a relay publishes of jobs, with one log line of each."""
        keys = self._keys
        await self.execute("INCR", keys.fence)
        await self.execute("SET", keys.format, FORMAT_VERSION)
        for job_id in jobs:
            entry = RosterEntry(job_id, "running", 1.0, 1.0, 0, 1)
            state = JobState(job_id, "running", "conductor", live=True, checkpoint_status="running")
            await self.execute("HSET", keys.jobs, job_id, encode_json(entry))
            await self.execute("HSET", keys.states, job_id, encode_json(state))
            if with_log:
                await self.execute("XADD", keys.log(job_id), "1-160", *self._log_line_fields())
        about = RelayStatus(source="conductor", live=True, events_live=True, epoch=EPOCH)
        await self.execute("SET", keys.status, encode_json(about))

    async def execute(self, *arguments: RedisArgument) -> None:
        """Execute a command; errors of Redis are ignored."""
        with suppress(RedisError):
            await self._redis.call(*arguments)

    async def write_random(self, count: int) -> None:
        """Write random data to random keys, `count` times."""
        for _ in range(count):
            write = self._random.choice(
                (
                    *(
                        self._status_command,
                        self._roster_command,
                        self._state_command,
                        self._change_command,
                        self._event_command,
                        self._log_command,
                    ),
                    *(self._any_key_command, self._unavailable_command),
                )
            )
            await self.execute(*write())

    def _log_line_fields(self) -> Iterator[RedisArgument]:
        entry = LogEntry(CURSOR, b'"a line"', 1, "2026-11-24T03:00:00.000000Z")
        return (word for pair in entry.fields().items() for word in pair)

    def _random_value(self) -> bytes:
        return self._random.choice(VALUES)

    def _mutate(self, data: bytes) -> bytes:
        """Return JSON with one byte or one value changed."""
        kind = self._random.randrange(3)
        if kind == 0:
            return self._random_value()
        if kind == 1:
            at = self._random.randrange(len(data))
            return data[:at] + self._random.randbytes(1) + data[at + 1 :]
        fields = json.loads(data)
        wrong: tuple[object, ...] = (
            None,
            -1,
            2**70,
            1e308,
            "a\r\nb",
            "\u2028",
            [],
            {},
            True,
            "x" * 100_000,
        )
        target = self._random.choice(list(find_objects(fields)))
        target[self._random.choice(list(target))] = self._random.choice(wrong)
        return json.dumps(fields).encode()

    def _corrupt_fields(self, fields: Iterator[RedisArgument]) -> list[RedisArgument]:
        """Return the fields of an entry with one of them wrong or missing."""
        found = list(fields)
        at = 2 * self._random.randrange(len(found) // 2)
        if len(found) > 2 and not self._random.randrange(3):
            del found[at : at + 2]
        else:
            found[at + 1] = self._random_value()
        return found

    def _status_command(self) -> tuple[RedisArgument, ...]:
        about = RelayStatus(
            *("conductor", True, True, "http://a", "", EPOCH),
            conductor=ConductorInfo(
                "0.1.0", limits=ConductorLimits(5), rate_limits=(RateLimit("claude", 2e9),)
            ),
        )
        return ("SET", self._keys.status, self._mutate(encode_json(about)))

    def _roster_command(self) -> tuple[RedisArgument, ...]:
        job_id = self._random.choice((*JOBS, b"\xff", f"job-{self._random.randrange(50)}"))
        entry = encode_json(RosterEntry("bait", "running", 1.0, 1.0, 0, 1))
        return ("HSET", self._keys.jobs, job_id, self._mutate(entry))

    def _state_command(self) -> tuple[RedisArgument, ...]:
        state = JobState(
            *("bait", "running", "conductor"),
            live=True,
            checkpoint_status="running",
            sheets=(Sheet(1, "waiting", started_at=1.0, waiting_until=2e9),),
            hooks=(Hook("run_job", success=True, chained_job_id="other"),),
            progress=JobProgress(RunTimes("run", 1.0), 2.0, 3.0, 4.0, (1,)),
        )
        return ("HSET", self._keys.states, "bait", self._mutate(encode_json(state)))

    def _change_command(self) -> tuple[RedisArgument, ...]:
        kind = self._random.choice(("jobs", "status", "state", self._random_value()))
        job_id = self._random.choice((*JOBS, self._random_value()))
        return ("XADD", self._keys.changes, "MAXLEN", 1_000, "*", "k", kind, "j", job_id)

    def _event_command(self) -> tuple[RedisArgument, ...]:
        self._number += 1
        entry = EventEntry(EPOCH, self._number, "bait", "job.said", b'{"job_id": "bait"}')
        fields: list[RedisArgument] = [word for pair in entry.fields().items() for word in pair]
        if self._random.randrange(2):
            fields = self._corrupt_fields(iter(fields))
        return ("XADD", self._keys.events, "MAXLEN", 1_000, "*", *fields)

    def _log_command(self) -> tuple[RedisArgument, ...]:
        mark = LogEntry("", mark="log_gap", data=b"{}")
        words: tuple[RedisArgument, ...] = tuple(self._log_line_fields())
        if not self._random.randrange(3):
            words = tuple(word for pair in mark.fields().items() for word in pair)
        key = self._keys.log(self._random.choice(JOBS))
        entry_id = self._random.choice(("*", "0-20"))
        return ("XADD", key, "MAXLEN", 1_000, entry_id, *self._corrupt_fields(iter(words)))

    def _unavailable_command(self) -> tuple[RedisArgument, ...]:
        kind = self._random.choice(("state", "log"))
        return ("SET", self._keys.unavailable(kind, "bait"), self._random_value(), "EX", 1)

    def _any_key_command(self) -> tuple[RedisArgument, ...]:
        """Return a command that changes a key's type, deletes it, or creates a foreign key."""
        keys = self._keys
        key = self._random.choice(
            (
                keys.format,
                keys.status,
                keys.jobs,
                keys.states,
                keys.changes,
                keys.events,
                keys.log("bait"),
            )
        )
        commands: tuple[Callable[[], tuple[RedisArgument, ...]], ...] = (
            lambda: ("DEL", key),
            lambda: ("SET", key, self._random_value()),
            lambda: ("HSET", keys.jobs, self._random_value()[:1_000], self._random_value()),
        )
        return self._random.choice(commands)()
