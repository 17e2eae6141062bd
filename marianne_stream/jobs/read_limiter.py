"""Limits of state reads: one at a time, with a limited share of background reads."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

# Background reads of all watched jobs together may take 1/20 of the time, on-demand reads 1/3.
BACKGROUND_REST_FACTOR = 20.0
ON_DEMAND_REST_FACTOR = 2.0

# While a read holds the lock, the next background read is tried after this delay.
BUSY_RETRY_S = 0.005

# Background reads that can wait are gathered for this time.
GATHER_S = 0.25

# Background reads follow each other without rest until they have taken this time together. So they
# share a connection to the conductor.
MAX_BURST_S = 0.02

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
        # Time that the background reads since the last rest have taken, in seconds.
        self._burst_s = 0.0
        # Background reads that wait for their turn, in order.
        self._waiting: dict[Callable[[], None], None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def request_turn(self, begin: Callable[[], None], *, can_wait: bool = False) -> bool:
        """Return True if a background read may begin now; otherwise call `begin` in its turn.

        Each read waits until those that were requested before have begun. One that `can_wait` is
        gathered with others.
        """
        if not can_wait and not self._waiting and self._delay_s <= 0:
            return True
        self._waiting[begin] = None
        self._schedule_turn(max(self._delay_s, GATHER_S) if can_wait else self._delay_s)
        return False

    def cancel_turn(self, begin: Callable[[], None]) -> None:
        """Forget a requested background read, if it has not begun."""
        self._waiting.pop(begin, None)

    @property
    def _delay_s(self) -> float:
        """Time until a background read may begin, in seconds; 0 if it may begin now."""
        delay_s = max(0.0, self._background_allowed_at - asyncio.get_running_loop().time())
        return max(delay_s, BUSY_RETRY_S) if self._lock.locked() else delay_s

    def _schedule_turn(self, delay_s: float) -> None:
        if not self._waiting:
            return
        loop = asyncio.get_running_loop()
        due_at = loop.time() + delay_s
        if self._timer is not None:
            if self._timer.when() <= due_at:
                return
            self._timer.cancel()
        self._timer = loop.call_at(due_at, self._grant_turn)

    def _grant_turn(self) -> None:
        """Let the first waiting read begin, if it may; the next one after it."""
        self._timer = None
        if (delay_s := self._delay_s) <= 0 and self._waiting:
            begin = next(iter(self._waiting))
            del self._waiting[begin]
            begin()
        self._schedule_turn(max(delay_s, BUSY_RETRY_S))

    @asynccontextmanager
    async def acquire(self, *, on_demand: bool) -> AsyncIterator[None]:
        """Hold the mutex, first come first served. Cancelling is safe."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            if on_demand or not self._burst_s:
                await asyncio.sleep(max(0.0, self._on_demand_allowed_at - loop.time()))
            began = loop.time()
            try:
                yield
            finally:
                now = loop.time()
                self._on_demand_allowed_at = now + ON_DEMAND_REST_FACTOR * (now - began)
                if not on_demand:
                    self._rest_after_burst(now, now - began)
        if not on_demand:
            self._schedule_turn(self._delay_s)

    def _rest_after_burst(self, now: float, took_s: float) -> None:
        """Let the next background read wait if the burst is long enough, or the last one did."""
        self._burst_s += took_s
        if self._burst_s >= MAX_BURST_S or not self._waiting:
            self._background_allowed_at = now + BACKGROUND_REST_FACTOR * self._burst_s
            self._burst_s = 0.0


def make_shared_limiter() -> FindLimiter:
    """Return the lookup of one limiter that all jobs share."""
    limiter = StateReadLimiter()
    return lambda _job_id: limiter
