"""Events without a subscription: asked for in visits, and made from changes of the roster.

The observer's events come from the conductor's memory of them, each once. It keeps none of the
events of jobs themselves: those are made from what the roster shows, and marked `observed`.
"""

import json
import logging
import time
from collections.abc import Awaitable, Callable

from marianne_stream.errors import StateUnavailableError
from marianne_stream.models import MonitorEvent, Roster, RosterEntry

logger = logging.getLogger(__name__)

# The observer notes some events late: what is older than the newest by more than this is not new,
# even if the answer before left it out.
LATE_S = 60.0

# The conductor's own names, where it has one for the change.
NAMES = {
    "completed": "job.completed",
    "failed": "job.failed",
    "cancelled": "job.cancelled",
    "paused": "job.paused",
    "paused_at_chain": "job.paused",
}

RecentEvents = Callable[[], Awaitable[list[tuple[float, MonitorEvent]]]]


class EventVisits:
    """Gives the events that a subscription would have brought.

    Args:
        recent_events: asks the conductor for its recent events, with their times.
        on_event: called with each new event, in order.
    """

    def __init__(
        self, recent_events: RecentEvents, on_event: Callable[[MonitorEvent], None]
    ) -> None:
        self._recent_events = recent_events
        self._on_event = on_event
        # Events that were passed on, with their times, and the time before which none is new.
        self._seen: dict[bytes, float] = {}
        self._not_before_s = time.time()
        self._reported = ""

    def begin(self) -> None:
        """Begin anew: what happened until now has come in by other means, or is not wanted."""
        self._seen = {}
        self._not_before_s = time.time()

    async def visit(self) -> None:
        """Ask once, and pass on what is new. Never fails; cancelling is safe."""
        try:
            events = await self._recent_events()
        except StateUnavailableError as error:
            if str(error) != self._reported:
                logger.info("no events of the observer: %s", error)
            self._reported = str(error)
            return
        self._reported = ""
        # A clock that is wrong must not hide what comes later.
        now_s = time.time()
        events = [(min(time_s, now_s), event) for time_s, event in events]
        for time_s, event in events:
            if time_s > self._not_before_s and event.params not in self._seen:
                self._seen[event.params] = time_s
                self._on_event(event)
        newest_s = max((time_s for time_s, _ in events), default=0.0)
        self._not_before_s = max(self._not_before_s, newest_s - LATE_S)
        self._seen = {e: time_s for e, time_s in self._seen.items() if time_s > self._not_before_s}

    def on_roster(self, before: Roster, after: Roster) -> None:
        """Pass on an event for each job whose status or run has changed."""
        for job_id, entry in after.entries.items():
            known = before.entries.get(job_id)
            if known is not entry:
                for name in event_names(known, entry):
                    self._on_event(observed_event(name, entry))


def event_names(known: RosterEntry | None, entry: RosterEntry) -> tuple[str, ...]:
    """Return the names of what has happened to a job between two rosters."""
    if known is not None and known.status == entry.status and known.same_run(entry):
        return ()
    begun: tuple[str, ...] = ()
    if entry.started_at is not None and (known is None or not known.same_run(entry)):
        resumes = known is not None and known.started_at is not None
        resumes = resumes and known is not None and known.same_submission(entry)
        begun = ("job.resuming",) if resumes else ("job.started",)
    if entry.status == "running":
        return begun or ("job.resuming",)
    return (*begun, *filter(None, (NAMES.get(entry.status),)))


def observed_event(name: str, entry: RosterEntry) -> MonitorEvent:
    """Make an event in the form of the conductor's, marked as observed."""
    params = {
        "job_id": entry.job_id,
        "sheet_num": 0,
        "event": name,
        "data": {"status": entry.status},
        "timestamp": time.time(),
        "observed": True,
    }
    return MonitorEvent(entry.job_id, name, json.dumps(params, separators=(",", ":")).encode())
