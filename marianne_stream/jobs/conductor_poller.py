"""Conductor poller: reads information about the conductors, while clients want it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from marianne_stream.common.task_set import cancel_and_wait
from marianne_stream.conductor_models import ConductorInfo
from marianne_stream.errors import NoConductorError, StateUnavailableError

logger = logging.getLogger(__name__)

# Least time between two reads, and between two events.
READ_INTERVAL_S = 10.0

# Least time between two reads for requests while no conductor answers.
RETRY_INTERVAL_S = 1.0

# Longest time that a new stream, or a scrape of the metrics, waits for a read.
REFRESH_TIMEOUT_S = 1.0

# Age at which information is no longer given in metrics: the conductor does not answer.
MAX_AGE_S = 2 * READ_INTERVAL_S

Infos = Mapping[str, ConductorInfo]

# Returns information about each conductor, by the prefix of its jobs' ids.
ReadConductors = Callable[[], Awaitable[Infos]]


class ConductorPoller:
    """Keeps information about the conductors.

    Args:
        read: reads all conductors; None if this server reads none.
        on_read: called after each read, also if it failed.

    Attributes:
        infos: what was read last, by the prefix of the jobs' ids; empty after a failure.
    """

    def __init__(self, read: ReadConductors | None, on_read: Callable[[], None]) -> None:
        self._read = read
        self._on_read = on_read
        self._users = 0
        self._wake = asyncio.Event()
        # The read that is under way, for all who wait for it.
        self._reading: asyncio.Task[None] | None = None
        self._attempted_at = float("-inf")
        self._read_at = float("-inf")
        self._error: StateUnavailableError | None = None
        self.infos: Infos = {}

    def add_user(self) -> None:
        """Read at intervals from now on, until `remove_user`."""
        self._users += 1
        self._wake.set()

    def remove_user(self) -> None:
        """Read no longer for a user."""
        self._users -= 1

    def invalidate(self) -> None:
        """Read at once if there are users: another conductor may answer now, or none."""
        self._attempted_at = float("-inf")
        self._wake.set()

    async def run(self) -> None:
        """Read while there are users, until cancelled."""
        if self._read is None:
            return
        try:
            while True:
                self._wake.clear()
                try:
                    async with asyncio.timeout(self._due_in_s() if self._users else None):
                        await self._wake.wait()
                except TimeoutError:
                    await self._try_get()
        finally:
            if self._reading is not None:
                await cancel_and_wait([self._reading])

    async def get(self) -> Infos:
        """Return information about the conductors, at most READ_INTERVAL_S old.

        Cancelling is safe: the read goes on for others that wait for it.

        Raises:
            NoConductorError: this server reads no conductor.
            StateUnavailableError: no conductor can be asked.
        """
        if self._read is None:
            raise NoConductorError
        reading = self._reading
        if reading is None and self._is_due():
            reading = self._reading = asyncio.create_task(
                self._update(self._read), name="conductor info"
            )
        if reading is not None:
            await asyncio.wait([reading])
            if reading.cancelled():
                raise StateUnavailableError("the conductor poller has stopped")
            reading.result()
        if self._error is not None:
            raise self._error
        return self.infos

    async def refresh(self) -> None:
        """Read the conductors unless that was tried lately, and wait for a limited time."""
        if self._read is not None and self._due_in_s() == 0:
            try:
                async with asyncio.timeout(REFRESH_TIMEOUT_S):
                    await self._try_get()
            except TimeoutError:
                logger.debug("conductor info is late")

    def get_recent(self) -> Infos:
        """Return what was read last; nothing if that was longer ago than MAX_AGE_S."""
        age_s = asyncio.get_running_loop().time() - self._read_at
        return self.infos if age_s < MAX_AGE_S else {}

    def _is_due(self) -> bool:
        """Return True if what was read last is too old for a request."""
        age_s = asyncio.get_running_loop().time() - self._attempted_at
        return age_s >= (READ_INTERVAL_S if self._error is None else RETRY_INTERVAL_S)

    async def _update(self, read: ReadConductors) -> None:
        try:
            self.infos, self._error = await read(), None
            self._read_at = asyncio.get_running_loop().time()
        except StateUnavailableError as error:
            self.infos, self._error = {}, error
        finally:
            self._reading = None
        self._attempted_at = asyncio.get_running_loop().time()
        self._on_read()

    async def _try_get(self) -> None:
        try:
            await self.get()
        except StateUnavailableError as error:
            logger.debug("conductor info not read error=%s", error)

    def _due_in_s(self) -> float:
        """Return the time until the next read."""
        due_at = self._attempted_at + READ_INTERVAL_S
        return max(0.0, due_at - asyncio.get_running_loop().time())
