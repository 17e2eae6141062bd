"""State as the conductor itself tells it, over its socket.

It must not know who else could be asked.
"""

import msgspec

from marianne_stream.conductor.guest import ConductorGuest
from marianne_stream.errors import ConductorProtocolError, ConductorRefusedError, JobNotFoundError
from marianne_stream.models import JobState, Roster, RosterEntry
from marianne_stream.state.checkpoint import Checkpoint, state_from, state_from_entry
from marianne_stream.wire import job_ids, jsonrpc


class ListedJob(msgspec.Struct, frozen=True):
    """An entry of `job.list`. Times are epoch seconds."""

    job_id: str
    status: str
    workspace: str | None = None
    submitted_at: float | None = None
    started_at: float | None = None
    progress_completed: int | None = None
    progress_total: int | None = None


class ConductorSource:
    """Asks a conductor.

    Args:
        guest: the connections to ask over; they are not closed with the source.
    """

    def __init__(self, guest: ConductorGuest) -> None:
        self._guest = guest

    async def roster(self) -> Roster:
        """`job.list`: at most 1,000 jobs; that one is missing proves nothing."""
        listed = await self._guest.call("job.list", None, list[ListedJob])
        entries = {
            job.job_id: RosterEntry(
                job_id=job.job_id,
                status=job.status,
                submitted_at=job.submitted_at,
                started_at=job.started_at,
                completed_sheets=job.progress_completed,
                total_sheets=job.progress_total,
                workspace=job.workspace,
            )
            for job in listed
        }
        return Roster(entries, source="conductor", live=True)

    async def job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        """`job.status`.

        A refusal means not found only where the roster does not list the job, either.
        """
        params = {"job_id": job_ids.raw(job_id), "workspace": ""}
        try:
            checkpoint = await self._guest.call("job.status", params, Checkpoint)
        except ConductorRefusedError as error:
            if error.number != jsonrpc.JOB_NOT_FOUND:
                raise
            if entry is None:
                raise JobNotFoundError(job_id) from error
            return state_from_entry(entry, source="conductor", live=True)
        if checkpoint.job_id != job_id:
            raise ConductorProtocolError(
                f"asked for job {job_id!r}, the conductor answered with {checkpoint.job_id!r}"
            )
        try:
            return state_from(checkpoint, entry, source="conductor", live=True)
        except ValueError as error:
            raise ConductorProtocolError(
                f"job {job_id!r} has a sheet without a number: {error}"
            ) from error

    async def close(self) -> None:
        """Nothing of its own is open."""
