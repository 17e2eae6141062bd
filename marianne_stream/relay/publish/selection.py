"""Selection of what is published: interests of edges, and a task for each selected job."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping

from redis.asyncio import Redis

from marianne_stream.common.task_set import KeyedTasks, TaskBody, cancel_and_wait
from marianne_stream.relay.redis_client import call
from marianne_stream.relay.schema import EntryFields, InterestKind, parse_job_id

INTEREST_TTL_S = 30.0

# Longest wait of one read; an interest may outlive its time by as much.
READ_BLOCK_MS = 1000

MAX_READ_ENTRIES = 1000

# Further interests are ignored, whatever edges send.
MAX_INTERESTS = 2_000


class InterestTracker:
    """Interests of all edges, each until it expires.

    Args:
        listeners: for each kind, a function that is called with all its jobs if they change.
    """

    def __init__(self, listeners: Mapping[InterestKind, Callable[[set[str]], None]]) -> None:
        self._listeners = listeners
        self._kinds = {kind.encode(): kind for kind in listeners}
        self._expires_at: dict[tuple[InterestKind, str], float] = {}

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
            before, now = set(self._expires_at), asyncio.get_running_loop().time()
            for _, entries in answer or ():
                last_id = entries[-1][0]
                for _, fields in entries:
                    self._handle_entry(fields, now)
            self._expires_at = {each: at for each, at in self._expires_at.items() if at > now}
            if self._expires_at.keys() != before:
                for kind, listener in self._listeners.items():
                    listener({job_id for name, job_id in self._expires_at if name == kind})

    def _handle_entry(self, fields: EntryFields, now: float) -> None:
        kind = self._kinds.get(fields.get(b"k", b""))
        if kind is None:
            return
        # Edges may write anything: an invalid job id is ignored.
        with contextlib.suppress(ValueError):
            interest = (kind, parse_job_id(fields.get(b"j", b"")))
            if interest in self._expires_at or len(self._expires_at) < MAX_INTERESTS:
                self._expires_at[interest] = now + INTEREST_TTL_S


class JobTasks:
    """Runs a task for each selected job, until the job is no longer selected."""

    def __init__(self) -> None:
        self._selected: set[str] = set()
        self._has_changed = asyncio.Event()
        self._error: BaseException | None = None

    def select(self, job_ids: set[str]) -> None:
        """Replace the selection of jobs."""
        self._selected = job_ids
        self._has_changed.set()

    async def run(self, make_body: Callable[[str], TaskBody]) -> None:
        """Run the tasks until cancelled, or until one fails, and raise its exception."""
        tasks: KeyedTasks[str] = KeyedTasks(self._on_failure)
        self._error = None
        try:
            while self._error is None:
                self._has_changed.clear()
                gone = [tasks.cancel(job_id) for job_id in tasks.keys() - self._selected]
                await cancel_and_wait(task for task in gone if task is not None)
                for job_id in self._selected - tasks.keys():
                    tasks.start(job_id, make_body(job_id), name=f"relay of {job_id!r}")
                await self._has_changed.wait()
            raise self._error
        finally:
            await tasks.close()

    def _on_failure(self, _job_id: str, error: BaseException) -> None:
        self._error = self._error or error
        self._has_changed.set()
