"""Looks for stalled sheets of the watched jobs, also while nothing else happens."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from marianne_stream.errors import MarianneStreamError
from marianne_stream.jobs.hub import JobHub

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 10.0

# The log of a job with a sign of life as recent as this is not looked at.
RECENT_S = 30.0

# Returns when the log of a job was last written, in epoch seconds; None if it has none.
LogModified = Callable[[str], Awaitable[float | None]]


class StallMonitor:
    """Checks the running jobs among those that are watched.

    Args:
        hub: the watched jobs.
        log_modified: returns the time of the last write to a job's log.
    """

    def __init__(self, hub: JobHub, log_modified: LogModified) -> None:
        self._hub = hub
        self._log_modified = log_modified

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            for job_id in self._hub.running_job_ids():
                await self._check_log(job_id)
            self._hub.update_stalled()

    async def _check_log(self, job_id: str) -> None:
        progress = self._hub.roster.progress
        last = progress.get_activity(job_id)
        if last is not None and time.time() - last < RECENT_S:
            return
        try:
            modified_at = await self._log_modified(job_id)
        except MarianneStreamError as error:
            logger.debug("log not checked job=%r error=%s", job_id, error)
            return
        if modified_at is not None:
            progress.record_activity(job_id, modified_at)
