"""Backend for the conductor's socket."""

import asyncio
import logging
from dataclasses import replace
from typing import Annotated, TypeVar

import msgspec

from marianne_stream.backends.checkpoint import (
    MAX_SHEETS,
    Checkpoint,
    CheckpointId,
    make_state,
    make_state_from_entry,
)
from marianne_stream.backends.values import count_or_none, cut_label
from marianne_stream.common.repeated_logs import WarnOnce
from marianne_stream.conductor.client import ConductorClient, TimedResult
from marianne_stream.conductor.daemon_config import DaemonConfigCache
from marianne_stream.conductor.info import InfoReader
from marianne_stream.conductor_models import ConductorInfo, rename_event
from marianne_stream.errors import ConductorProtocolError, ConductorRpcError, JobNotFoundError
from marianne_stream.models import JobState, MonitorEvent, Roster, RosterEntry
from marianne_stream.wire import job_ids, json_text, jsonrpc

logger = logging.getLogger(__name__)

T = TypeVar("T")

Count = Annotated[int, msgspec.Meta(ge=0)]

# The conductor lists 1,000 jobs by default. An entry has about seven commas.
MAX_ENTRIES = 5000
MAX_COMMAS = 20 * MAX_ENTRIES

# Limit of the objects in a checkpoint: a sheet has few.
MAX_OBJECTS = 20 * MAX_SHEETS

# Entries decoded before other tasks run: 500 take about 1 ms, or 3 ms if invalid.
BATCH_ENTRIES = 500

MAX_REPORTED_ERRORS = 3

# More than all running jobs have: the conductor keeps 200 events for each.
MAX_OBSERVER_EVENTS = 2000


class JobListEntry(
    msgspec.Struct,
    frozen=True,
    rename={"completed_sheets": "progress_completed", "total_sheets": "progress_total"},
):
    """An entry of `job.list`, with the names of RosterEntry. Times are epoch seconds."""

    job_id: str
    status: str
    workspace: str | None = None
    submitted_at: float | None = None
    started_at: float | None = None
    completed_sheets: Count | None = None
    total_sheets: Count | None = None


class ObserverEventsResult(msgspec.Struct, frozen=True):
    """The result of `daemon.observer_events`."""

    events: list[msgspec.Raw]


class ObserverEvent(msgspec.Struct, frozen=True):
    """The fields of an event that decide its receiver."""

    job_id: str
    event: str
    timestamp: float = 0.0


class ConductorBackend:
    """Reads jobs from the conductor. The client is not closed with the backend."""

    def __init__(self, client: ConductorClient, daemon_config: DaemonConfigCache) -> None:
        self.client = client
        self.daemon_config = daemon_config
        self._invalid_entries = WarnOnce(logger)
        self._info_reader = InfoReader(client, daemon_config)

    async def read_roster(self) -> Roster:
        """Request `job.list`: at most 1,000 jobs, so a missing one proves nothing.

        Invalid entries are left out and logged once. The error of an invalid result has the
        time that the request took.
        """
        began = asyncio.get_running_loop().time()
        try:
            return await self._request_roster()
        except ConductorProtocolError as error:
            # Raise a new error: the frames of this one hold the answer of up to 16 MiB.
            unusable = ConductorProtocolError(str(error))
        unusable.cost_s = asyncio.get_running_loop().time() - began
        raise unusable

    async def _request_roster(self) -> Roster:
        answer = await self.client.call("job.list", None, msgspec.Raw)
        await self.daemon_config.refresh()
        entries = await self._decode_entries(answer.result)
        return Roster(entries, source="conductor", live=True, cost_s=answer.duration_s)

    async def read_job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        """Request `job.status`.

        An error means "not found" only if the roster does not list the job either.
        """
        try:
            return await self._request_job(job_id, entry)
        except ConductorProtocolError as error:
            # Raise a new error: the frames of this one hold the answer of up to 16 MiB.
            unusable = str(error)
        raise ConductorProtocolError(unusable)

    async def read_checkpoint(self, job_id: str) -> bytes:
        """Request `job.status`, as `Backend.read_checkpoint` does."""
        answer = await self._request_checkpoint(job_id)
        data = check_value_count(answer.result, MAX_OBJECTS, b"{", f"job.status of {job_id!r}")
        found = await asyncio.to_thread(decode_result, data, CheckpointId)
        check_job_id(job_id, found.job_id)
        return data

    async def _request_checkpoint(self, job_id: str) -> TimedResult[msgspec.Raw]:
        params = {"job_id": job_ids.unescape(job_id), "workspace": ""}
        try:
            return await self.client.call("job.status", params, msgspec.Raw)
        except ConductorRpcError as error:
            if error.rpc_code != jsonrpc.JOB_NOT_FOUND:
                raise
            raise JobNotFoundError(job_id) from error

    async def _request_job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        try:
            answer = await self._request_checkpoint(job_id)
        except JobNotFoundError:
            if entry is None:
                raise
            return make_state_from_entry(entry, source="conductor", live=True)
        checkpoint = decode_result(
            check_value_count(answer.result, MAX_OBJECTS, b"{", f"job.status of {job_id!r}"),
            Checkpoint,
        )
        check_job_id(job_id, checkpoint.job_id)
        try:
            state = make_state(checkpoint, entry, source="conductor", live=True)
        except ValueError as error:
            raise ConductorProtocolError(
                f"job {job_id!r} has a sheet with an invalid number: {error}"
            ) from error
        return replace(state, cost_s=answer.duration_s)

    async def read_recent_events(self) -> list[tuple[float, MonitorEvent]]:
        """Request `daemon.observer_events` of all running jobs.

        Return the events with their times in epoch seconds, oldest first.

        Raises:
            ConductorUnavailableError: the request failed, or the conductor lacks the method.
        """
        params = {"limit": MAX_OBSERVER_EVENTS}
        answer = await self.client.call("daemon.observer_events", params, msgspec.Raw)
        what = "daemon.observer_events"
        recent = decode_result(
            check_value_count(answer.result, MAX_COMMAS, b",", what), ObserverEventsResult
        )
        found = []
        for raw in recent.events[MAX_OBSERVER_EVENTS - 1 :: -1]:
            try:
                event = json_text.decode(raw, ObserverEvent)
            except ValueError as error:
                logger.debug("observer event skipped error=%s", error)
                continue
            received = MonitorEvent(event.job_id, rename_event(event.event), bytes(raw))
            found.append((event.timestamp, received))
        return found

    async def read_conductors(self) -> dict[str, ConductorInfo]:
        """Return information about the conductor; raise ConductorUnavailableError."""
        return {"": await self._info_reader.read()}

    async def close(self) -> None:
        """Do nothing: the backend holds nothing open."""

    async def _decode_entries(self, raw: msgspec.Raw) -> dict[str, RosterEntry]:
        listed = decode_result(
            check_value_count(raw, MAX_COMMAS, b",", "job.list"), list[msgspec.Raw]
        )
        entries = {}
        errors: list[str] = []
        invalid_count = max(0, len(listed) - MAX_ENTRIES)
        for number, each in enumerate(listed[:MAX_ENTRIES]):
            if number % BATCH_ENTRIES == BATCH_ENTRIES - 1:
                await asyncio.sleep(0)
            try:
                job = json_text.decode(each, JobListEntry)
            except ValueError as error:
                invalid_count += 1
                if len(errors) < MAX_REPORTED_ERRORS:
                    errors.append(f"{bytes(each)[:80]!r}: {error}")
            else:
                entries[job.job_id] = make_entry(job)
        if invalid_count:
            self._invalid_entries.warn(
                "roster entries skipped count=%d errors=%s", invalid_count, "; ".join(errors)
            )
        else:
            self._invalid_entries.recover()
        return entries


def make_entry(job: JobListEntry) -> RosterEntry:
    """Convert an entry of `job.list`; a count out of range is unknown."""
    fields = msgspec.structs.asdict(job)
    fields["status"] = cut_label(job.status)
    for name in ("completed_sheets", "total_sheets"):
        fields[name] = count_or_none(fields[name])
    return RosterEntry(**fields)


def check_job_id(requested: str, received: str) -> None:
    """Raise ConductorProtocolError if the conductor answered with another job."""
    if received != requested:
        raise ConductorProtocolError(
            f"requested job {requested!r}, the conductor answered with {received!r}"
        )


def check_value_count(raw: msgspec.Raw, max_count: int, marker: bytes, description: str) -> bytes:
    """Return a result as bytes, unless decoding it would take too long.

    The marker is a byte that occurs about once for each value.

    Raises:
        ConductorProtocolError: the marker occurs more often.
    """
    data = bytes(raw)
    if (found := data.count(marker)) > max_count:
        raise ConductorProtocolError(
            f"{description} has {found} {marker.decode()!r}, at most {max_count} allowed"
        )
    return data


def decode_result(data: bytes, result_type: type[T]) -> T:
    """Decode a result; raise ConductorProtocolError if it has an unexpected shape."""
    try:
        return json_text.decode(data, result_type)
    except ValueError as error:
        raise ConductorProtocolError(
            f"the conductor's result has an unexpected shape: {error}"
        ) from error
