"""Backends for tests of the jobs package and of the history."""

import asyncio
import time
from dataclasses import replace

from marianne_stream.backends.checkpoint import to_epoch_s
from marianne_stream.errors import JobNotFoundError, MarianneStreamError, StateUnavailableError
from marianne_stream.models import (
    JobState,
    Roster,
    RosterEntry,
    Sheet,
    StateSourceName,
    format_iso_time,
)


class FakeBackend:
    """Backend with one roster entry and no states, which counts its reads."""

    def __init__(self) -> None:
        self.read_count = 0
        self.is_away = False
        self.answer_event: asyncio.Event | None = None
        self.source: StateSourceName = "registry"
        self.cost_s = 0.0
        self.status = ""

    async def read_roster(self) -> Roster:
        self.read_count += 1
        await (self.answer_event.wait() if self.answer_event is not None else asyncio.sleep(0))
        if self.is_away:
            raise StateUnavailableError
        live = self.source == "conductor"
        entry = RosterEntry("a", self.status or f"{self.read_count}")
        return Roster({"a": entry}, source=self.source, live=live, cost_s=self.cost_s)

    async def read_job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        raise NotImplementedError

    async def read_checkpoint(self, job_id: str) -> bytes:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


class OneJobBackend:
    """Backend of one job, or of none while `state` is None.

    Attributes:
        state: state of the job.
        error: error of each read of the job; None if it can be read.
        job_reads: number of times that the job was read.
    """

    def __init__(self, state: JobState | None) -> None:
        self.state = state
        self.error: MarianneStreamError | None = None
        self.job_reads = 0

    def end(self, status: str, *sheets: Sheet) -> None:
        """End the job now."""
        assert self.state is not None
        completed_at = format_iso_time(time.time())
        self.state = replace(
            self.state,
            status=status,
            checkpoint_status=status,
            completed_at=completed_at,
            sheets=sheets,
        )

    async def read_roster(self) -> Roster:
        await asyncio.sleep(0)
        if self.state is None:
            return Roster({}, source="conductor", live=True)
        entry = RosterEntry(
            self.state.job_id,
            self.state.status,
            to_epoch_s(self.state.submitted_at),
            to_epoch_s(self.state.started_at),
            completed_at=to_epoch_s(self.state.completed_at),
        )
        return Roster({entry.job_id: entry}, source="conductor", live=True)

    async def read_job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        self.job_reads += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        if self.state is None:
            raise JobNotFoundError(job_id)
        return self.state

    async def read_checkpoint(self, job_id: str) -> bytes:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError
