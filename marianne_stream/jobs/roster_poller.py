"""Roster poller: reads the roster once for all clients, while there are any.

A conductor is polled as often as its jobs require, for at most 1/20 of the time. Backends on disk
are polled at the shortest interval of the clients.
"""

import asyncio
from collections.abc import Callable

from marianne_stream.backends.base import Backend
from marianne_stream.common.intervals import SharedInterval
from marianne_stream.errors import ConductorBusyError, StateUnavailableError
from marianne_stream.jobs.poll_schedule import REST_FACTOR
from marianne_stream.jobs.state_merge import carry_over_entries
from marianne_stream.models import Roster, RosterEntry

# Poll interval of a conductor while a job is active, and while none is; and the same while all
# clients have relaxed intervals.
ACTIVE_INTERVAL_S = 0.1
IDLE_INTERVAL_S = 0.25
RELAXED_ACTIVE_INTERVAL_S = 1.0
RELAXED_IDLE_INTERVAL_S = 10.0

# The shortest time between two polls, also if hints request them.
MIN_INTERVAL_S = 0.1

# Limit of the rest after a slow answer.
MAX_REST_S = 30.0

RosterListener = Callable[[Roster], None]


class RosterPoller:
    """Keeps the newest roster while there are clients.

    Args:
        on_roster: called with each roster; with the last entries and source "none" after a failure.

    Attributes:
        intervals: how often the clients want a roster.
        latest: the last roster; None before the first.
        latest_requested_at: loop time of the request for it.
        read_at: loop time of the request for the last roster that was read.
        read_before_at: the same for the roster that was read before it.
    """

    def __init__(self, backend: Backend, *, on_roster: RosterListener) -> None:
        self._backend = backend
        self._on_roster = on_roster
        self._waiters: list[asyncio.Future[Roster]] = []
        # Futures that wait for the current read; None if there is none.
        self._request_waiters: list[asyncio.Future[Roster]] | None = None
        self._wake = asyncio.Event()
        self.intervals = SharedInterval(self._wake.set)
        self._requested_at = float("-inf")
        self.latest_requested_at = float("-inf")
        self.read_at = self.read_before_at = float("-inf")
        self._invalidated_at = float("-inf")
        self._poll_soon_at = float("inf")
        # Loop time of the last answer, and the rest of the conductor after it.
        self._received_at = float("-inf")
        self._rest_s = 0.0
        self.latest: Roster | None = None

    @property
    def has_active_jobs(self) -> bool:
        """True if a job of the newest roster runs or is about to."""
        entries = self.latest.entries.values() if self.latest is not None else ()
        return any(entry.is_active for entry in entries)

    def get_entry(self, job_id: str) -> RosterEntry | None:
        """Return a job's entry in the newest roster."""
        return self.latest.entries.get(job_id) if self.latest is not None else None

    def poll_soon(self, delay_s: float = 0.0) -> None:
        """Poll within a delay instead of after the interval; concurrent calls share one poll.

        Does nothing without clients.
        """
        now = asyncio.get_running_loop().time()
        earliest = max(now + delay_s, self._requested_at + MIN_INTERVAL_S)
        self._poll_soon_at = min(self._poll_soon_at, earliest)
        self._wake.set()

    def invalidate(self) -> None:
        """Poll at once: the newest roster may be out of date."""
        self._invalidated_at = asyncio.get_running_loop().time()
        self.poll_soon()

    async def get(self, max_age_s: float = 0.0) -> Roster:
        """Return a roster that was requested at most `max_age_s` ago. Cancelling is safe.

        Raises:
            StateUnavailableError: the backend cannot be read.
        """
        loop = asyncio.get_running_loop()
        if max_age_s:
            # While the conductor rests, there is no newer roster.
            max_age_s = max(max_age_s, self._rest_s)
        oldest = max(loop.time() - max_age_s, self._invalidated_at)
        if (
            self.latest is not None
            and self.latest.source != "none"
            and self.latest_requested_at >= oldest
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
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    async def run(self) -> None:
        """Poll when due, until cancelled; waiting calls of `get` fail then."""
        try:
            while True:
                await self._wait_until_due()
                await self._poll()
        finally:
            fail_waiters(self._waiters, StateUnavailableError("the roster poller has stopped"))

    async def _wait_until_due(self) -> None:
        while (delay_s := self._delay_s()) > 0:
            self._wake.clear()
            try:
                async with asyncio.timeout(delay_s if delay_s != float("inf") else None):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _delay_s(self) -> float:
        """Return the time until the next poll, in seconds; infinite without clients."""
        shortest_s = self.intervals.shortest_s()
        if self._waiters:
            due_at = 0.0
        elif shortest_s is None:
            return float("inf")
        else:
            due_at = min(self._poll_soon_at, self._requested_at + self._poll_interval_s(shortest_s))
        # An invalidated roster is requested without a rest.
        rested_at = (
            self._received_at + self._rest_s if self._invalidated_at < self._requested_at else 0.0
        )
        return max(due_at, rested_at) - asyncio.get_running_loop().time()

    def _poll_interval_s(self, shortest_s: float) -> float:
        """Return the poll interval; on disk, the shortest of the clients, in seconds."""
        roster = self.latest
        if roster is None or roster.source != "conductor":
            return shortest_s
        if self.intervals.is_relaxed:
            return RELAXED_ACTIVE_INTERVAL_S if self.has_active_jobs else RELAXED_IDLE_INTERVAL_S
        return ACTIVE_INTERVAL_S if self.has_active_jobs else IDLE_INTERVAL_S

    async def _poll(self) -> None:
        self._poll_soon_at = float("inf")
        self._requested_at = asyncio.get_running_loop().time()
        waiters = self._request_waiters = self._waiters
        self._waiters = []
        try:
            roster = self._accept(await self._backend.read_roster())
        except StateUnavailableError as error:
            known = self.latest.entries if self.latest is not None else {}
            detail = error.detail if isinstance(error, ConductorBusyError) else ""
            self._accept(
                Roster(known, source="none", live=False, detail=detail, cost_s=error.cost_s)
            )
            fail_waiters(waiters, error)
        except BaseException:
            fail_waiters(waiters, StateUnavailableError("the roster poller has stopped"))
            raise
        else:
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(roster)
        finally:
            self._request_waiters = None

    def _accept(self, roster: Roster) -> Roster:
        if self.latest is not None:
            roster = carry_over_entries(roster, self.latest)
        self.latest = roster
        self.latest_requested_at = self._requested_at
        if roster.source != "none":
            self.read_before_at, self.read_at = self.read_at, self._requested_at
        self._received_at = asyncio.get_running_loop().time()
        self._rest_s = min(REST_FACTOR * roster.cost_s, MAX_REST_S)
        self._on_roster(roster)
        return roster


def fail_waiters(waiters: list["asyncio.Future[Roster]"], error: StateUnavailableError) -> None:
    """Fail the futures that still wait."""
    for waiter in waiters:
        if not waiter.done():
            waiter.set_exception(error)
