"""How the conductor's events come in: by a subscription, or by visits while there is none."""

import asyncio
from contextlib import suppress

from marianne_stream.fanout.replay_buffer import EntryFilter, ReplayBuffer, matches_any_scope
from marianne_stream.jobs.event_visits import EventVisits, ReadRecentEvents
from marianne_stream.jobs.roster_poller import RosterPoller
from marianne_stream.jobs.snapshots import make_source_frame
from marianne_stream.models import MonitorEvent, Roster, StateSourceName

# While there is no subscription, events are asked for at this interval.
VISIT_INTERVAL_S = 1.0

# The prefix of all job ids.
ALL_SCOPES = frozenset({""})


class EventIntake:
    """Puts events onto the timeline, and tells its listeners whether any come in.

    Args:
        replay_buffer: where events go.
        roster_poller: read while events are made from its changes.
        source_name: what events come from, as listeners are told.
        read_recent_events: asks for recent events while there is no subscription; None if nothing
            can.

    Attributes:
        subscription_count: how many subscriptions have begun.
    """

    def __init__(
        self,
        replay_buffer: ReplayBuffer,
        roster_poller: RosterPoller,
        *,
        source_name: StateSourceName,
        read_recent_events: ReadRecentEvents | None,
    ) -> None:
        self._replay_buffer = replay_buffer
        self._roster_poller = roster_poller
        self._source_name: StateSourceName = source_name
        self._visits = (
            EventVisits(read_recent_events, self.add) if read_recent_events is not None else None
        )
        self._is_subscribed = False
        self._subscription_changed = asyncio.Event()
        self._was_live = False
        # Prefixes of the ids of those jobs whose events do not come in.
        self._unavailable_scopes = ALL_SCOPES
        self.subscription_count = 0

    async def run(self) -> None:
        """Ask for events in visits while they are wanted and no subscription brings any.

        The roster is read meanwhile: the events of jobs are made from its changes. Returns at once
        if nothing can be asked for.
        """
        is_interested = False
        while self._visits is not None:
            if self._needs_visits != is_interested:
                is_interested = self._needs_visits
                change = (
                    self._roster_poller.add_interval
                    if is_interested
                    else self._roster_poller.remove_interval
                )
                change(VISIT_INTERVAL_S)
            if is_interested:
                await self._visits.visit()
            elif not self._is_subscribed:
                self._set_live(live=False)
            self._subscription_changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(VISIT_INTERVAL_S):
                    await self._subscription_changed.wait()

    def add(self, event: MonitorEvent) -> None:
        """Put an event onto the timeline."""
        self._replay_buffer.add(event)
        if event.is_job_level:
            # The job may be new, and not be watched by anybody yet.
            self._roster_poller.poll_soon()

    def on_subscribed(self) -> None:
        """Note that a subscription has begun."""
        self.subscription_count += 1
        self._is_subscribed = True
        if self._visits is not None:
            # A visit that is under way brings nothing that the subscription may bring, too.
            self._visits.reset()
        if self.is_live:
            # What happened since the last visit is not known.
            self._replay_buffer.add_gap()
        self._set_live(live=True)
        self._subscription_changed.set()

    def on_subscription_lost(self) -> None:
        """Note that the subscription has ended; events come by visits once a roster is live."""
        self._is_subscribed = False
        if self._visits is not None:
            self._visits.reset()
        self._set_live(live=False)
        self._subscription_changed.set()

    def on_roster(self, before: Roster | None, roster: Roster) -> None:
        """Make the events of jobs from a change of the roster, if no subscription brings them."""
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
        """Make a `source` event that says whether the events that are wanted come in."""
        is_live = not matches_any_scope(self._unavailable_scopes, entry_filter)
        source: StateSourceName = self._source_name if is_live else "none"
        return make_source_frame(None, source, live=is_live, event_id=event_id)

    def set_unavailable_scopes(self, scopes: frozenset[str]) -> None:
        """Tell the listeners that are concerned that events come in no more, or again.

        Args:
            scopes: prefixes of the ids of those jobs whose events do not come in.
        """
        before, self._unavailable_scopes = self._unavailable_scopes, scopes

        def frame_for(wanted: EntryFilter) -> bytes:
            changed = matches_any_scope(before, wanted) != matches_any_scope(scopes, wanted)
            return self.make_source_frame(wanted) if changed else b""

        self._replay_buffer.broadcast_unbuffered(frame_for)

    @property
    def _needs_visits(self) -> bool:
        """True if events are wanted, and no subscription brings them."""
        return (
            self._visits is not None
            and self._replay_buffer.has_subscribers
            and not self._is_subscribed
        )

    def _set_live(self, *, live: bool) -> None:
        """Tell listeners of a change, behind a gap for what was missed meanwhile."""
        if live == self.is_live:
            return
        if live:
            if self._was_live:
                self._replay_buffer.add_gap()
            self._was_live = True
        self.set_unavailable_scopes(frozenset() if live else ALL_SCOPES)
