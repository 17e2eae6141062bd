"""Watches the unfinished jobs of the roster while clients want details of them.

A job is watched by an ordinary subscription, so the conductor is read once for all clients.
"""

import asyncio
import heapq
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from itertools import chain

from marianne_stream.common.intervals import SharedInterval
from marianne_stream.common.task_set import KeyedTasks
from marianne_stream.errors import MarianneStreamError
from marianne_stream.jobs.poll_schedule import FIRST_FAILURE_DELAY_S, make_backoff
from marianne_stream.jobs.read_limiter import FindLimiter, StateReadLimiter
from marianne_stream.jobs.snapshots import JobSnapshot, SnapshotEnd, newest_first_key
from marianne_stream.jobs.subscriptions import JobSubscription
from marianne_stream.models import Roster, RosterEntry

logger = logging.getLogger(__name__)

# Limit of the watched jobs: the newest unfinished ones.
MAX_WATCHED_JOBS = 200

SubscribeJob = Callable[[str, float], Awaitable[tuple[JobSnapshot, JobSubscription]]]


class RosterJobWatchers:
    """Runs one task with a subscription for each unfinished job of the roster.

    Groups of jobs with one read limiter have equal shares of MAX_WATCHED_JOBS.
    """

    def __init__(self, subscribe_job: SubscribeJob, find_limiter: FindLimiter) -> None:
        self._subscribe_job = subscribe_job
        self._find_limiter = find_limiter
        self.intervals = SharedInterval(self._update_interval)
        # The interval of the subscriptions, in seconds; None if no client wants details.
        self._interval_s: float | None = None
        self._roster: Roster | None = None
        self._job_tasks: KeyedTasks[str] = KeyedTasks(self._on_task_failed)
        # Jobs whose tasks failed by a bug: they would fail again with each roster.
        self._failed_jobs: set[str] = set()
        self._subscriptions: dict[JobSubscription, None] = {}
        self._closed = False

    def on_roster(self, roster: Roster) -> None:
        """Start and stop tasks for a new roster."""
        self._roster = roster
        self._failed_jobs = {job_id for job_id in self._failed_jobs if self._is_unfinished(job_id)}
        self._reconcile()

    async def close(self) -> None:
        """Stop all tasks for good, and wait until their subscriptions are closed."""
        self._closed = True
        await self._job_tasks.close()

    def _update_interval(self) -> None:
        """Give all subscriptions the shortest interval of the clients."""
        interval_s = self.intervals.shortest_s()
        if interval_s == self._interval_s:
            return
        self._interval_s = interval_s
        if interval_s is None:
            self._failed_jobs.clear()
        self._reconcile()
        if interval_s is not None:
            for subscription in self._subscriptions:
                subscription.set_interval(interval_s)

    def _reconcile(self) -> None:
        """Start missing tasks, and cancel those that are no longer needed."""
        wanted = self._select_jobs()
        for job_id in self._job_tasks.keys() - set(wanted):
            self._job_tasks.cancel(job_id)
        for job_id in wanted:
            if job_id not in self._job_tasks:
                self._job_tasks.start(
                    job_id, self._hold_subscription(job_id), name=f"roster watcher {job_id!r}"
                )

    def _select_jobs(self) -> list[str]:
        """Return the jobs to watch, newest first: unfinished, or watched until their end."""
        if self._interval_s is None or self._roster is None or self._closed:
            return []
        groups: defaultdict[StateReadLimiter, list[RosterEntry]] = defaultdict(list)
        for entry in self._roster.entries.values():
            can_start = not entry.is_terminal and entry.job_id not in self._failed_jobs
            if can_start or entry.job_id in self._job_tasks:
                groups[self._find_limiter(entry.job_id)].append(entry)
        share = MAX_WATCHED_JOBS // max(1, len(groups))
        newest = (heapq.nsmallest(share, each, key=newest_first_key) for each in groups.values())
        return [entry.job_id for entry in chain.from_iterable(newest)]

    def _on_task_failed(self, job_id: str, error: BaseException) -> None:
        logger.error("roster watcher failed job=%r", job_id, exc_info=error)
        self._failed_jobs.add(job_id)

    async def _hold_subscription(self, job_id: str) -> None:
        """Keep a subscription until the job ends; try again with backoff after a failure."""
        backoff = make_backoff(FIRST_FAILURE_DELAY_S)
        is_first = True
        while self._interval_s is not None and (is_first or self._is_unfinished(job_id)):
            is_first = False
            try:
                async with self._find_limiter(job_id).subscribe_lock:
                    snapshot, subscription = await self._subscribe_job(job_id, self._interval_s)
            except MarianneStreamError as error:
                logger.debug("job not watched job=%r error=%s", job_id, error)
            else:
                if await self._wait_for_end(snapshot, subscription) == "finished":
                    return
            await asyncio.sleep(backoff.next_delay_s())

    def _is_unfinished(self, job_id: str) -> bool:
        entry = self._roster.entries.get(job_id) if self._roster is not None else None
        return entry is not None and not entry.is_terminal

    async def _wait_for_end(
        self, snapshot: JobSnapshot, subscription: JobSubscription
    ) -> SnapshotEnd:
        """Wait for the end of a subscription, and return its reason."""
        self._subscriptions[subscription] = None
        try:
            if self._interval_s is not None:
                # The interval may have changed since the subscription was requested.
                subscription.set_interval(self._interval_s)
            while not snapshot.end and await subscription.queue.wait():
                snapshot = subscription.queue.take()
            return snapshot.end
        finally:
            del self._subscriptions[subscription]
            subscription.close()
