"""The roster poller: reads the roster once for all viewers, for as long as there are any.

A conductor is asked as often as what it does calls for, and never more than a twentieth of the
time; what is read from disk, at the shortest interval that a viewer asked for.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from marianne_stream.backends.base import Backend
from marianne_stream.errors import ConductorBusyError, StateUnavailableError
from marianne_stream.jobs.poll_schedule import REST_FACTOR
from marianne_stream.models import Roster, RosterEntry

# The interval at which a conductor is asked while a job is active, and while none is.
ACTIVE_INTERVAL_S = 0.1
IDLE_INTERVAL_S = 0.25

# The shortest poll interval there is, and so the least between two rosters that hints bring
# forward.
MIN_INTERVAL_S = 0.1

# However long an answer took, the next roster is not put off for longer.
MAX_REST_S = 30.0

RosterListener = Callable[[Roster], None]


class RosterPoller:
    """Keeps the newest roster for as long as somebody is interested.

    Args:
        backend: who is asked.
        on_roster: called with each answer; with the last known entries and source "none" when
            nobody could be asked.

    Attributes:
        latest: the last answer, None before the first.
    """

    def __init__(self, backend: Backend, *, on_roster: RosterListener) -> None:
        self._backend = backend
        self._on_roster = on_roster
        self._intervals: Counter[float] = Counter()
        self._waiters: list[asyncio.Future[Roster]] = []
        # Those who wait for the answer to the question under way; None while there is none.
        self._request_waiters: list[asyncio.Future[Roster]] | None = None
        self._wake = asyncio.Event()
        self._requested_at = float("-inf")
        # When the newest roster was asked for, and since when an older one is not good enough.
        self._latest_requested_at = float("-inf")
        self._invalidated_at = float("-inf")
        self._poll_soon_at = float("inf")
        # When the last answer came, and how long the conductor rests behind it.
        self._received_at = float("-inf")
        self._rest_s = 0.0
        self.latest: Roster | None = None

    def add_interval(self, interval_s: float) -> None:
        """Asks for the roster at least so often, from now on."""
        self._intervals[interval_s] += 1
        self._wake.set()

    def remove_interval(self, interval_s: float) -> None:
        """Somebody who was interested is so no longer."""
        self._intervals[interval_s] -= 1
        if not self._intervals[interval_s]:
            del self._intervals[interval_s]

    def get_entry(self, job_id: str) -> RosterEntry | None:
        """What the newest roster says of a job."""
        return self.latest.entries.get(job_id) if self.latest is not None else None

    def poll_soon(self, delay_s: float = 0.0) -> None:
        """Asks within a delay, rather than when the interval has passed: once for all who call.

        Nothing happens where nobody is interested in rosters.
        """
        now = asyncio.get_running_loop().time()
        earliest = max(now + delay_s, self._requested_at + MIN_INTERVAL_S)
        self._poll_soon_at = min(self._poll_soon_at, earliest)
        self._wake.set()

    def invalidate(self) -> None:
        """What the newest roster says may be true no longer: asks at once."""
        self._invalidated_at = asyncio.get_running_loop().time()
        self.poll_soon()

    async def get(self, max_age_s: float = 0.0) -> Roster:
        """A roster that was asked for no longer ago than an age. Cancelling is safe.

        Raises:
            StateUnavailableError: nobody could be asked.
        """
        loop = asyncio.get_running_loop()
        if max_age_s:
            # While the conductor rests there is nothing newer to be had.
            max_age_s = max(max_age_s, self._rest_s)
        oldest = max(loop.time() - max_age_s, self._invalidated_at)
        if (
            self.latest is not None
            and self.latest.source != "none"
            and self._latest_requested_at >= oldest
        ):
            return self.latest
        waiter: asyncio.Future[Roster] = loop.create_future()
        if self._request_waiters is not None and self._requested_at >= oldest:
            self._request_waiters.append(waiter)
        else:
            self._waiters.append(waiter)
            self._wake.set()
        try:
            return await waiter
        finally:
            # One who gave up wants no roster any more.
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    @property
    def latest_requested_at(self) -> float:
        """When the newest answer was asked for, by the loop's clock."""
        return self._latest_requested_at

    async def run(self) -> None:
        """Asks when it is time, until cancelled; nobody is left waiting then."""
        try:
            while True:
                await self._wait_until_due()
                await self._poll()
        finally:
            fail_waiters(self._waiters, StateUnavailableError("the roster is asked for no more"))

    async def _wait_until_due(self) -> None:
        while (delay_s := self._delay_s()) > 0:
            self._wake.clear()
            try:
                async with asyncio.timeout(delay_s if delay_s != float("inf") else None):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _delay_s(self) -> float:
        """How long until the next roster is due; infinite while nobody wants one."""
        if self._waiters:
            due_at = 0.0
        elif not self._intervals:
            return float("inf")
        else:
            due_at = min(self._poll_soon_at, self._requested_at + self._poll_interval_s())
        # What is known to be out of date is asked for at once.
        rested_at = (
            self._received_at + self._rest_s if self._invalidated_at < self._requested_at else 0.0
        )
        return max(due_at, rested_at) - asyncio.get_running_loop().time()

    def _poll_interval_s(self) -> float:
        """Return the time between two rosters, in seconds."""
        roster = self.latest
        if roster is None or roster.source != "conductor":
            return min(self._intervals)
        is_active = any(entry.is_active for entry in roster.entries.values())
        return ACTIVE_INTERVAL_S if is_active else IDLE_INTERVAL_S

    async def _poll(self) -> None:
        self._poll_soon_at = float("inf")
        self._requested_at = asyncio.get_running_loop().time()
        asking = self._request_waiters = self._waiters
        self._waiters = []
        try:
            roster = self._accept(await self._backend.read_roster())
        except StateUnavailableError as error:
            known = self.latest.entries if self.latest is not None else {}
            detail = error.detail if isinstance(error, ConductorBusyError) else ""
            self._accept(
                Roster(known, source="none", live=False, detail=detail, cost_s=error.cost_s)
            )
            fail_waiters(asking, error)
        except BaseException:
            fail_waiters(asking, StateUnavailableError("the roster is asked for no more"))
            raise
        else:
            for waiter in asking:
                if not waiter.done():
                    waiter.set_result(roster)
        finally:
            self._request_waiters = None

    def _accept(self, roster: Roster) -> Roster:
        if self.latest is not None:
            roster = carry_over_entries(roster, self.latest)
        self.latest = roster
        self._latest_requested_at = self._requested_at
        self._received_at = asyncio.get_running_loop().time()
        self._rest_s = min(REST_FACTOR * roster.cost_s, MAX_REST_S)
        self._on_roster(roster)
        return roster


def fail_waiters(waiters: list["asyncio.Future[Roster]"], error: StateUnavailableError) -> None:
    """Tells those who still wait that there is nothing to wait for."""
    for waiter in waiters:
        if not waiter.done():
            waiter.set_exception(error)


def carry_over_entries(roster: Roster, previous: Roster) -> Roster:
    """Return a roster whose entries keep what an earlier one told besides.

    Counts are not told of a job that was cancelled, and of those that have not run since the
    conductor started. The end of a job is the first that was told for its run: a conductor that
    stops writes its own end over it (docs/explanation/conductor.md, point 12).
    """
    entries = {
        job_id: carry_over_fields(entry, previous.entries.get(job_id))
        for job_id, entry in roster.entries.items()
    }
    return replace(roster, entries=entries)


def carry_over_fields(entry: RosterEntry, previous: RosterEntry | None) -> RosterEntry:
    """Return an entry with what is known of the same run, and is not told any more."""
    if previous is None or not entry.is_same_run(previous):
        return entry
    if previous == entry:
        # The same object: whoever compares the two need not look any closer.
        return previous
    # One run is told some microseconds apart by conductor and registry: the first stays.
    entry = replace(entry, submitted_at=previous.submitted_at, started_at=previous.started_at)
    if entry.completed_sheets is None:
        total = entry.total_sheets if previous.total_sheets is None else previous.total_sheets
        entry = replace(entry, completed_sheets=previous.completed_sheets, total_sheets=total)
    if not entry.is_same_run_and_status(previous):
        return entry
    return replace(
        entry,
        completed_at=entry.completed_at if previous.completed_at is None else previous.completed_at,
        error_message=entry.error_message or previous.error_message,
    )
