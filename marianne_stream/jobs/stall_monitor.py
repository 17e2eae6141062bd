"""Looks for stalled sheets of the watched jobs, also while nothing else happens."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from marianne_stream.common.task_set import KeyedTasks
from marianne_stream.errors import MarianneStreamError
from marianne_stream.jobs.hub import JobHub

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 10.0

# The log of a job with a sign of life as recent as this is not looked at.
RECENT_S = 30.0

# Time to wait for one log. A file system that does not answer must not delay the other jobs.
LOG_TIMEOUT_S = 2.0

# Limit of the logs that are waited for: each of them holds a thread for reading logs.
MAX_HANGING_LOGS = 2

# Returns the time of the last write to a job's log, in epoch seconds; None if it has none.
ReadLogMtime = Callable[[str], Awaitable[float | None]]


class StallMonitor:
    """Checks the running jobs among those that are watched.

    Args:
        hub: the watched jobs.
        read_log_mtime: returns the time of the last write to a job's log.
    """

    def __init__(self, hub: JobHub, read_log_mtime: ReadLogMtime) -> None:
        self._hub = hub
        self._read_log_mtime = read_log_mtime
        # Checks of logs, also those that were not waited for to their end.
        self._log_checks: KeyedTasks[str] = KeyedTasks()

    async def run(self) -> None:
        """Check until cancelled."""
        try:
            while True:
                await asyncio.sleep(CHECK_INTERVAL_S)
                await self.check_jobs()
        finally:
            await self._log_checks.close()

    async def check_jobs(self) -> None:
        """Look at the logs of all running jobs, and tell which sheets have stalled."""
        for job_id in self._hub.running_job_ids():
            if len(self._log_checks) >= MAX_HANGING_LOGS:
                break
            if job_id not in self._log_checks and not self._has_recent_activity(job_id):
                check = self._log_checks.start(
                    job_id, self._check_log(job_id), name=f"log of {job_id!r}"
                )
                await asyncio.wait([check], timeout=LOG_TIMEOUT_S)
        self._hub.update_stalled()

    def _has_recent_activity(self, job_id: str) -> bool:
        last = self._hub.roster.progress.get_activity(job_id)
        return last is not None and time.time() - last < RECENT_S

    async def _check_log(self, job_id: str) -> None:
        try:
            modified_at = await self._read_log_mtime(job_id)
        except (MarianneStreamError, OSError) as error:
            logger.debug("log not checked job=%r error=%s", job_id, error)
            return
        if modified_at is not None:
            # A clock of another machine may be ahead.
            self._hub.roster.progress.record_activity(job_id, min(modified_at, time.time()))
