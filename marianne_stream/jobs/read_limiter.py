"""Whose look is next: one at a time for all watched jobs, and those that nothing asked for wait.

It must not know what a look is.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

# Looks that nothing asked for may take a twentieth of the time, all watched jobs together; those
# that something asked for a third.
BACKGROUND_REST_FACTOR = 20.0
ON_DEMAND_REST_FACTOR = 2.0

# While somebody else is looking, one that can wait asks again so much later.
BUSY_RETRY_S = 0.005


class StateReadLimiter:
    """Lets one look at a time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._background_allowed_at = self._on_demand_allowed_at = 0.0

    @property
    def background_delay_s(self) -> float:
        """How long a look that nothing asked for has still to wait; 0 when it may begin."""
        delay_s = max(0.0, self._background_allowed_at - asyncio.get_running_loop().time())
        return max(delay_s, BUSY_RETRY_S) if self._lock.locked() else delay_s

    @asynccontextmanager
    async def acquire(self, *, on_demand: bool) -> AsyncIterator[None]:
        """Waits for a turn, first come first served, and has it. Cancelling is safe.

        Args:
            on_demand: whether a hint or a viewer asked for the look.
        """
        loop = asyncio.get_running_loop()
        async with self._lock:
            await asyncio.sleep(max(0.0, self._on_demand_allowed_at - loop.time()))
            began = loop.time()
            try:
                yield
            finally:
                now = loop.time()
                self._on_demand_allowed_at = now + ON_DEMAND_REST_FACTOR * (now - began)
                if not on_demand:
                    self._background_allowed_at = now + BACKGROUND_REST_FACTOR * (now - began)


class JobGroups(Protocol):
    """How jobs share what there is of reading: those of one group wait for each other only."""

    def read_limiter(self, job_id: str, /) -> StateReadLimiter:
        """Return the turns of a job's group."""
        ...

    def group_name(self, job_id: str, /) -> str:
        """Return the name of a job's group."""
        ...


class SingleJobGroup:
    """All jobs are one group."""

    def __init__(self) -> None:
        self._read_limiter = StateReadLimiter()

    def read_limiter(self, _job_id: str, /) -> StateReadLimiter:
        """Return the same turns for all jobs."""
        return self._read_limiter

    def group_name(self, _job_id: str, /) -> str:
        """Return the same group for all jobs."""
        return ""
