"""A backend for tests of the jobs package."""

import asyncio

from marianne_stream.errors import StateUnavailableError
from marianne_stream.models import JobState, Roster, RosterEntry, StateSourceName


class Source:
    """Counts how often it is asked. It has no states, and nothing of it is slow."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False
        self.slow: asyncio.Event | None = None
        self.source: StateSourceName = "registry"
        self.cost_s = 0.0
        self.status = ""

    async def read_roster(self) -> Roster:
        self.asked += 1
        await (self.slow.wait() if self.slow is not None else asyncio.sleep(0))
        if self.away:
            raise StateUnavailableError
        live = self.source == "conductor"
        entry = RosterEntry("a", self.status or f"{self.asked}")
        return Roster({"a": entry}, source=self.source, live=live, cost_s=self.cost_s)

    async def read_job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError
