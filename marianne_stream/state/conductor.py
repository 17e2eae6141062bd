"""State as the conductor itself tells it, over its socket.

It must not know who else could be asked.
"""

import logging
from typing import Annotated

import msgspec

from marianne_stream.conductor.guest import ConductorGuest
from marianne_stream.conductor.pace import Pace
from marianne_stream.errors import ConductorProtocolError, ConductorRefusedError, JobNotFoundError
from marianne_stream.models import JobState, Roster, RosterEntry
from marianne_stream.state.checkpoint import Checkpoint, state_from, state_from_entry
from marianne_stream.wire import job_ids, json_text, jsonrpc

logger = logging.getLogger(__name__)

Count = Annotated[int, msgspec.Meta(ge=0)]


class ListedJob(msgspec.Struct, frozen=True):
    """An entry of `job.list`. Times are epoch seconds."""

    job_id: str
    status: str
    workspace: str | None = None
    submitted_at: float | None = None
    started_at: float | None = None
    progress_completed: Count | None = None
    progress_total: Count | None = None


class ConductorSource:
    """Asks a conductor, which is never asked again before it has had a rest.

    Args:
        guest: the connections to ask over; they are not closed with the source.
    """

    def __init__(self, guest: ConductorGuest) -> None:
        self._guest = guest
        self._list_pace = Pace()
        self._status_pace = Pace()
        # What was last said in the log of entries that cannot be read.
        self._reported = ""

    async def roster(self) -> Roster:
        """`job.list`: at most 1,000 jobs; that one is missing proves nothing.

        An entry that cannot be read is left out, and costs the others nothing.
        """
        raws = list[msgspec.Raw]
        listed = await self._guest.call("job.list", None, raws, pace=self._list_pace)
        faults: list[str] = []
        entries = {}
        for raw in listed:
            try:
                entry = entry_of(json_text.decode(raw, ListedJob))
            except ValueError as error:
                faults.append(f"{bytes(raw)[:80]!r}: {error}")
            else:
                entries[entry.job_id] = entry
        self._report("; ".join(faults))
        return Roster(entries, source="conductor", live=True)

    async def job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        """`job.status`.

        A refusal means not found only where the roster does not list the job, either.
        """
        params = {"job_id": job_ids.raw(job_id), "workspace": ""}
        try:
            checkpoint = await self._guest.call(
                "job.status", params, Checkpoint, pace=self._status_pace
            )
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

    def _report(self, faults: str) -> None:
        """Says which entries cannot be read, once for as long as they are the same."""
        if faults and faults != self._reported:
            logger.warning("left out of the roster, entries that cannot be read: %s", faults)
        self._reported = faults


def entry_of(job: ListedJob) -> RosterEntry:
    """An entry of `job.list` as everybody else has it."""
    return RosterEntry(
        job_id=job.job_id,
        status=job.status,
        submitted_at=job.submitted_at,
        started_at=job.started_at,
        completed_sheets=job.progress_completed,
        total_sheets=job.progress_total,
        workspace=job.workspace,
    )
