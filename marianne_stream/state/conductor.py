"""State from the conductor itself, over its socket."""

import asyncio
import logging
from dataclasses import replace
from typing import Annotated, TypeVar

import msgspec

from marianne_stream.conductor.client import ConductorClient
from marianne_stream.conductor.config import ConductorConfig
from marianne_stream.errors import ConductorProtocolError, ConductorRefusedError, JobNotFoundError
from marianne_stream.models import JobState, MonitorEvent, Roster, RosterEntry
from marianne_stream.state.checkpoint import MAX_SHEETS, Checkpoint, state_from, state_from_entry
from marianne_stream.wire import job_ids, json_text, jsonrpc

logger = logging.getLogger(__name__)

T = TypeVar("T")

Count = Annotated[int, msgspec.Meta(ge=0)]

# The conductor lists 1,000 jobs by default. An entry holds about seven commas.
MAX_ENTRIES = 5000
MAX_COMMAS = 20 * MAX_ENTRIES

# Objects in a checkpoint: a sheet holds few.
MAX_OBJECTS = 20 * MAX_SHEETS

# Entries that are decoded before other tasks run: 500 take about 1 ms, if faulty 3 ms.
BATCH_ENTRIES = 500

REPORTED_FAULTS = 3

# More than all running jobs have: the conductor keeps 200 events a job.
RECENT_EVENTS = 2000


class ListedJob(msgspec.Struct, frozen=True):
    """An entry of `job.list`. Times are epoch seconds."""

    job_id: str
    status: str
    workspace: str | None = None
    submitted_at: float | None = None
    started_at: float | None = None
    progress_completed: Count | None = None
    progress_total: Count | None = None


class RecentEvents(msgspec.Struct, frozen=True):
    """The answer of `daemon.observer_events`."""

    events: list[msgspec.Raw]


class RecentEvent(msgspec.Struct, frozen=True):
    """The fields of an event that decide where it goes."""

    job_id: str
    event: str
    timestamp: float = 0.0


class ConductorSource:
    """Reads the conductor's jobs.

    Args:
        client: asks the conductor; it is not closed with the source.
        config: kept up to date with each roster.
    """

    def __init__(self, client: ConductorClient, config: ConductorConfig) -> None:
        self._client = client
        self._config = config
        # What was last logged of entries that cannot be decoded.
        self._reported = ""

    async def roster(self) -> Roster:
        """Ask for `job.list`: at most 1,000 jobs, so a missing one proves nothing.

        An entry that cannot be decoded is left out, and logged once. An error of an answer that
        cannot be used says how long it took.
        """
        began = asyncio.get_running_loop().time()
        try:
            return await self._roster()
        except ConductorProtocolError as error:
            # An error of its own: the frames of this one hold the answer, of up to 16 MiB.
            unusable = ConductorProtocolError(str(error))
        unusable.cost_s = asyncio.get_running_loop().time() - began
        raise unusable

    async def _roster(self) -> Roster:
        answer = await self._client.ask("job.list", None, msgspec.Raw)
        await self._config.update()
        entries = await self._entries(answer.result)
        return Roster(entries, source="conductor", live=True, cost_s=answer.took_s)

    async def job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        """Ask for `job.status`.

        A refusal means "not found" only if the roster does not list the job, either.
        """
        try:
            return await self._job(job_id, entry)
        except ConductorProtocolError as error:
            # An error of its own: the frames of this one hold the answer, of up to 16 MiB.
            unusable = str(error)
        raise ConductorProtocolError(unusable)

    async def _job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        params = {"job_id": job_ids.raw(job_id), "workspace": ""}
        try:
            answer = await self._client.ask("job.status", params, msgspec.Raw)
        except ConductorRefusedError as error:
            if error.number != jsonrpc.JOB_NOT_FOUND:
                raise
            if entry is None:
                raise JobNotFoundError(job_id) from error
            return state_from_entry(entry, source="conductor", live=True)
        checkpoint = decoded(
            bounded(answer.result, MAX_OBJECTS, b"{", f"job.status of {job_id!r}"), Checkpoint
        )
        if checkpoint.job_id != job_id:
            raise ConductorProtocolError(
                f"asked for job {job_id!r}, the conductor answered with {checkpoint.job_id!r}"
            )
        try:
            state = state_from(checkpoint, entry, source="conductor", live=True)
        except ValueError as error:
            raise ConductorProtocolError(
                f"job {job_id!r} has a sheet without a number: {error}"
            ) from error
        return replace(state, cost_s=answer.took_s)

    async def recent_events(self) -> list[tuple[float, MonitorEvent]]:
        """Ask for `daemon.observer_events` of all running jobs.

        Returns:
            events with their times in epoch seconds, oldest first.

        Raises:
            ConductorUnavailableError: the conductor cannot be asked, or does not have the method.
        """
        params = {"limit": RECENT_EVENTS}
        answer = await self._client.ask("daemon.observer_events", params, msgspec.Raw)
        what = "daemon.observer_events"
        recent = decoded(bounded(answer.result, MAX_COMMAS, b",", what), RecentEvents)
        found = []
        for raw in recent.events[RECENT_EVENTS - 1 :: -1]:
            try:
                event = json_text.decode(raw, RecentEvent)
            except ValueError as error:
                logger.debug("skipped an event of the observer: %s", error)
                continue
            found.append((event.timestamp, MonitorEvent(event.job_id, event.event, bytes(raw))))
        return found

    async def close(self) -> None:
        """Do nothing: the source holds nothing open."""

    async def _entries(self, raw: msgspec.Raw) -> dict[str, RosterEntry]:
        listed = decoded(bounded(raw, MAX_COMMAS, b",", "job.list"), list[msgspec.Raw])
        entries = {}
        faults: list[str] = []
        faulty = max(0, len(listed) - MAX_ENTRIES)
        for number, each in enumerate(listed[:MAX_ENTRIES]):
            if number % BATCH_ENTRIES == BATCH_ENTRIES - 1:
                await asyncio.sleep(0)
            try:
                job = json_text.decode(each, ListedJob)
            except ValueError as error:
                faulty += 1
                if len(faults) < REPORTED_FAULTS:
                    faults.append(f"{bytes(each)[:80]!r}: {error}")
            else:
                entries[job.job_id] = entry_of(job)
        self._report(faulty, faults)
        return entries

    def _report(self, count: int, faults: list[str]) -> None:
        """Log which entries are left out, once for as long as they are the same."""
        message = f"{count}, among them {'; '.join(faults)}" if count else ""
        if message and message != self._reported:
            logger.warning("left out of the roster, entries that cannot be used: %s", message)
        self._reported = message


def bounded(raw: msgspec.Raw, most: int, mark: bytes, what: str) -> bytes:
    """Return an answer, unless it has so many values that decoding them takes long.

    Args:
        raw: the answer.
        most: how often a byte may stand in it.
        mark: the byte.
        what: the answer, for the error.

    Raises:
        ConductorProtocolError: it has.
    """
    data = bytes(raw)
    if (found := data.count(mark)) > most:
        raise ConductorProtocolError(
            f"{what} has {found} {mark.decode()!r}, at most {most} allowed"
        )
    return data


def decoded(data: bytes, kind: type[T]) -> T:
    """Decode an answer.

    Raises:
        ConductorProtocolError: it has another shape.
    """
    try:
        return json_text.decode(data, kind)
    except ValueError as error:
        raise ConductorProtocolError(f"the conductor answered in another shape: {error}") from error


def entry_of(job: ListedJob) -> RosterEntry:
    """Convert an entry of `job.list`."""
    return RosterEntry(
        job_id=job.job_id,
        status=job.status,
        submitted_at=job.submitted_at,
        started_at=job.started_at,
        completed_sheets=job.progress_completed,
        total_sheets=job.progress_total,
        workspace=job.workspace,
    )
