"""All watched jobs and the roster: who watches what, and where an event goes.

The monitor's events come in here and go to the queue of the job that they name, and onto the
timeline. It must not know how viewers are reached.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from marianne_stream.errors import StateUnavailableError
from marianne_stream.fanout.mailboxes import LatestMailbox
from marianne_stream.fanout.timeline import Timeline
from marianne_stream.fanout.topic import Subscriber, Topic
from marianne_stream.jobs.details import Details
from marianne_stream.jobs.event_intake import EventIntake
from marianne_stream.jobs.event_visits import RecentEvents
from marianne_stream.jobs.lookouts import Lookouts
from marianne_stream.jobs.poll_schedule import REST_FACTOR
from marianne_stream.jobs.progress import ProgressTimes, entry_has_progressed
from marianne_stream.jobs.roster import RosterTimer
from marianne_stream.jobs.roster_hold import WatchingRoster
from marianne_stream.jobs.turns import SharedAlike, Sharing
from marianne_stream.jobs.views import JobView, RosterView
from marianne_stream.jobs.watch import JobWatch, RosterMark
from marianne_stream.models import JobState, MonitorEvent, Roster, RosterEntry, SourceName
from marianne_stream.state.source import StateSource

logger = logging.getLogger(__name__)

# For a request that wants the state once and has no interval of its own.
ONCE_INTERVAL_S = 30.0

# A change between two rosters that are further apart happened when nobody looked.
RECENT_S = 5.0

# A roster as young as this answers a request that wants it once.
ROSTER_AGE_S = 1.0


class Watching:
    """A viewer's hold on a watched job, until it leaves.

    Args:
        watches: who is told of its leaving.
        watch: what is watched.
        interval_s: how old what nothing announces may get, in seconds.

    Attributes:
        mailbox: where views arrive that are newer than those of the moment when the viewer came.
    """

    __slots__ = ("_interval_s", "_watches", "mailbox", "watch")

    def __init__(self, watches: "Watches", watch: JobWatch, interval_s: float) -> None:
        self._watches = watches
        self._interval_s = interval_s
        self.watch = watch
        self.mailbox: LatestMailbox[JobView] = LatestMailbox()
        watch.join(self.mailbox, interval_s)

    def look_every(self, interval_s: float) -> None:
        """Changes how old what nothing announces may get."""
        before, self._interval_s = self._interval_s, interval_s
        self.watch.leave(self.mailbox, before)
        self.watch.join(self.mailbox, interval_s)
        self._watches.on_interval(before, interval_s)

    def leave(self) -> None:
        """Lets go of the job."""
        self.mailbox.leave()
        self.watch.leave(self.mailbox, self._interval_s)
        self._watches.on_left(self.watch, self._interval_s)


class Watches:
    """A watch for each job that somebody watches, the roster timer, and the timeline.

    Args:
        source: who is asked for state; it is asked only through here.
        timeline: where the monitor's events go.
        events_from: what events come from, as it is told.
        recent_events: asks for recent events while there is no subscription; None if nothing can.
        sharing: how jobs share what there is of reading; None if all share alike.

    Attributes:
        timeline: the same.
        details: what is known of jobs beyond their entries in the roster.
        progress: when jobs were last seen to change.
        events: how the conductor's events come in.
    """

    def __init__(
        self,
        source: StateSource,
        timeline: Timeline,
        *,
        events_from: SourceName = "conductor",
        recent_events: RecentEvents | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        self.timeline = timeline
        self._source = source
        self._sharing = sharing if sharing is not None else SharedAlike()
        self._roster = RosterTimer(source, on_roster=self._on_roster)
        self._roster_topic: Topic[RosterView] = Topic()
        self._roster_view: RosterView | None = None
        self._last_roster: Roster | None = None
        self._entries: dict[str, Topic[RosterEntry]] = {}
        self._watches: dict[str, JobWatch] = {}
        self._tasks: dict[JobWatch, asyncio.Task[None]] = {}
        self.progress = ProgressTimes()
        self.details = Details(self.progress, self._on_details)
        self._lookouts = Lookouts(self.watch, self._sharing.group)
        self.events = EventIntake(
            timeline, self._roster, source=events_from, recent_events=recent_events
        )
        self._leaving = False
        self._roster_at = float("-inf")

    async def run(self) -> None:
        """Runs the roster timer until cancelled, and then ends all watches."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._roster.run(), name="roster")
                group.create_task(self.events.run(), name="event visits")
        finally:
            self.details.close()
            await self._lookouts.close()
            for task in self._tasks.values():
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks.values())

    async def watch(self, job_id: str, interval_s: float) -> tuple[JobView, Watching]:
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
        watching = self._watching(job_id, interval_s)
        self.details.follow(watching.watch)
        try:
            return await watching.watch.opened(), watching
        except BaseException:
            watching.leave()
            raise

    def on_left(self, watch: JobWatch, interval_s: float) -> None:
        """A viewer has left a watch, which ends with the last."""
        self._roster.drop_interest(interval_s)
        if not watch.watched:
            self._stop(watch)

    def on_interval(self, before_s: float, interval_s: float) -> None:
        """A viewer's interval is another one now."""
        self._roster.add_interest(interval_s)
        self._roster.drop_interest(before_s)

    async def watch_roster(
        self, interval_s: float, *, details: bool = False
    ) -> tuple[RosterView, WatchingRoster]:
        """Watches the roster.

        Args:
            interval_s: how old one may get, in seconds.
            details: whether its jobs are watched, too, so that more is known of them.

        Returns:
            the newest view, and the hold, which must be left.

        Raises:
            StateUnavailableError: nobody could be asked.
        """
        lookouts = self._lookouts if details else None
        watching = WatchingRoster(self._roster, self._roster_topic, interval_s, lookouts)
        try:
            await self._roster.fresh(ROSTER_AGE_S)
            return self._newest_roster_view(), watching
        except BaseException:
            watching.leave()
            raise

    @contextmanager
    def watching_entry(
        self, job_id: str, interval_s: float, subscriber: Subscriber[RosterEntry]
    ) -> Iterator[None]:
        """Offers what the roster says of a job, when it changes, for as long as the context lasts.

        Nothing but the roster is asked: it is light, and right about the status.
        """
        topic = self._entries.setdefault(job_id, Topic())
        self._roster.add_interest(interval_s)
        topic.subscribe(subscriber)
        try:
            yield
        finally:
            topic.unsubscribe(subscriber)
            self._roster.drop_interest(interval_s)
            if not len(topic):
                self._entries.pop(job_id, None)

    async def state(self, job_id: str) -> JobState:
        """One job as it is now, for a request that wants it once.

        Raises:
            JobNotFoundError: there is no such job.
            StateUnavailableError: nobody could be asked.
        """
        # The details do not follow it: what is known for a moment only would come and go.
        watching = self._watching(job_id, ONCE_INTERVAL_S)
        try:
            view = await watching.watch.current()
        finally:
            watching.leave()
        if view.source == "none":
            raise StateUnavailableError
        return view.state

    async def roster(self) -> Roster:
        """The roster, at most a second old.

        Raises:
            StateUnavailableError: nobody could be asked.
        """
        return await self._roster.fresh(ROSTER_AGE_S)

    async def require(self, job_id: str) -> None:
        """Makes sure that a job exists, asking for no more than the roster where that will do.

        Raises:
            JobNotFoundError: there is no such job.
            StateUnavailableError: nobody could be asked.
        """
        if job_id not in (await self.roster()).entries:
            await self.state(job_id)

    def on_event(self, event: MonitorEvent) -> None:
        """Take an event of the conductor in."""
        self.events.add(event)
        watch = self._watches.get(event.job_id)
        if watch is not None:
            watch.hint(event)

    def bring_forward(self) -> None:
        """The roster has changed, as somebody says: it is asked for now."""
        self._roster.bring_forward()

    def look(self, job_id: str) -> None:
        """A job has changed, as somebody says: whoever watches it is told."""
        watch = self._watches.get(job_id)
        if watch is not None:
            watch.hint(RosterMark(self._roster.entry(job_id), source_changed=True))

    def look_at_all(self, chosen: Callable[[str], bool]) -> None:
        """All of some jobs may have changed."""
        for job_id in filter(chosen, list(self._watches)):
            self.look(job_id)

    def on_subscribed(self) -> None:
        """Note that events come in from now on, by a subscription."""
        self.events.on_subscribed()
        self._roster.expire()

    def on_lost(self) -> None:
        """Note that the subscription has ended."""
        if not self._leaving:
            self.events.on_lost()
            self._roster.expire()

    @property
    def state_source(self) -> SourceName:
        """Where the last roster came from, `none` before the first."""
        return self._last_roster.source if self._last_roster is not None else "none"

    @property
    def watched_jobs(self) -> int:
        """How many jobs are watched."""
        return len(self._watches)

    def leave(self) -> None:
        """Nothing is told any more: the server leaves, and not the conductor."""
        self._leaving = True

    def _watching(self, job_id: str, interval_s: float) -> Watching:
        """A hold on a job, whose watch begins with the first."""
        watch = self._watches.get(job_id) or self._start(job_id)
        self._roster.add_interest(interval_s)
        return Watching(self, watch, interval_s)

    def _start(self, job_id: str) -> JobWatch:
        watch = JobWatch(
            job_id,
            source=self._source,
            roster=self._roster,
            turns=self._sharing.turns(job_id),
            progress=self.progress,
        )
        task = asyncio.create_task(watch.run(), name=f"watch {job_id!r}")
        self._watches[job_id] = watch
        self._tasks[watch] = task
        task.add_done_callback(lambda task: self._on_end(watch, task))
        return watch

    def _stop(self, watch: JobWatch) -> None:
        """Ends a watch that nobody needs any more."""
        if self._watches.get(watch.job_id) is watch:
            del self._watches[watch.job_id]
        if watch in self._tasks:
            self._tasks[watch].cancel()

    def _on_end(self, watch: JobWatch, task: asyncio.Task[None]) -> None:
        """A watch has ended: the next viewer of its job begins a new one."""
        del self._tasks[watch]
        self.details.forget(watch)
        if self._watches.get(watch.job_id) is watch:
            del self._watches[watch.job_id]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("watching %r failed", watch.job_id, exc_info=error)
            watch.fault(error)

    def _on_roster(self, roster: Roster) -> None:
        """Tells each watched job what the roster says of it, and the viewers of the roster."""
        before, self._last_roster = self._last_roster, roster
        self._note_progress(before, roster)
        self.events.on_roster(before, roster)
        elsewhere = before is None or before.source != roster.source
        for job_id, watch in self._watches.items():
            entry = roster.entries.get(job_id)
            known = before.entries.get(job_id) if before is not None else None
            if elsewhere or entry != known:
                watch.hint(RosterMark(entry, source_changed=elsewhere))
        for job_id, topic in self._entries.items():
            entry = roster.entries.get(job_id)
            if entry is not None and (before is None or entry != before.entries.get(job_id)):
                topic.publish(entry)
        self.details.on_roster(roster)
        self._lookouts.on_roster(roster)
        if len(self._roster_topic) and roster != before:
            self._look_at_roster(roster)

    def _note_progress(self, before: Roster | None, roster: Roster) -> None:
        """Note which jobs have changed; a change while nobody looked has no time."""
        if roster.source == "none":
            return
        now = asyncio.get_running_loop().time()
        # A conductor that is slow to answer is asked the less often.
        is_recent = now - self._roster_at < RECENT_S + REST_FACTOR * roster.cost_s
        self._roster_at = now
        if before is None:
            return
        note = self.progress.note if is_recent else self.progress.forget
        for job_id, entry in roster.entries.items():
            known = before.entries.get(job_id)
            if known is not entry and known is not None and entry_has_progressed(known, entry):
                note(job_id)
        self.progress.keep(roster.entries)

    def _on_details(self) -> None:
        """Tells the viewers of the roster what is known of its jobs now."""
        if self._last_roster is not None and len(self._roster_topic):
            self._look_at_roster(self._last_roster)
        else:
            self._roster_view = None

    def _newest_roster_view(self) -> RosterView:
        """The last roster as its viewers see it, made once for all of them."""
        roster = self._last_roster
        if roster is None:
            raise LookupError("there is no roster before the first answer")
        view = self._roster_view
        if view is None or view.roster is not roster:
            return self._look_at_roster(roster)
        return view

    def _look_at_roster(self, roster: Roster) -> RosterView:
        """Makes the view of this moment, and offers it to those who see a difference in it."""
        shown = self._roster_view
        view = self._roster_view = RosterView(roster, self.details.of_all(roster), shown)
        if shown is None or not view.same(shown):
            self._roster_topic.publish(view)
        return view
