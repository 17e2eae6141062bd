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
from marianne_stream.fanout.mailboxes import LatestMailbox
from marianne_stream.jobs.poll_schedule import FIRST_FAILURE_S, growing
from marianne_stream.jobs.views import End, JobView, newest_first
from marianne_stream.models import Roster, RosterEntry

logger = logging.getLogger(__name__)

# So many jobs are watched at most, the newest of those that are not over.
WATCHED_JOBS = 100


class Hold(Protocol):
    """A hold on a watched job."""

    mailbox: LatestMailbox[JobView]

    def look_every(self, interval_s: float) -> None:
        """Changes how old what nothing announces may get."""
        ...

    def leave(self) -> None:
        """Lets go of the job."""
        ...


Watch = Callable[[str, float], Awaitable[tuple[JobView, Hold]]]


class Lookouts:
    """Posts and calls back lookouts, as rosters and those who are interested come and go.

    Args:
        watch: watches a job, at an interval in seconds.
        group: returns the group of a job: each has an equal share of those that are watched.
    """

    def __init__(self, watch: Watch, group: Callable[[str], str] = lambda _job_id: "") -> None:
        self._watch = watch
        self._group = group
        self._intervals: Counter[float] = Counter()
        # The shortest of them, at which the lookouts look; None while nobody is interested.
        self._interval_s: float | None = None
        self._roster: Roster | None = None
        self._posts: dict[str, asyncio.Task[None]] = {}
        # Jobs whose lookouts had a fault: those would fail again with each roster.
        self._failed: set[str] = set()
        # Those that were called back leave in the next turns of the loop.
        self._tasks: set[asyncio.Task[None]] = set()
        self._holds: dict[Hold, None] = {}
        # One begins after the other: a viewer's first look is not to stand behind all of theirs.
        self._beginning: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._closed = False

    def add_interest(self, interval_s: float) -> None:
        """Somebody wants the jobs of the roster watched, at least so often."""
        self._intervals[interval_s] += 1
        self._keep_pace()

    def drop_interest(self, interval_s: float) -> None:
        """Somebody who wanted that does so no longer."""
        self._intervals[interval_s] -= 1
        if not self._intervals[interval_s]:
            del self._intervals[interval_s]
        self._keep_pace()

    def on_roster(self, roster: Roster) -> None:
        """Takes the newest roster in."""
        self._roster = roster
        self._failed = {job_id for job_id in self._failed if self._goes_on(job_id)}
        self._post()

    async def close(self) -> None:
        """Calls all lookouts back for good, and returns when they have let go."""
        self._closed = True
        self._post()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _keep_pace(self) -> None:
        """Has the lookouts look at the interval that is the shortest now."""
        interval_s = min(self._intervals, default=None)
        if interval_s == self._interval_s:
            return
        self._interval_s = interval_s
        if interval_s is None:
            self._failed.clear()
        self._post()
        if interval_s is not None:
            for hold in self._holds:
                hold.look_every(interval_s)

    def _post(self) -> None:
        """Posts a lookout where one is missing, and calls those back that are not needed."""
        wanted = self._wanted()
        for job_id in self._posts.keys() - set(wanted):
            self._posts.pop(job_id).cancel()
        for job_id in wanted:
            if job_id not in self._posts:
                self._posts[job_id] = self._posted(job_id)

    def _wanted(self) -> list[str]:
        """The jobs to be watched, the newest first: not over, or their end is yet to be seen."""
        if self._interval_s is None or self._roster is None or self._closed:
            return []
        posts, entries = self._posts, self._roster.entries.values()
        groups: defaultdict[str, list[RosterEntry]] = defaultdict(list)
        for entry in entries:
            if entry.job_id in posts or not (entry.terminal or entry.job_id in self._failed):
                groups[self._group(entry.job_id)].append(entry)
        share = WATCHED_JOBS // max(1, len(groups))
        newest = (heapq.nsmallest(share, each, key=newest_first) for each in groups.values())
        return [entry.job_id for entry in chain.from_iterable(newest)]

    def _posted(self, job_id: str) -> asyncio.Task[None]:
        task = asyncio.create_task(self._look_out(job_id), name=f"lookout {job_id!r}")
        self._tasks.add(task)
        task.add_done_callback(partial(self._on_end, job_id))
        return task

    def _on_end(self, job_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("watching %r for the roster failed", job_id, exc_info=error)
        if self._posts.get(job_id) is task:
            del self._posts[job_id]
            if error is not None:
                self._failed.add(job_id)

    async def _look_out(self, job_id: str) -> None:
        """Holds on to a job until it is over; again after a while where it cannot be watched."""
        failures = 0
        while self._interval_s is not None and (not failures or self._goes_on(job_id)):
            try:
                async with self._beginning[self._group(job_id)]:
                    view, hold = await self._watch(job_id, self._interval_s)
            except MarianneStreamError as error:
                logger.debug("job %r cannot be watched: %s", job_id, error)
            else:
                if await self._end_of(view, hold) == "finished":
                    return
            await asyncio.sleep(growing(FIRST_FAILURE_S, failures))
            failures += 1

    def _goes_on(self, job_id: str) -> bool:
        entry = self._roster.entries.get(job_id) if self._roster is not None else None
        return entry is not None and not entry.terminal

    async def _end_of(self, view: JobView, hold: Hold) -> End:
        """Holds on until a watch ends, and says how it did."""
        self._holds[hold] = None
        try:
            if self._interval_s is not None:
                # It may be another one by now.
                hold.look_every(self._interval_s)
            while not view.end and await hold.mailbox.wait():
                view = hold.mailbox.take()
            return view.end
        finally:
            del self._holds[hold]
            hold.leave()
