"""How the conductor's events come in: by a subscription, or by visits while there is none."""

import asyncio
from contextlib import suppress

from marianne_stream.fanout.timeline import Timeline, Wanted, is_away
from marianne_stream.jobs.event_visits import EventVisits, RecentEvents
from marianne_stream.jobs.roster import RosterTimer
from marianne_stream.jobs.views import source_frame
from marianne_stream.models import MonitorEvent, Roster, SourceName

# While there is no subscription, events are asked for at this interval.
VISIT_INTERVAL_S = 1.0

# The prefix of all job ids.
ALL_JOBS = frozenset({""})


class EventIntake:
    """Puts events onto the timeline, and tells its listeners whether any come in.

    Args:
        timeline: where events go.
        roster: read while events are made from its changes.
        source: what events come from, as listeners are told.
        recent_events: asks for recent events while there is no subscription; None if nothing can.

    Attributes:
        subscriptions: how many subscriptions have begun.
    """

    def __init__(
        self,
        timeline: Timeline,
        roster: RosterTimer,
        *,
        source: SourceName,
        recent_events: RecentEvents | None,
    ) -> None:
        self._timeline = timeline
        self._roster = roster
        self._source: SourceName = source
        self._visits = EventVisits(recent_events, self.add) if recent_events is not None else None
        self._is_subscribed = False
        self._subscription_changed = asyncio.Event()
        self._was_live = False
        # Prefixes of the ids of those jobs whose events do not come in.
        self._away = ALL_JOBS
        self.subscriptions = 0

    async def run(self) -> None:
        """Ask for events in visits while they are wanted and no subscription brings any.

        The roster is read meanwhile: the events of jobs are made from its changes. Returns at once
        if nothing can be asked for.
        """
        is_interested = False
        while self._visits is not None:
            if self._needs_visits != is_interested:
                is_interested = self._needs_visits
                change = self._roster.add_interest if is_interested else self._roster.drop_interest
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
        self._timeline.add(event)
        if event.of_whole_job:
            # The job may be new, and not be watched by anybody yet.
            self._roster.bring_forward()

    def on_subscribed(self) -> None:
        """Note that a subscription has begun."""
        self.subscriptions += 1
        self._is_subscribed = True
        if self._visits is not None:
            # A visit that is under way brings nothing that the subscription may bring, too.
            self._visits.begin()
        if self.is_live:
            # What happened since the last visit is not known.
            self._timeline.add_gap()
        self._set_live(live=True)
        self._subscription_changed.set()

    def on_lost(self) -> None:
        """Note that the subscription has ended; events come by visits once a roster is live."""
        self._is_subscribed = False
        if self._visits is not None:
            self._visits.begin()
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
        return not self._away

    def frame(self, wanted: Wanted, event_id: str = "") -> bytes:
        """Make a `source` event that says whether the events that are wanted come in."""
        is_live = not is_away(self._away, wanted)
        source: SourceName = self._source if is_live else "none"
        return source_frame(None, source, live=is_live, event_id=event_id)

    def say_away(self, away: frozenset[str]) -> None:
        """Tell the listeners that are concerned that events come in no more, or again.

        Args:
            away: prefixes of the ids of those jobs whose events do not come in.
        """
        before, self._away = self._away, away

        def frame_for(wanted: Wanted) -> bytes:
            changed = is_away(before, wanted) != is_away(away, wanted)
            return self.frame(wanted) if changed else b""

        self._timeline.say(frame_for)

    @property
    def _needs_visits(self) -> bool:
        """True if events are wanted, and no subscription brings them."""
        return self._visits is not None and self._timeline.has_listeners and not self._is_subscribed

    def _set_live(self, *, live: bool) -> None:
        """Tell listeners of a change, behind a gap for what was missed meanwhile."""
        if live == self.is_live:
            return
        if live:
            if self._was_live:
                self._timeline.add_gap()
            self._was_live = True
        self.say_away(frozenset() if live else ALL_JOBS)
