"""What the registry tells of jobs and the conductor's roster does not: ends, counts and reasons.

The conductor tells no counts of a job that was cancelled, and of those that have not run since it
started; no job's end; and not why a crash ended a job.
"""

import asyncio
import logging
from dataclasses import replace

from marianne_stream.errors import StateUnavailableError
from marianne_stream.models import Roster, RosterEntry
from marianne_stream.state.source import StateSource

logger = logging.getLogger(__name__)

# The first roster is held up for the registry for so long.
FIRST_WAIT_S = 0.1

# The registry is read again after this delay if it did not tell all; it doubles.
FIRST_AGAIN_S = 2.0
AGAIN_LIMIT_S = 60.0


# A job's id, its status, and when it was submitted and started, in whole seconds.
Run = tuple[str, str, int, int]


class RegistryFacts:
    """Remembers what the registry tells, and reads it for jobs of which it is not known yet.

    A job that has just ended has it read at once, and is completed in the next roster: none but the
    first is held up. A job of which the registry does not tell has it read again, after a delay
    that doubles.

    Args:
        registry: the source whose roster tells.
    """

    def __init__(self, registry: StateSource) -> None:
        self._registry = registry
        self._known: dict[str, RosterEntry] = {}
        # Runs that the registry did not complete when it was last read.
        self._missed: frozenset[Run] = frozenset()
        self._reading: asyncio.Task[None] | None = None
        self._again_at = 0.0
        self._delay_s = FIRST_AGAIN_S

    async def complete(self, roster: Roster) -> Roster:
        """Return a roster with what is known besides. Never fails; cancelling is safe."""
        unknown = self._unknown(roster)
        if self._is_due(unknown):
            await self._read()
            unknown = self._unknown(roster)
        self._missed = unknown
        # The rest have run again, or are listed no more.
        self._known = {
            entry.job_id: known
            for entry in roster.entries.values()
            if (known := self._of(entry)) is not None
        }
        completed = {
            job_id: completed_entry(roster.entries[job_id], known)
            for job_id, known in self._known.items()
        }
        return replace(roster, entries={**roster.entries, **completed})

    async def close(self) -> None:
        """End a read that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait((self._reading,))

    def _of(self, entry: RosterEntry) -> RosterEntry | None:
        """Return what the registry has told of the run that an entry is about."""
        known = self._known.get(entry.job_id)
        return known if known is not None and entry.says_the_same(known) else None

    def _unknown(self, roster: Roster) -> frozenset[Run]:
        incomplete = (entry for entry in roster.entries.values() if is_incomplete(entry))
        return frozenset(run_of(entry) for entry in incomplete if self._of(entry) is None)

    def _is_due(self, unknown: frozenset[Run]) -> bool:
        """Return True if the registry is to be read for these."""
        if not unknown or (self._reading is not None and not self._reading.done()):
            return False
        if not unknown <= self._missed:
            self._delay_s = FIRST_AGAIN_S
            return True
        return asyncio.get_running_loop().time() >= self._again_at

    async def _read(self) -> None:
        """Start to read the registry; the first time, wait for it a moment."""
        is_first = self._reading is None
        self._again_at = asyncio.get_running_loop().time() + self._delay_s
        self._delay_s = min(AGAIN_LIMIT_S, 2 * self._delay_s)
        self._reading = asyncio.create_task(self._learn(), name="registry facts")
        self._reading.add_done_callback(report)
        if is_first:
            # A client that asks once is to be told of all jobs that ended before.
            await asyncio.wait((self._reading,), timeout=FIRST_WAIT_S)

    async def _learn(self) -> None:
        try:
            roster = await self._registry.roster()
        except StateUnavailableError as error:
            logger.debug("the registry tells nothing: %s", error)
            return
        self._known.update(
            (entry.job_id, entry) for entry in roster.entries.values() if has_facts(entry)
        )


def run_of(entry: RosterEntry) -> Run:
    """Return what tells a run from others; its times differ by microseconds between rosters."""
    return entry.job_id, entry.status, round(entry.submitted_at or 0), round(entry.started_at or 0)


def is_incomplete(entry: RosterEntry) -> bool:
    """Return True if the conductor's entry lacks what the registry may tell.

    A job that runs has counts of its own, which change.
    """
    return entry.terminal or (not entry.active and entry.completed_sheets is None)


def has_facts(entry: RosterEntry) -> bool:
    """Return True if the registry's entry tells what the conductor's may lack."""
    return entry.completed_at is not None or entry.completed_sheets is not None


def completed_entry(entry: RosterEntry, known: RosterEntry) -> RosterEntry:
    """Return the conductor's entry with what the registry's tells besides."""
    if entry.completed_sheets is None:
        entry = replace(
            entry, completed_sheets=known.completed_sheets, total_sheets=known.total_sheets
        )
    return replace(entry, completed_at=known.completed_at, error_message=known.error_message)


def report(reading: asyncio.Task[None]) -> None:
    """Log an error that a read must not fail with."""
    error = None if reading.cancelled() else reading.exception()
    if error is not None:
        logger.error("reading the registry has failed", exc_info=error)
