"""When jobs ended, which the registry tells and the conductor's roster does not.

It must not know what else the registry holds, or who asks.
"""

import asyncio
import logging
from dataclasses import replace

from marianne_stream.errors import StateUnavailableError
from marianne_stream.models import Roster, RosterEntry
from marianne_stream.state.source import StateSource

logger = logging.getLogger(__name__)

# So long the first roster is held up for the registry.
PATIENCE_S = 0.1

# How soon the registry is read again where it did not tell all: at first, and at most.
FIRST_AGAIN_S = 2.0
AGAIN_LIMIT_S = 60.0


class Ends:
    """Remembers when jobs ended, and reads the registry for those that it does not know yet.

    A job that has just ended has it read at once, and its end is told with the next roster: none
    but the first is held up. One of which the registry does not tell has it read again, after a
    delay that doubles.

    Args:
        registry: the source whose roster tells the ends.
    """

    def __init__(self, registry: StateSource) -> None:
        self._registry = registry
        # What the registry says of jobs that are over; also where it has no time for their end.
        self._known: dict[str, RosterEntry] = {}
        # Those that the registry did not tell of when it was last read.
        self._missed: frozenset[RosterEntry] = frozenset()
        self._reading: asyncio.Task[None] | None = None
        self._again_at = 0.0
        self._delay_s = FIRST_AGAIN_S

    async def told(self, roster: Roster) -> Roster:
        """A roster with the ends that are known. Never fails; cancelling is safe."""
        unknown = self._unknown(roster)
        if self._is_due(unknown):
            await self._read()
            unknown = self._unknown(roster)
        self._missed = unknown
        # Others have run again, or are listed no more.
        self._known = {
            entry.job_id: known
            for entry in roster.entries.values()
            if (known := self._of(entry)) is not None
        }
        ends = {
            job_id: replace(roster.entries[job_id], completed_at=known.completed_at)
            for job_id, known in self._known.items()
        }
        return replace(roster, entries={**roster.entries, **ends})

    async def close(self) -> None:
        """Ends a read that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait((self._reading,))

    def _of(self, entry: RosterEntry) -> RosterEntry | None:
        """What the registry has said of the run that an entry tells the end of."""
        known = self._known.get(entry.job_id)
        return known if known is not None and entry.says_the_same(known) else None

    def _unknown(self, roster: Roster) -> frozenset[RosterEntry]:
        over = (entry for entry in roster.entries.values() if entry.terminal)
        return frozenset(entry for entry in over if self._of(entry) is None)

    def _is_due(self, unknown: frozenset[RosterEntry]) -> bool:
        """Whether the registry is to be read for these."""
        if not unknown or (self._reading is not None and not self._reading.done()):
            return False
        if not unknown <= self._missed:
            self._delay_s = FIRST_AGAIN_S
            return True
        return asyncio.get_running_loop().time() >= self._again_at

    async def _read(self) -> None:
        """Has the registry read; where nothing has been read before, waits for it a moment."""
        is_first = self._reading is None
        self._again_at = asyncio.get_running_loop().time() + self._delay_s
        self._delay_s = min(AGAIN_LIMIT_S, 2 * self._delay_s)
        self._reading = asyncio.create_task(self._learn(), name="ends of jobs")
        self._reading.add_done_callback(report)
        if is_first:
            # One who asks once is to be told of all that ended before.
            await asyncio.wait((self._reading,), timeout=PATIENCE_S)

    async def _learn(self) -> None:
        try:
            roster = await self._registry.roster()
        except StateUnavailableError as error:
            logger.debug("when jobs ended is not known: %s", error)
            return
        over = {entry.job_id: entry for entry in roster.entries.values() if entry.terminal}
        self._known.update(over)


def report(reading: asyncio.Task[None]) -> None:
    """Says what a read has failed with that no read should fail with."""
    error = None if reading.cancelled() else reading.exception()
    if error is not None:
        logger.error("reading when jobs ended has failed", exc_info=error)
