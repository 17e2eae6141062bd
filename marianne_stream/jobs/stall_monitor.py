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

# Signs of life of a job with one as recent as this are not looked for.
RECENT_S = 30.0

# Time to wait for the checks of a round. Those that take longer count in a later round.
CHECK_TIMEOUT_S = 2.0

# Limit of the logs that are checked at once: each of them holds one of the threads that read logs,
# for ever on a file system that does not answer.
MAX_LOG_CHECKS = 3

# A job without a log is not looked at again for this time.
NO_LOG_S = 120.0

# Key of the check for file events; no job has this id.
FILE_EVENTS_KEY = ""

# Returns the time of the last write to a job's log, in epoch seconds; None if it has none.
ReadLogMtime = Callable[[str], Awaitable[float | None]]


class StallMonitor:
    """Checks the running jobs among those that are watched.

    A check that takes long delays no other job. The silence of a job counts only until the last
    check of its log, so a job whose log cannot be checked does not stall.

    Args:
        hub: the watched jobs.
        read_log_mtime: returns the time of the last write to a job's log.
    """

    def __init__(self, hub: JobHub, read_log_mtime: ReadLogMtime) -> None:
        self._hub = hub
        self._read_log_mtime = read_log_mtime
        # Checks by job, also those of earlier rounds.
        self._checks: KeyedTasks[str] = KeyedTasks()
        self._log_slots = asyncio.Semaphore(MAX_LOG_CHECKS)
        # Jobs without a log, and the monotonic time until which they are not looked at.
        self._no_log_until: dict[str, float] = {}

    async def run(self) -> None:
        """Check until cancelled."""
        try:
            while True:
                await asyncio.sleep(CHECK_INTERVAL_S)
                await self.check_jobs()
        finally:
            await self._checks.close()

    async def check_jobs(self) -> None:
        """Look for signs of life of all running jobs, and tell which sheets have stalled."""
        running = self._hub.running_job_ids()
        quiet = [job_id for job_id in running if not self._has_recent_activity(job_id)]
        started = [self._start_log_check(job_id) for job_id in self._select_logs(quiet)]
        if quiet and FILE_EVENTS_KEY not in self._checks:
            body = self._hub.events.read_activity()
            started.append(self._checks.start(FILE_EVENTS_KEY, body, name="file events of jobs"))
        if started:
            await asyncio.wait(started, timeout=CHECK_TIMEOUT_S)
        self._hub.update_progress()

    def _select_logs(self, quiet: list[str]) -> list[str]:
        """Return the jobs whose log is to be checked."""
        now, known = time.monotonic(), set(quiet)
        self._no_log_until = {
            job_id: until
            for job_id, until in self._no_log_until.items()
            if until > now and job_id in known
        }
        for job_id in quiet:
            self._hub.roster.progress.expect_check(job_id)
        return [
            job_id
            for job_id in quiet
            if job_id not in self._checks and job_id not in self._no_log_until
        ]

    def _has_recent_activity(self, job_id: str) -> bool:
        last = self._hub.roster.progress.get_activity(job_id)
        return last is not None and time.time() - last < RECENT_S

    def _start_log_check(self, job_id: str) -> asyncio.Task[None]:
        return self._checks.start(job_id, self._check_log(job_id), name=f"log of {job_id!r}")

    async def _check_log(self, job_id: str) -> None:
        async with self._log_slots:
            try:
                modified_at = await self._read_log_mtime(job_id)
            except (MarianneStreamError, OSError) as error:
                logger.debug("log not checked job=%r error=%s", job_id, error)
                return
        progress = self._hub.roster.progress
        if modified_at is not None:
            # A clock of another machine may be ahead.
            progress.record_activity(job_id, min(modified_at, time.time()))
        else:
            self._no_log_until[job_id] = time.monotonic() + NO_LOG_S
        progress.record_check(job_id)
