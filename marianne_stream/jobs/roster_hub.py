"""Roster hub: the roster poller, and the snapshots, details and topics made of its rosters."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from marianne_stream.backends.base import Backend
from marianne_stream.fanout.topic import Subscriber, Topic
from marianne_stream.jobs.conductor_poller import ConductorPoller, ReadConductors
from marianne_stream.jobs.conductor_view import ConductorView, find_waiting_jobs, make_views
from marianne_stream.jobs.poll_schedule import REST_FACTOR
from marianne_stream.jobs.progress import ProgressTimes, entry_has_progressed
from marianne_stream.jobs.roster_details import RosterDetailCache
from marianne_stream.jobs.roster_poller import RosterPoller
from marianne_stream.jobs.roster_watchers import RosterJobWatchers
from marianne_stream.jobs.snapshots import RosterSnapshot
from marianne_stream.jobs.subscriptions import Subscription
from marianne_stream.models import Roster, RosterEntry, StateSourceName

# The time of a change between two rosters that are further apart is unknown.
MAX_RECENT_GAP_S = 5.0

# Age of a roster that is new enough for a single request.
MAX_ROSTER_AGE_S = 1.0


class RosterHub:
    """Polls the roster for all clients, and hands out subscriptions to it.

    Args:
        on_roster: called with the previous roster, or None, and each new one.
        on_rate_limits: called when the conductor's rate limits have changed.
        read_conductors: reads information about the conductors; None without a conductor.
    """

    def __init__(
        self,
        backend: Backend,
        job_watchers: RosterJobWatchers,
        *,
        on_roster: Callable[[Roster | None, Roster], None],
        on_rate_limits: Callable[[], None],
        read_conductors: ReadConductors | None = None,
    ) -> None:
        self._job_watchers = job_watchers
        self._on_new_roster = on_roster
        self._on_rate_limits = on_rate_limits
        self._topic: Topic[RosterSnapshot] = Topic()
        self._entry_topics: dict[str, Topic[RosterEntry]] = {}
        self._snapshot: RosterSnapshot | None = None
        self._latest: Roster | None = None
        self._latest_at = float("-inf")
        self._conductor_views: tuple[ConductorView, ...] = ()
        self.poller = RosterPoller(backend, on_roster=self._on_roster)
        self.conductors = ConductorPoller(read_conductors, self._on_conductors_read)
        self.progress = ProgressTimes()
        self.details = RosterDetailCache(self.progress, self._on_details_changed)

    async def close(self) -> None:
        """Stop the watchers of jobs, and report no more details."""
        self.details.close()
        await self._job_watchers.close()

    async def subscribe(
        self, interval_s: float, *, details: bool = False
    ) -> tuple[RosterSnapshot, Subscription[RosterSnapshot]]:
        """Subscribe to the roster; with `details`, unfinished jobs are watched for more facts.

        Return the newest snapshot, and the subscription, which must be closed. `interval_s` is the
        longest age of a roster.

        Raises:
            StateUnavailableError: the roster cannot be read.
        """

        def remove_intervals() -> None:
            self.conductors.remove_user()
            self.poller.intervals.remove(interval_s)
            if details:
                self._job_watchers.intervals.remove(interval_s)

        self.conductors.add_user()
        self.poller.intervals.add(interval_s)
        if details:
            self._job_watchers.intervals.add(interval_s)
        subscription = Subscription(self._topic, on_close=remove_intervals)
        try:
            await self.poller.get(MAX_ROSTER_AGE_S)
            await self.conductors.refresh()
            if self.conductors.infos and not self._conductor_views:
                # The roster came after the first information about the conductors.
                self._on_conductors_read()
            return self._latest_snapshot(), subscription
        except BaseException:
            subscription.close()
            raise

    @contextmanager
    def watch_jobs(self, interval_s: float) -> Iterator[None]:
        """Watch the unfinished jobs at an interval, without a subscription."""
        self.poller.intervals.add(interval_s)
        self._job_watchers.intervals.add(interval_s)
        try:
            yield
        finally:
            self._job_watchers.intervals.remove(interval_s)
            self.poller.intervals.remove(interval_s)

    @contextmanager
    def subscribe_entry(
        self, job_id: str, interval_s: float, subscriber: Subscriber[RosterEntry]
    ) -> Iterator[None]:
        """Offer a job's entry to a subscriber when it changes, and at once if the job has ended.

        It may have ended since the subscriber read its state. Reads nothing but the roster.
        """
        topic = self._entry_topics.setdefault(job_id, Topic())
        self.poller.intervals.add(interval_s)
        topic.subscribe(subscriber)
        entry = self._latest.entries.get(job_id) if self._latest is not None else None
        if entry is not None and entry.is_terminal:
            subscriber.offer(entry)
        try:
            yield
        finally:
            topic.unsubscribe(subscriber)
            self.poller.intervals.remove(interval_s)
            if not len(topic):
                self._entry_topics.pop(job_id, None)

    async def get(self) -> Roster:
        """Return a roster at most 1 s old; raise StateUnavailableError if there is none."""
        return await self.poller.get(MAX_ROSTER_AGE_S)

    async def get_conductors(self) -> tuple[ConductorView, ...]:
        """Return the conductors, with the jobs that wait now.

        Raises:
            NoConductorError: this server reads no conductor.
            StateUnavailableError: no conductor can be asked.
        """
        roster, infos = await asyncio.gather(self.get(), self.conductors.get())
        return make_views(infos, find_waiting_jobs(roster, self.details.get_all(roster)))

    def job_statuses(self) -> list[str]:
        """Return the statuses of the jobs of the last roster; none before the first."""
        entries = self._latest.entries.values() if self._latest is not None else ()
        return [entry.status for entry in entries]

    @property
    def source(self) -> StateSourceName:
        """Source of the last roster; `none` before the first."""
        return self._latest.source if self._latest is not None else "none"

    def _on_roster(self, roster: Roster) -> None:
        """Pass a roster on to jobs, details and subscribers."""
        before, self._latest = self._latest, roster
        if before is not None and before.source != roster.source:
            self.conductors.invalidate()
        self._record_progress(before, roster)
        self._on_new_roster(before, roster)
        for job_id, topic in self._entry_topics.items():
            entry = roster.entries.get(job_id)
            if entry is not None and (before is None or entry != before.entries.get(job_id)):
                topic.publish(entry)
        self.details.on_roster(roster)
        self._job_watchers.on_roster(roster)
        if len(self._topic) and roster != before:
            self._publish_snapshot(roster)

    def _record_progress(self, before: Roster | None, roster: Roster) -> None:
        """Record the changed jobs. A change during an outage has no known time."""
        if roster.source == "none":
            return
        now = asyncio.get_running_loop().time()
        # A conductor that answers slowly is polled less often.
        gap_s, self._latest_at = now - self._latest_at, now
        is_recent = gap_s < MAX_RECENT_GAP_S + REST_FACTOR * roster.cost_s
        if before is None:
            self.progress.began_at = time.time()
            return
        record = self.progress.record if is_recent else self.progress.discard
        for job_id, entry in roster.entries.items():
            known = before.entries.get(job_id)
            if known is not entry:
                self.progress.counters.count_job(known, entry, time.time() - gap_s)
            if known is not entry and known is not None and entry_has_progressed(known, entry):
                record(job_id)
        self.progress.retain(roster.entries)

    def _on_details_changed(self) -> None:
        """Publish a snapshot with the new details, if there are subscribers."""
        if self._latest is not None and len(self._topic):
            self._publish_snapshot(self._latest)
        else:
            self._snapshot = None

    def _on_conductors_read(self) -> None:
        """Publish a snapshot if the conductors or their waiting jobs have changed."""
        # An edge has the rate limits in the states of its origins.
        info = self.conductors.infos.get("")
        if info is not None and self.progress.update_rate_limits(info.rate_limits or ()):
            self._on_rate_limits()
        if self._latest is None:
            return
        waiting = find_waiting_jobs(self._latest, self.details.get_all(self._latest))
        views = make_views(self.conductors.infos, waiting)
        if views != self._conductor_views:
            self._conductor_views = views
            self._on_details_changed()

    def _latest_snapshot(self) -> RosterSnapshot:
        """Return the snapshot of the last roster, made once for all clients."""
        if self._latest is None:
            raise LookupError("no roster has been read yet")
        if self._snapshot is None or self._snapshot.roster is not self._latest:
            return self._publish_snapshot(self._latest)
        return self._snapshot

    def _publish_snapshot(self, roster: Roster) -> RosterSnapshot:
        """Make a snapshot, and publish it if it differs from the last."""
        before = self._snapshot
        snapshot = RosterSnapshot(
            roster, self.details.get_all(roster), before, self._conductor_views
        )
        self._snapshot = snapshot
        if before is None or not snapshot.is_same(before):
            self._topic.publish(snapshot)
        return snapshot
