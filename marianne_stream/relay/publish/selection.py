"""What is watched on edges, and of which jobs the logs are published because of it."""

import asyncio
import contextlib
from collections.abc import Callable

from redis.asyncio import Redis

from marianne_stream.models import Roster
from marianne_stream.relay.publish.log_publisher import LogPublisher
from marianne_stream.relay.publish.writer import Writer
from marianne_stream.relay.redis_client import call
from marianne_stream.relay.schema import EntryFields, InterestKind
from marianne_stream.relay.task_set import KeyedTasks
from marianne_stream.relay.validation import parse_job_id

INTEREST_TTL_S = 30.0

# How long one read waits for more; so long an interest may outlive its time.
READ_BLOCK_S = 1.0

MAX_READ_ENTRIES = 1000

# More are not served at once, whatever edges say.
MAX_INTERESTS = 2_000

# So long after a job has ended, the end of its log has been seen.
LOG_END_GRACE_S = 30.0

INTEREST_KINDS: dict[bytes, InterestKind] = {b"state": "state", b"log": "log"}


class InterestTracker:
    """Who is interested in what, by the clock of this process.

    Args:
        on_change: called when something is watched that was not, or the other way round.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        # By kind and job, until when it counts.
        self._expires_at: dict[tuple[InterestKind, str], float] = {}

    def get_jobs(self, kind: InterestKind) -> set[str]:
        """The jobs of which something is watched."""
        return {job_id for name, job_id in self._expires_at if name == kind}

    async def run(self, client: Redis, key: str, redis_time_s: int) -> None:
        """Hears what is said until cancelled.

        What was said before counts, too, where it is young enough by Redis' own clock, which the
        ids of entries are made of.

        Args:
            client: a client of Redis.
            key: the stream's.
            redis_time_s: what that clock says.

        Raises:
            RedisError: Redis is away.
        """
        newest: str | bytes = f"{(redis_time_s - int(INTEREST_TTL_S)) * 1000}-0"
        while True:
            block_ms = int(READ_BLOCK_S * 1000)
            answer = await call(client.xread({key: newest}, count=MAX_READ_ENTRIES, block=block_ms))
            before = set(self._expires_at)
            for _, entries in answer or ():
                newest = entries[-1][0]
                for _, fields in entries:
                    self._handle_entry(fields)
            self._remove_expired()
            if self._expires_at.keys() != before:
                self._on_change()

    def _handle_entry(self, fields: EntryFields) -> None:
        kind = INTEREST_KINDS.get(fields.get(b"k", b""))
        # An edge may write anything: what is not an interest is none.
        with contextlib.suppress(ValueError):
            interest = (kind, parse_job_id(fields.get(b"j", b"")))
            if kind is not None and (
                interest in self._expires_at or len(self._expires_at) < MAX_INTERESTS
            ):
                self._expires_at[kind, interest[1]] = (
                    asyncio.get_running_loop().time() + INTEREST_TTL_S
                )

    def _remove_expired(self) -> None:
        now = asyncio.get_running_loop().time()
        for what in [what for what, until in self._expires_at.items() if until <= now]:
            del self._expires_at[what]


class PublishedLogSet:
    """Has the logs published of those jobs of which they are to be.

    Args:
        log_publisher: who publishes one.
        writer: who writes it.
        publish_all: whether the logs of all jobs that run are published, or of those only that are
            asked for.
    """

    def __init__(self, log_publisher: LogPublisher, writer: Writer, *, publish_all: bool) -> None:
        self._tasks = KeyedTasks(lambda job_id: log_publisher.publish(job_id, writer))
        self._publish_all = publish_all
        # Of all jobs that run or ran, until when their logs are published.
        self._publish_until: dict[str, float] = {}
        self._requested: set[str] = set()

    def on_roster(self, roster: Roster) -> None:
        """Takes the newest roster in."""
        if not self._publish_all:
            return
        going_on = {i for i, entry in roster.entries.items() if not entry.is_terminal}
        now = asyncio.get_running_loop().time()
        for job_id, until in list(self._publish_until.items()):
            if until < now:
                del self._publish_until[job_id]
            elif job_id not in going_on:
                self._publish_until[job_id] = min(until, now + LOG_END_GRACE_S)
        self._publish_until.update(dict.fromkeys(going_on, float("inf")))
        self._update_tasks()

    def on_interest(self, job_ids: set[str]) -> None:
        """Takes in whose logs somebody asks for."""
        self._requested = job_ids
        self._update_tasks()

    async def run(self) -> None:
        """Publishes until cancelled; raises as `Writer.write` does."""
        await self._tasks.run()

    def _update_tasks(self) -> None:
        self._tasks.set_keys(self._publish_until.keys() | self._requested)
