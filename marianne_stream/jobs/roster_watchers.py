"""Who watches jobs for the viewers of the roster: a lookout at each that goes on, while wanted.

A lookout holds on to a job's watch as a viewer of the job does, so that the conductor is asked
once, however many look. It must not know what is made of what is seen.
"""

import asyncio
import heapq
import logging
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import chain
from typing import Protocol

from marianne_stream.errors import MarianneStreamError
from marianne_stream.fanout.subscriber_queue import LatestQueue
from marianne_stream.jobs.poll_schedule import FIRST_FAILURE_DELAY_S, exponential_delay_s
from marianne_stream.jobs.snapshots import JobSnapshot, SnapshotEnd, newest_first_key
from marianne_stream.models import Roster, RosterEntry

logger = logging.getLogger(__name__)

# So many jobs are watched at most, the newest of those that are not over.
MAX_WATCHED_JOBS = 100


class Subscription(Protocol):
    """A hold on a watched job."""

    queue: LatestQueue[JobSnapshot]

    def set_interval(self, interval_s: float) -> None:
        """Changes how old what nothing announces may get."""
        ...

    def close(self) -> None:
        """Lets go of the job."""
        ...


SubscribeJob = Callable[[str, float], Awaitable[tuple[JobSnapshot, Subscription]]]


class RosterJobWatchers:
    """Posts and calls back lookouts, as rosters and those who are interested come and go.

    Args:
        subscribe_job: watches a job, at an interval in seconds.
        group_name: returns the group of a job: each has an equal share of those that are watched.
    """

    def __init__(
        self, subscribe_job: SubscribeJob, group_name: Callable[[str], str] = lambda _job_id: ""
    ) -> None:
        self._subscribe_job = subscribe_job
        self._group_name = group_name
        self._intervals: Counter[float] = Counter()
        # The shortest of them, at which the lookouts look; None while nobody is interested.
        self._interval_s: float | None = None
        self._roster: Roster | None = None
        self._job_tasks: dict[str, asyncio.Task[None]] = {}
        # Jobs whose lookouts had a fault: those would fail again with each roster.
        self._failed_jobs: set[str] = set()
        # Those that were called back leave in the next turns of the loop.
        self._running_tasks: set[asyncio.Task[None]] = set()
        self._subscriptions: dict[Subscription, None] = {}
        # One begins after the other: a viewer's first look is not to stand behind all of theirs.
        self._start_locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._closed = False

    def add_interval(self, interval_s: float) -> None:
        """Somebody wants the jobs of the roster watched, at least so often."""
        self._intervals[interval_s] += 1
        self._update_interval()

    def remove_interval(self, interval_s: float) -> None:
        """Somebody who wanted that does so no longer."""
        self._intervals[interval_s] -= 1
        if not self._intervals[interval_s]:
            del self._intervals[interval_s]
        self._update_interval()

    def on_roster(self, roster: Roster) -> None:
        """Takes the newest roster in."""
        self._roster = roster
        self._failed_jobs = {job_id for job_id in self._failed_jobs if self._is_unfinished(job_id)}
        self._reconcile()

    async def close(self) -> None:
        """Calls all lookouts back for good, and returns when they have let go."""
        self._closed = True
        self._reconcile()
        if self._running_tasks:
            await asyncio.wait(self._running_tasks)

    def _update_interval(self) -> None:
        """Has the lookouts look at the interval that is the shortest now."""
        interval_s = min(self._intervals, default=None)
        if interval_s == self._interval_s:
            return
        self._interval_s = interval_s
        if interval_s is None:
            self._failed_jobs.clear()
        self._reconcile()
        if interval_s is not None:
            for hold in self._subscriptions:
                hold.set_interval(interval_s)

    def _reconcile(self) -> None:
        """Posts a lookout where one is missing, and calls those back that are not needed."""
        wanted = self._select_jobs()
        for job_id in self._job_tasks.keys() - set(wanted):
            self._job_tasks.pop(job_id).cancel()
        for job_id in wanted:
            if job_id not in self._job_tasks:
                self._job_tasks[job_id] = self._start_task(job_id)

    def _select_jobs(self) -> list[str]:
        """The jobs to be watched, the newest first: not over, or their end is yet to be seen."""
        if self._interval_s is None or self._roster is None or self._closed:
            return []
        posts, entries = self._job_tasks, self._roster.entries.values()
        groups: defaultdict[str, list[RosterEntry]] = defaultdict(list)
        for entry in entries:
            if entry.job_id in posts or not (
                entry.is_terminal or entry.job_id in self._failed_jobs
            ):
                groups[self._group_name(entry.job_id)].append(entry)
        share = MAX_WATCHED_JOBS // max(1, len(groups))
        newest = (heapq.nsmallest(share, each, key=newest_first_key) for each in groups.values())
        return [entry.job_id for entry in chain.from_iterable(newest)]

    def _start_task(self, job_id: str) -> asyncio.Task[None]:
        task = asyncio.create_task(self._hold_subscription(job_id), name=f"lookout {job_id!r}")
        self._running_tasks.add(task)
        task.add_done_callback(partial(self._on_task_done, job_id))
        return task

    def _on_task_done(self, job_id: str, task: asyncio.Task[None]) -> None:
        self._running_tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("watching %r for the roster failed", job_id, exc_info=error)
        if self._job_tasks.get(job_id) is task:
            del self._job_tasks[job_id]
            if error is not None:
                self._failed_jobs.add(job_id)

    async def _hold_subscription(self, job_id: str) -> None:
        """Holds on to a job until it is over; again after a while where it cannot be watched."""
        failures = 0
        while self._interval_s is not None and (not failures or self._is_unfinished(job_id)):
            try:
                async with self._start_locks[self._group_name(job_id)]:
                    view, hold = await self._subscribe_job(job_id, self._interval_s)
            except MarianneStreamError as error:
                logger.debug("job %r cannot be watched: %s", job_id, error)
            else:
                if await self._wait_for_end(view, hold) == "finished":
                    return
            await asyncio.sleep(exponential_delay_s(FIRST_FAILURE_DELAY_S, failures))
            failures += 1

    def _is_unfinished(self, job_id: str) -> bool:
        entry = self._roster.entries.get(job_id) if self._roster is not None else None
        return entry is not None and not entry.is_terminal

    async def _wait_for_end(self, snapshot: JobSnapshot, subscription: Subscription) -> SnapshotEnd:
        """Holds on until a watch ends, and says how it did."""
        self._subscriptions[subscription] = None
        try:
            if self._interval_s is not None:
                # It may be another one by now.
                subscription.set_interval(self._interval_s)
            while not snapshot.end and await subscription.queue.wait():
                snapshot = subscription.queue.take()
            return snapshot.end
        finally:
            del self._subscriptions[subscription]
            subscription.close()
