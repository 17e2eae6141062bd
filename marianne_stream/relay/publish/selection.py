"""Selection of what is published: interests of edges, and the logs that follow from them."""

import asyncio
import contextlib
from collections.abc import Callable

from redis.asyncio import Redis

from marianne_stream.models import Roster
from marianne_stream.relay.publish.job_tasks import JobTasks
from marianne_stream.relay.publish.log_publisher import LogPublisher
from marianne_stream.relay.publish.writer import Writer
from marianne_stream.relay.redis_client import call
from marianne_stream.relay.schema import EntryFields, InterestKind
from marianne_stream.relay.validation import parse_job_id

INTEREST_TTL_S = 30.0

# Longest wait of one read; an interest may outlive its time by as much.
READ_BLOCK_MS = 1000

MAX_READ_ENTRIES = 1000

# Further interests are ignored, whatever edges send.
MAX_INTERESTS = 2_000

# The log of a job that has ended is published for this much longer.
LOG_END_GRACE_S = 30.0

INTEREST_KINDS: dict[bytes, InterestKind] = {b"state": "state", b"log": "log"}


class InterestTracker:
    """Interests of all edges, each until it expires. `on_change` is called if they change."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._expires_at: dict[tuple[InterestKind, str], float] = {}

    def get_jobs(self, kind: InterestKind) -> set[str]:
        """Return the jobs of which an edge asks for the state, or the log."""
        return {job_id for name, job_id in self._expires_at if name == kind}

    async def run(self, client: Redis, key: str, redis_time_s: int) -> None:
        """Read the stream of interests until cancelled; raises RedisError.

        The ids of entries begin with the time of Redis, so interests from before the start count
        until they expire.
        """
        last_id: str | bytes = f"{(redis_time_s - int(INTEREST_TTL_S)) * 1000}-0"
        while True:
            answer = await call(
                client.xread({key: last_id}, count=MAX_READ_ENTRIES, block=READ_BLOCK_MS)
            )
            before = set(self._expires_at)
            for _, entries in answer or ():
                last_id = entries[-1][0]
                for _, fields in entries:
                    self._handle_entry(fields)
            self._remove_expired()
            if self._expires_at.keys() != before:
                self._on_change()

    def _handle_entry(self, fields: EntryFields) -> None:
        kind = INTEREST_KINDS.get(fields.get(b"k", b""))
        if kind is None:
            return
        # Edges may write anything: an invalid job id is ignored.
        with contextlib.suppress(ValueError):
            interest = (kind, parse_job_id(fields.get(b"j", b"")))
            if interest in self._expires_at or len(self._expires_at) < MAX_INTERESTS:
                now = asyncio.get_running_loop().time()
                self._expires_at[interest] = now + INTEREST_TTL_S

    def _remove_expired(self) -> None:
        now = asyncio.get_running_loop().time()
        self._expires_at = {key: until for key, until in self._expires_at.items() if until > now}


class PublishedLogSet:
    """Publishes the logs that edges ask for, or also those of all running jobs."""

    def __init__(self, log_publisher: LogPublisher, writer: Writer, *, publish_all: bool) -> None:
        self._tasks = JobTasks(lambda job_id: log_publisher.publish(job_id, writer))
        self._publish_all = publish_all
        # End of the publication of each job's log, for all jobs that run or ran.
        self._publish_until: dict[str, float] = {}
        self._requested: set[str] = set()

    def on_roster(self, roster: Roster) -> None:
        """Select the jobs that run, if all logs are published."""
        if not self._publish_all:
            return
        running = {i for i, entry in roster.entries.items() if not entry.is_terminal}
        now = asyncio.get_running_loop().time()
        for job_id, until in list(self._publish_until.items()):
            if until < now:
                del self._publish_until[job_id]
            elif job_id not in running:
                self._publish_until[job_id] = min(until, now + LOG_END_GRACE_S)
        self._publish_until.update(dict.fromkeys(running, float("inf")))
        self._update_tasks()

    def on_interest(self, job_ids: set[str]) -> None:
        """Select the jobs whose logs edges ask for."""
        self._requested = job_ids
        self._update_tasks()

    async def run(self) -> None:
        """Publish until cancelled; raises as `Writer.write` does."""
        await self._tasks.run()

    def _update_tasks(self) -> None:
        self._tasks.select(self._publish_until.keys() | self._requested)
