"""A backend for tests of the jobs package."""

import asyncio

from marianne_stream.errors import StateUnavailableError
from marianne_stream.models import JobState, Roster, RosterEntry, StateSourceName


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
