"""Events without a subscription: read in visits, and derived from changes of the roster.

The conductor keeps the observer's events in memory. It keeps no events of jobs, so these are
derived from the roster and marked `observed`.
"""

import json
import logging
import time
from collections.abc import Awaitable, Callable

from marianne_stream.common.repeated_logs import WarnOnce
from marianne_stream.conductor_models import STALLED_EVENT
from marianne_stream.errors import ConductorRpcError, StateUnavailableError
from marianne_stream.models import MonitorEvent, Roster, RosterEntry

logger = logging.getLogger(__name__)

# The observer records some events late. An event older than the newest by more than this is not
# new, even if the previous answer lacked it.
MAX_LATENESS_S = 60.0

# The conductor's own event names of status changes.
EVENT_NAMES = {
    "completed": "job.completed",
    "failed": "job.failed",
    "cancelled": "job.cancelled",
    "paused": "job.paused",
    "paused_at_chain": "job.paused",
}

ReadRecentEvents = Callable[[], Awaitable[list[tuple[float, MonitorEvent]]]]


class EventVisits:
    """Reads the events that a subscription would bring.

    They come with their times in epoch seconds.
    """

    def __init__(
        self, read_recent_events: ReadRecentEvents, on_event: Callable[[MonitorEvent], None]
    ) -> None:
        self._read_recent_events = read_recent_events
        self._on_event = on_event
        # Times of the events that were passed on, and the time before which no event is new.
        self._delivered: dict[bytes, float] = {}
        self._oldest_new_s = time.time()
        self._read_error = WarnOnce(logger, logging.INFO)

    def reset(self) -> None:
        """Start anew: events until now came by other means, or are not wanted."""
        self._delivered = {}
        self._oldest_new_s = time.time()

    async def read(self) -> list[tuple[float, MonitorEvent]]:
        """Read the events once; return none after a failure. Cancelling is safe."""
        try:
            events = await self._read_recent_events()
        except ConductorRpcError as error:
            self._read_error.warn("observer events not read error=%s", error)
            return []
        except StateUnavailableError as error:
            # The roster poller says why the conductor cannot be read.
            logger.debug("observer events not read error=%s", error)
            return []
        self._read_error.recover()
        # A wrong clock must not hide later events.
        now_s = time.time()
        return [(min(time_s, now_s), event) for time_s, event in events]

    async def visit(self) -> None:
        """Read the events once, and pass on the new ones. Never fails; cancelling is safe."""
        events = await self.read()
        for time_s, event in events:
            if time_s > self._oldest_new_s and event.params not in self._delivered:
                self._delivered[event.params] = time_s
                self._on_event(event)
        newest_s = max((time_s for time_s, _ in events), default=0.0)
        self._oldest_new_s = max(self._oldest_new_s, newest_s - MAX_LATENESS_S)
        self._delivered = {
            e: time_s for e, time_s in self._delivered.items() if time_s > self._oldest_new_s
        }

    def on_roster(self, before: Roster, after: Roster) -> None:
        """Pass on an event for each job whose status or run has changed."""
        for job_id, entry in after.entries.items():
            known = before.entries.get(job_id)
            if known is not entry:
                for name in observed_event_names(known, entry):
                    self._on_event(make_observed_event(name, entry))


def observed_event_names(before: RosterEntry | None, entry: RosterEntry) -> tuple[str, ...]:
    """Return the names of the events of a job between two rosters."""
    if before is not None and before.status == entry.status and before.is_same_run(entry):
        return ()
    start_names: tuple[str, ...] = ()
    if entry.started_at is not None and (before is None or not before.is_same_run(entry)):
        resumes = before is not None and before.started_at is not None
        resumes = resumes and before is not None and before.is_same_submission(entry)
        start_names = ("job.resuming",) if resumes else ("job.started",)
    if entry.status == "running":
        return start_names or ("job.resuming",)
    return (*start_names, *filter(None, (EVENT_NAMES.get(entry.status),)))


def make_observed_event(name: str, entry: RosterEntry) -> MonitorEvent:
    """Make an event of a job's change in the roster."""
    return make_event(entry.job_id, 0, name, {"status": entry.status})


def make_stalled_event(job_id: str, sheet_number: int) -> MonitorEvent:
    """Make the event of a sheet that has stalled."""
    return make_event(job_id, sheet_number, STALLED_EVENT, {})


def make_event(job_id: str, sheet_num: int, name: str, data: dict[str, str]) -> MonitorEvent:
    """Make an event in the conductor's format, marked as observed."""
    params = {
        "job_id": job_id,
        "sheet_num": sheet_num,
        "event": name,
        "data": data,
        "timestamp": time.time(),
        "observed": True,
    }
    return MonitorEvent(job_id, name, json.dumps(params, separators=(",", ":")).encode())
