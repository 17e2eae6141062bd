"""What the registry tells of jobs and the conductor's roster does not: ends, counts and reasons.

The conductor tells no counts of a job that was cancelled, and of those that have not run since it
started; no job's end; and not why a crash ended a job.
"""

import asyncio
import logging
from dataclasses import replace

from marianne_stream.backends.base import Backend
from marianne_stream.errors import StateUnavailableError
from marianne_stream.models import Roster, RosterEntry

logger = logging.getLogger(__name__)

# The first roster is held up for the registry for so long.
FIRST_READ_TIMEOUT_S = 0.1

# The registry is read again after this delay if it did not tell all; it doubles.
FIRST_RETRY_DELAY_S = 2.0
MAX_RETRY_DELAY_S = 60.0


# A job's id, its status, and when it was submitted and started, in whole seconds.
RunKey = tuple[str, str, int, int]


class RosterEnricher:
    """Remembers what the registry tells, and reads it for jobs of which it is not known yet.

    A job that has just ended has it read at once, and is completed in the next roster: none but the
    first is held up. A job of which the registry does not tell has it read again, after a delay
    that doubles.

    Args:
        registry: the source whose roster tells.
    """

    def __init__(self, registry: Backend) -> None:
        self._registry = registry
        self._registry_entries: dict[str, RosterEntry] = {}
        # Runs that the registry did not complete when it was last read.
        self._unresolved: frozenset[RunKey] = frozenset()
        self._read_task: asyncio.Task[None] | None = None
        self._retry_at = 0.0
        self._retry_delay_s = FIRST_RETRY_DELAY_S

    async def enrich(self, roster: Roster) -> Roster:
        """Return a roster with what is known besides. Never fails; cancelling is safe."""
        unknown = self._find_unresolved(roster)
        if self._is_due(unknown):
            await self._start_read()
            unknown = self._find_unresolved(roster)
        self._unresolved = unknown
        # The rest have run again, or are listed no more.
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
        """End a read that is under way."""
        if self._read_task is not None:
            self._read_task.cancel()
            await asyncio.wait((self._read_task,))

    def _find_registry_entry(self, entry: RosterEntry) -> RosterEntry | None:
        """Return what the registry has told of the run that an entry is about."""
        known = self._registry_entries.get(entry.job_id)
        return known if known is not None and entry.is_same_run_and_status(known) else None

    def _find_unresolved(self, roster: Roster) -> frozenset[RunKey]:
        incomplete = (entry for entry in roster.entries.values() if is_incomplete(entry))
        return frozenset(
            make_run_key(entry) for entry in incomplete if self._find_registry_entry(entry) is None
        )

    def _is_due(self, unresolved: frozenset[RunKey]) -> bool:
        """Return True if the registry is to be read for these."""
        if not unresolved or (self._read_task is not None and not self._read_task.done()):
            return False
        if not unresolved <= self._unresolved:
            self._retry_delay_s = FIRST_RETRY_DELAY_S
            return True
        return asyncio.get_running_loop().time() >= self._retry_at

    async def _start_read(self) -> None:
        """Start to read the registry; the first time, wait for it a moment."""
        is_first = self._read_task is None
        self._retry_at = asyncio.get_running_loop().time() + self._retry_delay_s
        self._retry_delay_s = min(MAX_RETRY_DELAY_S, 2 * self._retry_delay_s)
        self._read_task = asyncio.create_task(self._read_registry(), name="registry facts")
        self._read_task.add_done_callback(log_read_failure)
        if is_first:
            # A client that asks once is to be told of all jobs that ended before.
            await asyncio.wait((self._read_task,), timeout=FIRST_READ_TIMEOUT_S)

    async def _read_registry(self) -> None:
        try:
            roster = await self._registry.read_roster()
        except StateUnavailableError as error:
            logger.debug("the registry tells nothing: %s", error)
            return
        self._registry_entries.update(
            (entry.job_id, entry) for entry in roster.entries.values() if is_informative(entry)
        )


def make_run_key(entry: RosterEntry) -> RunKey:
    """Return what tells a run from others; its times differ by microseconds between rosters."""
    return entry.job_id, entry.status, round(entry.submitted_at or 0), round(entry.started_at or 0)


def is_incomplete(entry: RosterEntry) -> bool:
    """Return True if the conductor's entry lacks what the registry may tell.

    A job that runs has counts of its own, which change.
    """
    return entry.is_terminal or (not entry.is_active and entry.completed_sheets is None)


def is_informative(entry: RosterEntry) -> bool:
    """Return True if the registry's entry tells what the conductor's may lack."""
    return entry.completed_at is not None or entry.completed_sheets is not None


def enrich_entry(entry: RosterEntry, registry_entry: RosterEntry) -> RosterEntry:
    """Return the conductor's entry with what the registry's tells besides."""
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
    """Log an error that a read must not fail with."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        logger.error("reading the registry has failed", exc_info=error)
