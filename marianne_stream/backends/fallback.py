"""Backend that reads the conductor, and the registry while the conductor is away."""

import logging
from dataclasses import replace

from marianne_stream.backends.base import Backend
from marianne_stream.backends.roster_enricher import RosterEnricher
from marianne_stream.common.repeated_logs import WarnOnce
from marianne_stream.errors import (
    ConductorBusyError,
    ConductorProtocolError,
    CorruptStateError,
    JobNotFoundError,
    StateUnavailableError,
)
from marianne_stream.models import JobState, Roster, RosterEntry

logger = logging.getLogger(__name__)

# The last error of this many jobs is remembered, so that each is logged once.
MAX_REPORTED_JOBS = 1000


class FallbackBackend:
    """Reads the conductor, and the registry while the conductor cannot be read."""

    def __init__(self, primary: Backend, fallback: Backend) -> None:
        self._primary = primary
        self._fallback = fallback
        self._roster_enricher = RosterEnricher(fallback)
        self._reported_source = "conductor"
        self._job_warnings: dict[str, WarnOnce] = {}

    async def read_roster(self) -> Roster:
        """Return the conductor's roster with the registry's additions, or the registry's."""
        try:
            roster = await self._primary.read_roster()
        except StateUnavailableError as error:
            return await self._read_fallback_roster(error)
        self._log_source_change("conductor", "conductor answers", logging.INFO)
        return await self._roster_enricher.enrich(roster)

    async def read_job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        """Return the conductor's state of a job, or the registry's.

        A job is gone if the conductor says so and a readable registry has no row for it. While
        the conductor cannot be read, a missing row proves nothing.
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
                    detail="The conductor is away, and has saved no state of this job.",
                ) from second
            except StateUnavailableError as second:
                raise StateUnavailableError(f"{error}; {second}") from second
        except JobNotFoundError as not_found:
            try:
                return await self._fallback.read_job(job_id, entry)
            except CorruptStateError:
                # A damaged row is a row.
                raise
            except StateUnavailableError:
                raise not_found from None

    async def read_checkpoint(self, job_id: str) -> bytes:
        """Return the conductor's checkpoint of a job, or the registry's."""
        try:
            return await self._primary.read_checkpoint(job_id)
        except (JobNotFoundError, StateUnavailableError) as error:
            try:
                return await self._fallback.read_checkpoint(job_id)
            except (JobNotFoundError, StateUnavailableError):
                raise error from None

    async def close(self) -> None:
        """Close both backends."""
        await self._roster_enricher.close()
        await self._primary.close()
        await self._fallback.close()

    async def _read_fallback_roster(self, error: StateUnavailableError) -> Roster:
        try:
            roster = await self._fallback.read_roster()
        except StateUnavailableError as second:
            self._log_source_change("none", f"{error}; {second}")
            if isinstance(error, ConductorBusyError):
                raise error from second
            unavailable = StateUnavailableError(f"{error}; {second}")
            unavailable.cost_s = error.cost_s
            raise unavailable from second
        self._log_source_change("registry", str(error))
        # `live` says that the conductor is away; waiting for a slot needs a sentence.
        detail = error.detail if isinstance(error, ConductorBusyError) else ""
        return replace(roster, detail=detail, cost_s=error.cost_s)

    async def _add_registry_end(self, state: JobState, entry: RosterEntry | None) -> JobState:
        """Add the end time, error and hooks of a job that has ended from the registry.

        The checkpoint lacks the first two if the job was cancelled or a crash ended it, and has no
        results of hooks.
        """
        if not state.is_terminal:
            return state
        try:
            known = await self._fallback.read_job(state.job_id, entry)
        except (JobNotFoundError, StateUnavailableError) as error:
            logger.debug("registry has no end job=%r error=%s", state.job_id, error)
            return state
        if known.run != state.run or known.status != state.status:
            return state
        return replace(
            state,
            completed_at=state.completed_at or known.completed_at,
            error_message=state.error_message or known.error_message,
            hooks=state.hooks or known.hooks,
        )

    def _log_job_fallback(self, job_id: str, error: StateUnavailableError) -> None:
        """Log once why a job cannot be read. An absent conductor is logged with the roster."""
        if not isinstance(error, ConductorProtocolError):
            return
        if job_id not in self._job_warnings and len(self._job_warnings) >= MAX_REPORTED_JOBS:
            self._job_warnings.clear()
        warning = self._job_warnings.setdefault(job_id, WarnOnce(logger))
        warning.warn("job read from registry job=%r reason=%s", job_id, error)

    def _log_source_change(self, source: str, reason: str, level: int = logging.WARNING) -> None:
        """Log the source of state and the reason, once for each change."""
        if source != self._reported_source:
            logger.log(level, "state source changed source=%s reason=%s", source, reason)
        self._reported_source = source
