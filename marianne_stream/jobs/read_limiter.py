"""Limits of state reads: one at a time, with a limited share of background reads."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

# Background reads of all watched jobs together may take 1/20 of the time, on-demand reads 1/3.
BACKGROUND_REST_FACTOR = 20.0
ON_DEMAND_REST_FACTOR = 2.0

# A background read that finds the lock taken tries again after this delay.
BUSY_RETRY_S = 0.005

# Returns the limiter of a job's group.
FindLimiter = Callable[[str], "StateReadLimiter"]


class StateReadLimiter:
    """Mutex for state reads that limits the share of background reads.

    A read that a hint or a client requires is on demand; all others are background reads. The jobs
    that share a limiter are a group. Their subscriptions for the details of the roster begin one at
    a time, under `subscribe_lock`: a client's first read does not wait for all of theirs.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self.subscribe_lock = asyncio.Lock()
        self._background_allowed_at = self._on_demand_allowed_at = 0.0

    @property
    def background_delay_s(self) -> float:
        """Time until a background read may begin, in seconds; 0 if it may begin now."""
        delay_s = max(0.0, self._background_allowed_at - asyncio.get_running_loop().time())
        return max(delay_s, BUSY_RETRY_S) if self._lock.locked() else delay_s

    @asynccontextmanager
    async def acquire(self, *, on_demand: bool) -> AsyncIterator[None]:
        """Hold the mutex, first come first served. Cancelling is safe."""
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


def make_shared_limiter() -> FindLimiter:
    """Return the lookup of one limiter that all jobs share."""
    limiter = StateReadLimiter()
    return lambda _job_id: limiter
