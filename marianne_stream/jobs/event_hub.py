"""Intake of the conductor's events: by a subscription, or by visits without one."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from marianne_stream.common.intervals import RELAXED_INTERVAL_S
from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.fanout.replay_entry import EntryFilter, matches_any_scope
from marianne_stream.jobs.event_visits import EventVisits, ReadRecentEvents
from marianne_stream.jobs.roster_poller import RosterPoller
from marianne_stream.jobs.snapshots import make_source_frame
from marianne_stream.models import MonitorEvent, Roster, StateSourceName

# Interval of visits while there is no subscription.
VISIT_INTERVAL_S = 1.0

# The observer's events about files in a job's workspace.
FILE_EVENT_PREFIX = "observer.file_"

# The prefix of all job ids.
ALL_SCOPES = frozenset({""})


RecordActivity = Callable[[str, float], None]


class EventHub:
    """Adds events to the replay buffer, and tells its subscribers if events come in.

    Args:
        record_activity: called with a job and the time of a sign of life, in epoch seconds.
        read_recent_events: reads events while there is no subscription; None if not possible.
    """

    def __init__(
        self,
        replay_buffer: ReplayBuffer,
        roster_poller: RosterPoller,
        *,
        source_name: StateSourceName,
        record_activity: RecordActivity,
        read_recent_events: ReadRecentEvents | None,
    ) -> None:
        self.replay_buffer = replay_buffer
        self._roster_poller = roster_poller
        self._source_name: StateSourceName = source_name
        self._record_activity = record_activity
        self._visits = (
            EventVisits(read_recent_events, self.add) if read_recent_events is not None else None
        )
        self._is_subscribed = False
        self._subscription_changed = asyncio.Event()
        self._was_live = False
        # Prefixes of the ids of jobs whose events do not come in.
        self._unavailable_scopes = ALL_SCOPES
        self.subscription_count = 0

    async def run(self) -> None:
        """Read events in visits while they are watched or recorded without a subscription.

        The roster is polled meanwhile, to derive the events of jobs. Returns at once if visits
        are not possible.
        """
        intervals, interval_s = self._roster_poller.intervals, None
        while self._visits is not None:
            if (wanted_s := self._wanted_interval_s()) != interval_s:
                if wanted_s is not None:
                    intervals.add(wanted_s)
                if interval_s is not None:
                    intervals.remove(interval_s)
                interval_s = wanted_s
            if interval_s is not None:
                await self._visits.visit()
            elif not self._is_subscribed:
                self._set_live(live=False)
            await self._wait_for_visit(interval_s)

    async def _wait_for_visit(self, interval_s: float | None) -> None:
        """Wait until the next visit is due; a recorder alone waits for an active job as well."""
        waited_s = 0.0
        while waited_s < (interval_s or VISIT_INTERVAL_S):
            self._subscription_changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(VISIT_INTERVAL_S):
                    await self._subscription_changed.wait()
                    return
            waited_s += VISIT_INTERVAL_S
            if self._roster_poller.has_active_jobs or self._wanted_interval_s() != interval_s:
                return

    def add(self, event: MonitorEvent) -> None:
        """Add an event to the replay buffer; one about a file is a sign of life of its job."""
        self.replay_buffer.add(event)
        if event.event.startswith(FILE_EVENT_PREFIX):
            self._record_activity(event.job_id, time.time())
        if event.is_job_level:
            # The job may be new, and have no watcher yet.
            self._roster_poller.poll_soon()

    async def read_activity(self) -> None:
        """Read the signs of life of the jobs, if their events do not come in otherwise.

        Never fails; cancelling is safe.
        """
        if self._visits is None or self._is_subscribed or self._needs_visits:
            return
        for time_s, event in await self._visits.read():
            if event.event.startswith(FILE_EVENT_PREFIX):
                self._record_activity(event.job_id, time_s)

    def on_subscribed(self) -> None:
        """Handle the beginning of a subscription."""
        self.subscription_count += 1
        self._is_subscribed = True
        if self._visits is not None:
            # A visit that is under way must not repeat events of the subscription.
            self._visits.reset()
        if self.is_live:
            # Events since the last visit are missing.
            self.replay_buffer.add_gap()
        self._set_live(live=True)
        self._subscription_changed.set()

    def on_subscription_lost(self) -> None:
        """Handle the end of the subscription. Events come by visits after the next live roster."""
        self._is_subscribed = False
        if self._visits is not None:
            self._visits.reset()
        self._set_live(live=False)
        self._subscription_changed.set()

    def on_roster(self, before: Roster | None, roster: Roster) -> None:
        """Derive the events of jobs from a changed roster, if no subscription brings them."""
        if self._visits is None or not self._needs_visits:
            return
        if self.is_live and before is not None:
            self._visits.on_roster(before, roster)
        self._set_live(live=roster.live)

    @property
    def is_live(self) -> bool:
        """True if the events of all jobs come in."""
        return not self._unavailable_scopes

    def make_source_frame(self, entry_filter: EntryFilter, event_id: str = "") -> bytes:
        """Make a `source` event about the events that pass a filter."""
        is_live = not matches_any_scope(self._unavailable_scopes, entry_filter)
        source: StateSourceName = self._source_name if is_live else "none"
        return make_source_frame(None, source, live=is_live, event_id=event_id)

    def set_unavailable_scopes(self, scopes: frozenset[str]) -> None:
        """Tell the subscribers concerned that events no longer come in, or come in again.

        The scopes are prefixes of the ids of the jobs whose events do not come in.
        """
        before, self._unavailable_scopes = self._unavailable_scopes, scopes

        def frame_for(entry_filter: EntryFilter) -> bytes:
            was_unavailable = matches_any_scope(before, entry_filter)
            changed = was_unavailable != matches_any_scope(scopes, entry_filter)
            return self.make_source_frame(entry_filter) if changed else b""

        self.replay_buffer.broadcast_unbuffered(frame_for)

    @property
    def _needs_visits(self) -> bool:
        """True if events are wanted, and no subscription brings them."""
        return self._visits is not None and self._wanted_interval_s() is not None

    def _wanted_interval_s(self) -> float | None:
        """Return the poll interval while visits are needed, in seconds; None if they are not."""
        if self._is_subscribed:
            return None
        if self.replay_buffer.has_subscribers:
            return VISIT_INTERVAL_S
        return RELAXED_INTERVAL_S if self.replay_buffer.is_recorded else None

    def _set_live(self, *, live: bool) -> None:
        """Tell subscribers of a change, with a gap for the events missed meanwhile."""
        if live == self.is_live:
            return
        if live:
            if self._was_live:
                self.replay_buffer.add_gap()
            self._was_live = True
        self.set_unavailable_scopes(frozenset() if live else ALL_SCOPES)
