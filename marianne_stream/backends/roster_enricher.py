"""Adds to the conductor's roster the facts that only the registry has: ends, counts and errors.

The conductor reports no counts of a job that was cancelled or has not run since the conductor
started, no job's end, and not why a crash ended a job.
"""

import asyncio
import logging
from dataclasses import replace

from marianne_stream.backends.base import Backend
from marianne_stream.common.backoff import Backoff
from marianne_stream.errors import StateUnavailableError
from marianne_stream.models import Roster, RosterEntry

logger = logging.getLogger(__name__)

# The first roster waits for the registry at most this long.
FIRST_READ_TIMEOUT_S = 0.1

# The registry is read again with backoff if it lacked facts.
FIRST_RETRY_DELAY_S = 2.0
MAX_RETRY_DELAY_S = 60.0

# A job's id, its status, and when it was submitted and started, in whole seconds.
RunKey = tuple[str, str, int, int]


class RosterEnricher:
    """Caches facts from the registry, and reads it if facts about listed jobs are missing.

    A job that has just ended triggers a read, and is completed in the next roster; only the first
    roster waits. If facts stay missing, the registry is read again with backoff.
    """

    def __init__(self, registry: Backend) -> None:
        self._registry = registry
        self._registry_entries: dict[str, RosterEntry] = {}
        # Runs about which the registry lacked facts when it was last read.
        self._unresolved: frozenset[RunKey] = frozenset()
        self._read_task: asyncio.Task[None] | None = None
        self._retry_at = 0.0
        self._backoff = Backoff(first_s=FIRST_RETRY_DELAY_S, cap_s=MAX_RETRY_DELAY_S, jitter=0.0)

    async def enrich(self, roster: Roster) -> Roster:
        """Return the roster with the known facts. Never fails; cancelling is safe."""
        unknown = self._find_unresolved(roster)
        if self._is_due(unknown):
            await self._start_read()
            unknown = self._find_unresolved(roster)
        self._unresolved = unknown
        # Drop jobs that have run again or are no longer listed.
        self._registry_entries = {
            entry.job_id: known
            for entry in roster.entries.values()
            if (known := self._find_registry_entry(entry)) is not None
        }
        completed = {
            job_id: enrich_entry(roster.entries[job_id], known)
            for job_id, known in self._registry_entries.items()
        }
        return replace(roster, entries={**roster.entries, **completed})

    async def close(self) -> None:
        """Cancel a read that is under way."""
        if self._read_task is not None:
            self._read_task.cancel()
            await asyncio.wait((self._read_task,))

    def _find_registry_entry(self, entry: RosterEntry) -> RosterEntry | None:
        """Return the registry's entry of the same run and status."""
        known = self._registry_entries.get(entry.job_id)
        return known if known is not None and entry.is_same_run_and_status(known) else None

    def _find_unresolved(self, roster: Roster) -> frozenset[RunKey]:
        incomplete = (entry for entry in roster.entries.values() if is_incomplete(entry))
        return frozenset(
            make_run_key(entry) for entry in incomplete if self._find_registry_entry(entry) is None
        )

    def _is_due(self, unresolved: frozenset[RunKey]) -> bool:
        """Return True if the registry is to be read for these runs."""
        if not unresolved or (self._read_task is not None and not self._read_task.done()):
            return False
        if not unresolved <= self._unresolved:
            self._backoff.reset()
            return True
        return asyncio.get_running_loop().time() >= self._retry_at

    async def _start_read(self) -> None:
        """Start to read the registry; the first time, wait for it a moment."""
        is_first = self._read_task is None
        self._retry_at = asyncio.get_running_loop().time() + self._backoff.next_delay_s()
        self._read_task = asyncio.create_task(self._read_registry(), name="registry facts")
        self._read_task.add_done_callback(log_read_failure)
        if is_first:
            # A client that requests the roster once needs all earlier ends.
            await asyncio.wait((self._read_task,), timeout=FIRST_READ_TIMEOUT_S)

    async def _read_registry(self) -> None:
        try:
            roster = await self._registry.read_roster()
        except StateUnavailableError as error:
            logger.debug("registry not read error=%s", error)
            return
        self._registry_entries.update(
            (entry.job_id, entry)
            for entry in roster.entries.values()
            if entry.completed_at is not None or entry.completed_sheets is not None
        )


def make_run_key(entry: RosterEntry) -> RunKey:
    """Return the key of a run; its times differ by microseconds between rosters."""
    return entry.job_id, entry.status, round(entry.submitted_at or 0), round(entry.started_at or 0)


def is_incomplete(entry: RosterEntry) -> bool:
    """Return True if the conductor's entry may lack facts that the registry has.

    A running job has its own counts, which change.
    """
    return entry.is_terminal or (not entry.is_active and entry.completed_sheets is None)


def enrich_entry(entry: RosterEntry, registry_entry: RosterEntry) -> RosterEntry:
    """Return the conductor's entry with the facts of the registry's."""
    if entry.completed_sheets is None:
        entry = replace(
            entry,
            completed_sheets=registry_entry.completed_sheets,
            total_sheets=registry_entry.total_sheets,
        )
    return replace(
        entry, completed_at=registry_entry.completed_at, error_message=registry_entry.error_message
    )


def log_read_failure(task: asyncio.Task[None]) -> None:
    """Log an unexpected exception of a read."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        logger.error("registry read failed", exc_info=error)
