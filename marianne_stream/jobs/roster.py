"""The roster poller: reads the roster once for all viewers, for as long as there are any.

A conductor is asked as often as what it does calls for, and never more than a twentieth of the
time; what is read from disk, at the shortest interval that a viewer asked for.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from marianne_stream.errors import ConductorBusyError, StateUnavailableError
from marianne_stream.jobs.poll_schedule import REST_FACTOR
from marianne_stream.models import Roster, RosterEntry
from marianne_stream.state.source import StateSource

# The interval at which a conductor is asked while a job is active, and while none is.
ACTIVE_INTERVAL_S = 0.1
IDLE_INTERVAL_S = 0.25

# The shortest poll interval there is, and so the least between two rosters that hints bring
# forward.
LEAST_INTERVAL_S = 0.1

# However long an answer took, the next roster is not put off for longer.
REST_CAP_S = 30.0

RosterListener = Callable[[Roster], None]


class RosterTimer:
    """Keeps the newest roster for as long as somebody is interested.

    Args:
        source: who is asked.
        on_roster: called with each answer; with the last known entries and source "none" when
            nobody could be asked.

    Attributes:
        newest: the last answer, None before the first.
    """

    def __init__(self, source: StateSource, *, on_roster: RosterListener) -> None:
        self._source = source
        self._on_roster = on_roster
        self._intervals: Counter[float] = Counter()
        self._waiters: list[asyncio.Future[Roster]] = []
        # Those who wait for the answer to the question under way; None while there is none.
        self._asking: list[asyncio.Future[Roster]] | None = None
        self._wake = asyncio.Event()
        self._asked_at = float("-inf")
        # When the newest roster was asked for, and since when an older one is not good enough.
        self._newest_at = float("-inf")
        self._expired_at = float("-inf")
        self._forward_at = float("inf")
        # When the last answer came, and how long the conductor rests behind it.
        self._answered_at = float("-inf")
        self._rest_s = 0.0
        self.newest: Roster | None = None

    def add_interest(self, interval_s: float) -> None:
        """Asks for the roster at least so often, from now on."""
        self._intervals[interval_s] += 1
        self._wake.set()

    def drop_interest(self, interval_s: float) -> None:
        """Somebody who was interested is so no longer."""
        self._intervals[interval_s] -= 1
        if not self._intervals[interval_s]:
            del self._intervals[interval_s]

    def entry(self, job_id: str) -> RosterEntry | None:
        """What the newest roster says of a job."""
        return self.newest.entries.get(job_id) if self.newest is not None else None

    def bring_forward(self, delay_s: float = 0.0) -> None:
        """Asks within a delay, rather than when the interval has passed: once for all who call.

        Nothing happens where nobody is interested in rosters.
        """
        now = asyncio.get_running_loop().time()
        earliest = max(now + delay_s, self._asked_at + LEAST_INTERVAL_S)
        self._forward_at = min(self._forward_at, earliest)
        self._wake.set()

    def expire(self) -> None:
        """What the newest roster says may be true no longer: asks at once."""
        self._expired_at = asyncio.get_running_loop().time()
        self.bring_forward()

    async def fresh(self, max_age_s: float = 0.0) -> Roster:
        """A roster that was asked for no longer ago than an age. Cancelling is safe.

        Raises:
            StateUnavailableError: nobody could be asked.
        """
        loop = asyncio.get_running_loop()
        if max_age_s:
            # While the conductor rests there is nothing newer to be had.
            max_age_s = max(max_age_s, self._rest_s)
        oldest = max(loop.time() - max_age_s, self._expired_at)
        if self.newest is not None and self.newest.source != "none" and self._newest_at >= oldest:
            return self.newest
        waiter: asyncio.Future[Roster] = loop.create_future()
        if self._asking is not None and self._asked_at >= oldest:
            self._asking.append(waiter)
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
    def newest_at(self) -> float:
        """When the newest answer was asked for, by the loop's clock."""
        return self._newest_at

    async def run(self) -> None:
        """Asks when it is time, until cancelled; nobody is left waiting then."""
        try:
            while True:
                await self._until_due()
                await self._ask()
        finally:
            fail(self._waiters, StateUnavailableError("the roster is asked for no more"))

    async def _until_due(self) -> None:
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
            due_at = min(self._forward_at, self._asked_at + self._interval_s())
        # What is known to be out of date is asked for at once.
        rested_at = self._answered_at + self._rest_s if self._expired_at < self._asked_at else 0.0
        return max(due_at, rested_at) - asyncio.get_running_loop().time()

    def _interval_s(self) -> float:
        """Return the time between two rosters, in seconds."""
        roster = self.newest
        if roster is None or roster.source != "conductor":
            return min(self._intervals)
        is_active = any(entry.active for entry in roster.entries.values())
        return ACTIVE_INTERVAL_S if is_active else IDLE_INTERVAL_S

    async def _ask(self) -> None:
        self._forward_at = float("inf")
        self._asked_at = asyncio.get_running_loop().time()
        asking = self._asking = self._waiters
        self._waiters = []
        try:
            roster = self._answer(await self._source.roster())
        except StateUnavailableError as error:
            known = self.newest.entries if self.newest is not None else {}
            detail = error.detail if isinstance(error, ConductorBusyError) else ""
            self._answer(
                Roster(known, source="none", live=False, detail=detail, cost_s=error.cost_s)
            )
            fail(asking, error)
        except BaseException:
            fail(asking, StateUnavailableError("the roster is asked for no more"))
            raise
        else:
            for waiter in asking:
                if not waiter.done():
                    waiter.set_result(roster)
        finally:
            self._asking = None

    def _answer(self, roster: Roster) -> Roster:
        if self.newest is not None:
            roster = with_all_known(roster, self.newest)
        self.newest = roster
        self._newest_at = self._asked_at
        self._answered_at = asyncio.get_running_loop().time()
        self._rest_s = min(REST_FACTOR * roster.cost_s, REST_CAP_S)
        self._on_roster(roster)
        return roster


def fail(waiters: list["asyncio.Future[Roster]"], error: StateUnavailableError) -> None:
    """Tells those who still wait that there is nothing to wait for."""
    for waiter in waiters:
        if not waiter.done():
            waiter.set_exception(error)


def with_all_known(roster: Roster, known: Roster) -> Roster:
    """Return a roster whose entries keep what an earlier one told besides.

    Counts are not told of a job that was cancelled, and of those that have not run since the
    conductor started. The end of a job is the first that was told for its run: a conductor that
    stops writes its own end over it (docs/explanation/conductor.md, point 12).
    """
    entries = {
        job_id: with_known(entry, known.entries.get(job_id))
        for job_id, entry in roster.entries.items()
    }
    return replace(roster, entries=entries)


def with_known(entry: RosterEntry, known: RosterEntry | None) -> RosterEntry:
    """Return an entry with what is known of the same run, and is not told any more."""
    if known is None or not entry.same_run(known):
        return entry
    if known == entry:
        # The same object: whoever compares the two need not look any closer.
        return known
    # One run is told some microseconds apart by conductor and registry: the first stays.
    entry = replace(entry, submitted_at=known.submitted_at, started_at=known.started_at)
    if entry.completed_sheets is None:
        total = entry.total_sheets if known.total_sheets is None else known.total_sheets
        entry = replace(entry, completed_sheets=known.completed_sheets, total_sheets=total)
    if not entry.says_the_same(known):
        return entry
    return replace(
        entry,
        completed_at=entry.completed_at if known.completed_at is None else known.completed_at,
        error_message=entry.error_message or known.error_message,
    )
