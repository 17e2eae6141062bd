"""All watched jobs and the roster: who watches what, and where an event goes.

The monitor's events come in here and go to the queue of the job that they name, and onto the
timeline. It must not know how viewers are reached.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from marianne_stream.backends.base import Backend
from marianne_stream.errors import StateUnavailableError
from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.fanout.subscriber_queue import LatestQueue
from marianne_stream.fanout.topic import Subscriber, Topic
from marianne_stream.jobs.event_intake import EventIntake
from marianne_stream.jobs.event_visits import ReadRecentEvents
from marianne_stream.jobs.poll_schedule import REST_FACTOR
from marianne_stream.jobs.progress import ProgressTimes, entry_has_progressed
from marianne_stream.jobs.read_limiter import JobGroups, SingleJobGroup
from marianne_stream.jobs.roster_details import RosterDetailCache
from marianne_stream.jobs.roster_poller import RosterPoller
from marianne_stream.jobs.roster_watchers import RosterJobWatchers
from marianne_stream.jobs.snapshots import JobSnapshot, RosterSnapshot
from marianne_stream.jobs.subscriptions import RosterSubscription
from marianne_stream.jobs.watcher import JobWatcher, RosterHint
from marianne_stream.models import JobState, MonitorEvent, Roster, RosterEntry, StateSourceName

logger = logging.getLogger(__name__)

# For a request that wants the state once and has no interval of its own.
ONE_TIME_INTERVAL_S = 30.0

# A change between two rosters that are further apart happened when nobody looked.
MAX_RECENT_GAP_S = 5.0

# A roster as young as this answers a request that wants it once.
MAX_ROSTER_AGE_S = 1.0


class JobSubscription:
    """A viewer's hold on a watched job, until it leaves.

    Args:
        hub: who is told of its leaving.
        watcher: what is watched.
        interval_s: how old what nothing announces may get, in seconds.

    Attributes:
        queue: where views arrive that are newer than those of the moment when the viewer came.
    """

    __slots__ = ("_hub", "_interval_s", "queue", "watcher")

    def __init__(self, hub: "JobHub", watcher: JobWatcher, interval_s: float) -> None:
        self._hub = hub
        self._interval_s = interval_s
        self.watcher = watcher
        self.queue: LatestQueue[JobSnapshot] = LatestQueue()
        watcher.subscribe(self.queue, interval_s)

    def set_interval(self, interval_s: float) -> None:
        """Changes how old what nothing announces may get."""
        before, self._interval_s = self._interval_s, interval_s
        self.watcher.unsubscribe(self.queue, before)
        self.watcher.subscribe(self.queue, interval_s)
        self._hub.on_interval_changed(before, interval_s)

    def close(self) -> None:
        """Lets go of the job."""
        self.queue.close()
        self.watcher.unsubscribe(self.queue, self._interval_s)
        self._hub.on_subscription_closed(self.watcher, self._interval_s)


class JobHub:
    """A watch for each job that somebody watches, the roster timer, and the timeline.

    Args:
        backend: who is asked for state; it is asked only through here.
        replay_buffer: where the monitor's events go.
        event_source_name: what events come from, as it is told.
        read_recent_events: asks for recent events while there is no subscription; None if nothing
            can.
        job_groups: how jobs share what there is of reading; None if all share alike.

    Attributes:
        replay_buffer: the same.
        roster_details: what is known of jobs beyond their entries in the roster.
        progress: when jobs were last seen to change.
        event_intake: how the conductor's events come in.
    """

    def __init__(
        self,
        backend: Backend,
        replay_buffer: ReplayBuffer,
        *,
        event_source_name: StateSourceName = "conductor",
        read_recent_events: ReadRecentEvents | None = None,
        job_groups: JobGroups | None = None,
    ) -> None:
        self.replay_buffer = replay_buffer
        self._backend = backend
        self._job_groups = job_groups if job_groups is not None else SingleJobGroup()
        self._roster_poller = RosterPoller(backend, on_roster=self._on_roster)
        self._roster_topic: Topic[RosterSnapshot] = Topic()
        self._roster_snapshot: RosterSnapshot | None = None
        self._last_roster: Roster | None = None
        self._entry_topics: dict[str, Topic[RosterEntry]] = {}
        self._watchers: dict[str, JobWatcher] = {}
        self._watcher_tasks: dict[JobWatcher, asyncio.Task[None]] = {}
        self.progress = ProgressTimes()
        self.roster_details = RosterDetailCache(self.progress, self._on_details_changed)
        self._roster_watchers = RosterJobWatchers(self.subscribe_job, self._job_groups.group_name)
        self.event_intake = EventIntake(
            replay_buffer,
            self._roster_poller,
            source_name=event_source_name,
            read_recent_events=read_recent_events,
        )
        self._is_shutting_down = False
        self._last_roster_at = float("-inf")

    async def run(self) -> None:
        """Runs the roster timer until cancelled, and then ends all watches."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._roster_poller.run(), name="roster")
                group.create_task(self.event_intake.run(), name="event visits")
        finally:
            self.roster_details.close()
            await self._roster_watchers.close()
            for task in self._watcher_tasks.values():
                task.cancel()
            if self._watcher_tasks:
                await asyncio.wait(self._watcher_tasks.values())

    async def subscribe_job(
        self, job_id: str, interval_s: float
    ) -> tuple[JobSnapshot, JobSubscription]:
        """Watches a job, from before its state is asked for.

        Args:
            job_id: the job.
            interval_s: how old what nothing announces may get, in seconds.

        Returns:
            the newest view, and the hold, which must be left.

        Raises:
            JobNotFoundError: there is no such job.
            StateUnavailableError: nobody could be asked.
        """
        watching = self._open_subscription(job_id, interval_s)
        self.roster_details.attach(watching.watcher)
        try:
            return await watching.watcher.wait_first_snapshot(), watching
        except BaseException:
            watching.close()
            raise

    def on_subscription_closed(self, watcher: JobWatcher, interval_s: float) -> None:
        """A viewer has left a watch, which ends with the last."""
        self._roster_poller.remove_interval(interval_s)
        if not watcher.has_subscribers:
            self._stop_watcher(watcher)

    def on_interval_changed(self, before_s: float, interval_s: float) -> None:
        """A viewer's interval is another one now."""
        self._roster_poller.add_interval(interval_s)
        self._roster_poller.remove_interval(before_s)

    async def subscribe_roster(
        self, interval_s: float, *, details: bool = False
    ) -> tuple[RosterSnapshot, RosterSubscription]:
        """Watches the roster.

        Args:
            interval_s: how old one may get, in seconds.
            details: whether its jobs are watched, too, so that more is known of them.

        Returns:
            the newest view, and the hold, which must be left.

        Raises:
            StateUnavailableError: nobody could be asked.
        """
        lookouts = self._roster_watchers if details else None
        watching = RosterSubscription(self._roster_poller, self._roster_topic, interval_s, lookouts)
        try:
            await self._roster_poller.get(MAX_ROSTER_AGE_S)
            return self._latest_roster_snapshot(), watching
        except BaseException:
            watching.close()
            raise

    @contextmanager
    def subscribe_entry(
        self, job_id: str, interval_s: float, subscriber: Subscriber[RosterEntry]
    ) -> Iterator[None]:
        """Offers what the roster says of a job, when it changes, for as long as the context lasts.

        Nothing but the roster is asked: it is light, and right about the status.
        """
        topic = self._entry_topics.setdefault(job_id, Topic())
        self._roster_poller.add_interval(interval_s)
        topic.subscribe(subscriber)
        try:
            yield
        finally:
            topic.unsubscribe(subscriber)
            self._roster_poller.remove_interval(interval_s)
            if not len(topic):
                self._entry_topics.pop(job_id, None)

    async def get_state(self, job_id: str) -> JobState:
        """One job as it is now, for a request that wants it once.

        Raises:
            JobNotFoundError: there is no such job.
            StateUnavailableError: nobody could be asked.
        """
        # The details do not follow it: what is known for a moment only would come and go.
        watching = self._open_subscription(job_id, ONE_TIME_INTERVAL_S)
        try:
            view = await watching.watcher.wait_current_snapshot()
        finally:
            watching.close()
        if view.source == "none":
            raise StateUnavailableError
        return view.state

    async def get_roster(self) -> Roster:
        """The roster, at most a second old.

        Raises:
            StateUnavailableError: nobody could be asked.
        """
        return await self._roster_poller.get(MAX_ROSTER_AGE_S)

    async def ensure_exists(self, job_id: str) -> None:
        """Makes sure that a job exists, asking for no more than the roster where that will do.

        Raises:
            JobNotFoundError: there is no such job.
            StateUnavailableError: nobody could be asked.
        """
        if job_id not in (await self.get_roster()).entries:
            await self.get_state(job_id)

    def on_event(self, event: MonitorEvent) -> None:
        """Take an event of the conductor in."""
        self.event_intake.add(event)
        watch = self._watchers.get(event.job_id)
        if watch is not None:
            watch.add_hint(event)

    def poll_roster_soon(self) -> None:
        """The roster has changed, as somebody says: it is asked for now."""
        self._roster_poller.poll_soon()

    def refresh_job(self, job_id: str) -> None:
        """A job has changed, as somebody says: whoever watches it is told."""
        watch = self._watchers.get(job_id)
        if watch is not None:
            watch.add_hint(RosterHint(self._roster_poller.get_entry(job_id), source_changed=True))

    def refresh_jobs(self, is_selected: Callable[[str], bool]) -> None:
        """All of some jobs may have changed."""
        for job_id in filter(is_selected, list(self._watchers)):
            self.refresh_job(job_id)

    def on_subscribed(self) -> None:
        """Note that events come in from now on, by a subscription."""
        self.event_intake.on_subscribed()
        self._roster_poller.invalidate()

    def on_subscription_lost(self) -> None:
        """Note that the subscription has ended."""
        if not self._is_shutting_down:
            self.event_intake.on_subscription_lost()
            self._roster_poller.invalidate()

    @property
    def roster_source(self) -> StateSourceName:
        """Where the last roster came from, `none` before the first."""
        return self._last_roster.source if self._last_roster is not None else "none"

    @property
    def watched_job_count(self) -> int:
        """How many jobs are watched."""
        return len(self._watchers)

    def begin_shutdown(self) -> None:
        """Nothing is told any more: the server leaves, and not the conductor."""
        self._is_shutting_down = True

    def _open_subscription(self, job_id: str, interval_s: float) -> JobSubscription:
        """A hold on a job, whose watch begins with the first."""
        watch = self._watchers.get(job_id) or self._start_watcher(job_id)
        self._roster_poller.add_interval(interval_s)
        return JobSubscription(self, watch, interval_s)

    def _start_watcher(self, job_id: str) -> JobWatcher:
        watch = JobWatcher(
            job_id,
            backend=self._backend,
            roster_poller=self._roster_poller,
            read_limiter=self._job_groups.read_limiter(job_id),
            progress=self.progress,
        )
        task = asyncio.create_task(watch.run(), name=f"watch {job_id!r}")
        self._watchers[job_id] = watch
        self._watcher_tasks[watch] = task
        task.add_done_callback(lambda task: self._on_watcher_done(watch, task))
        return watch

    def _stop_watcher(self, watcher: JobWatcher) -> None:
        """Ends a watch that nobody needs any more."""
        if self._watchers.get(watcher.job_id) is watcher:
            del self._watchers[watcher.job_id]
        if watcher in self._watcher_tasks:
            self._watcher_tasks[watcher].cancel()

    def _on_watcher_done(self, watcher: JobWatcher, task: asyncio.Task[None]) -> None:
        """A watch has ended: the next viewer of its job begins a new one."""
        del self._watcher_tasks[watcher]
        self.roster_details.detach(watcher)
        if self._watchers.get(watcher.job_id) is watcher:
            del self._watchers[watcher.job_id]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("watching %r failed", watcher.job_id, exc_info=error)
            watcher.fail(error)

    def _on_roster(self, roster: Roster) -> None:
        """Tells each watched job what the roster says of it, and the viewers of the roster."""
        before, self._last_roster = self._last_roster, roster
        self._record_progress(before, roster)
        self.event_intake.on_roster(before, roster)
        elsewhere = before is None or before.source != roster.source
        for job_id, watch in self._watchers.items():
            entry = roster.entries.get(job_id)
            known = before.entries.get(job_id) if before is not None else None
            if elsewhere or entry != known:
                watch.add_hint(RosterHint(entry, source_changed=elsewhere))
        for job_id, topic in self._entry_topics.items():
            entry = roster.entries.get(job_id)
            if entry is not None and (before is None or entry != before.entries.get(job_id)):
                topic.publish(entry)
        self.roster_details.on_roster(roster)
        self._roster_watchers.on_roster(roster)
        if len(self._roster_topic) and roster != before:
            self._publish_roster_snapshot(roster)

    def _record_progress(self, before: Roster | None, roster: Roster) -> None:
        """Note which jobs have changed; a change while nobody looked has no time."""
        if roster.source == "none":
            return
        now = asyncio.get_running_loop().time()
        # A conductor that is slow to answer is asked the less often.
        is_recent = now - self._last_roster_at < MAX_RECENT_GAP_S + REST_FACTOR * roster.cost_s
        self._last_roster_at = now
        if before is None:
            return
        note = self.progress.record if is_recent else self.progress.discard
        for job_id, entry in roster.entries.items():
            known = before.entries.get(job_id)
            if known is not entry and known is not None and entry_has_progressed(known, entry):
                note(job_id)
        self.progress.retain(roster.entries)

    def _on_details_changed(self) -> None:
        """Tells the viewers of the roster what is known of its jobs now."""
        if self._last_roster is not None and len(self._roster_topic):
            self._publish_roster_snapshot(self._last_roster)
        else:
            self._roster_snapshot = None

    def _latest_roster_snapshot(self) -> RosterSnapshot:
        """The last roster as its viewers see it, made once for all of them."""
        roster = self._last_roster
        if roster is None:
            raise LookupError("there is no roster before the first answer")
        view = self._roster_snapshot
        if view is None or view.roster is not roster:
            return self._publish_roster_snapshot(roster)
        return view

    def _publish_roster_snapshot(self, roster: Roster) -> RosterSnapshot:
        """Makes the view of this moment, and offers it to those who see a difference in it."""
        shown = self._roster_snapshot
        view = self._roster_snapshot = RosterSnapshot(
            roster, self.roster_details.get_all(roster), shown
        )
        if shown is None or not view.is_same(shown):
            self._roster_topic.publish(view)
        return view
