"""The conductor while it answers, else what is on disk. It must not know who asks."""

import logging
from dataclasses import replace

from marianne_stream.backends.base import Backend
from marianne_stream.backends.roster_enricher import RosterEnricher
from marianne_stream.errors import (
    ConductorBusyError,
    ConductorProtocolError,
    CorruptStateError,
    JobNotFoundError,
    StateUnavailableError,
)
from marianne_stream.models import JobState, Roster, RosterEntry

logger = logging.getLogger(__name__)


# Of so many jobs the last fault is remembered, so that it is said once.
MAX_REPORTED_JOBS = 1000


class FallbackBackend:
    """Asks one source, and another while the first cannot be asked.

    Args:
        primary: the conductor.
        fallback: the registry.
    """

    def __init__(self, primary: Backend, fallback: Backend) -> None:
        self._primary = primary
        self._fallback = fallback
        self._roster_enricher = RosterEnricher(fallback)
        # Where state came from when the log was last told.
        self._reported_source = "conductor"
        self._reported_job_errors: dict[str, str] = {}

    async def read_roster(self) -> Roster:
        """Read the conductor's roster, completed by the registry, else the registry's."""
        try:
            roster = await self._primary.read_roster()
        except StateUnavailableError as error:
            return await self._read_fallback_roster(error)
        self._log_source_change("conductor", "the conductor answers again", logging.INFO)
        return await self._roster_enricher.enrich(roster)

    async def read_job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        """The conductor's word, else the registry's.

        A job is gone when the conductor says so and the registry, where it can be read, has no row
        for it; while the conductor cannot be asked, a missing row proves nothing.
        """
        try:
            return await self._add_registry_end(await self._primary.read_job(job_id, entry), entry)
        except StateUnavailableError as error:
            self._log_job_fallback(job_id, error)
            try:
                return await self._fallback.read_job(job_id, entry)
            except JobNotFoundError as second:
                raise StateUnavailableError(
                    f"{error}; {second}",
                    detail="The conductor is away, and its registry does not know this job.",
                ) from second
            except StateUnavailableError as second:
                raise StateUnavailableError(f"{error}; {second}") from second
        except JobNotFoundError as gone:
            try:
                return await self._fallback.read_job(job_id, entry)
            except CorruptStateError:
                # There is a row, whatever it says.
                raise
            except StateUnavailableError:
                raise gone from None

    async def close(self) -> None:
        """Closes both."""
        await self._roster_enricher.close()
        await self._primary.close()
        await self._fallback.close()

    async def _read_fallback_roster(self, error: StateUnavailableError) -> Roster:
        try:
            roster = await self._fallback.read_roster()
        except StateUnavailableError as second:
            self._log_source_change("none", f"no state can be read: {error}; {second}")
            if isinstance(error, ConductorBusyError):
                raise error from second
            unavailable = StateUnavailableError(f"{error}; {second}")
            unavailable.cost_s = error.cost_s
            raise unavailable from second
        self._log_source_change(
            "registry", f"reading the registry, the conductor cannot be asked: {error}"
        )
        # That it is away is what `live` says; that it waits for a slot needs a word.
        detail = error.detail if isinstance(error, ConductorBusyError) else ""
        return replace(roster, detail=detail, cost_s=error.cost_s)

    async def _add_registry_end(self, state: JobState, entry: RosterEntry | None) -> JobState:
        """Return the conductor's state with what only the registry tells of a job that has ended.

        It is read if the checkpoint does not say when the job ended, or why it failed: the job was
        cancelled, or a crash ended it.
        """
        explained = state.completed_at and (state.status != "failed" or state.error_message)
        if not state.is_terminal or explained:
            return state
        try:
            known = await self._fallback.read_job(state.job_id, entry)
        except (JobNotFoundError, StateUnavailableError) as error:
            logger.debug("the registry does not explain the end of %r: %s", state.job_id, error)
            return state
        if known.run != state.run or known.status != state.status:
            return state
        return replace(
            state,
            completed_at=state.completed_at or known.completed_at,
            error_message=state.error_message or known.error_message,
        )

    def _log_job_fallback(self, job_id: str, error: StateUnavailableError) -> None:
        """Says why one job cannot be read, once; that nobody is there, the roster has said."""
        if isinstance(error, ConductorProtocolError) and self._reported_job_errors.get(
            job_id
        ) != str(error):
            logger.warning("reading job %r from the registry: %s", job_id, error)
            if len(self._reported_job_errors) >= MAX_REPORTED_JOBS:
                self._reported_job_errors.clear()
            self._reported_job_errors[job_id] = str(error)

    def _log_source_change(self, source: str, message: str, level: int = logging.WARNING) -> None:
        """Says where state comes from now, once for each change."""
        if source != self._reported_source:
            logger.log(level, "%s", message)
        self._reported_source = source
