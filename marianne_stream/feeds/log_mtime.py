"""Time of the last write to a job's log."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from marianne_stream.errors import LogNotFoundError
from marianne_stream.feeds.log_locator import FileLogLocator, JobDirs, iter_job_candidates
from marianne_stream.logs.rotation import LogFileSet


def make_log_mtime_reader(locator: FileLogLocator) -> Callable[[str], Awaitable[float | None]]:
    """Return the function that returns when a job's own log was last written, in epoch seconds.

    It returns None for a job without a log, and raises OSError and the other errors of the locator.
    A job that runs has its workspace, so its snapshot in the registry is not looked for.
    """

    async def read_log_mtime(job_id: str) -> float | None:
        dirs = await locator.find_dirs(job_id)
        return await locator.threads.for_job(job_id).read(stat_log, dirs)

    return read_log_mtime


def stat_log(dirs: JobDirs) -> float | None:
    """Return when the first log that exists was last written; None if none exists."""
    for candidate in iter_job_candidates(dirs):
        with suppress(LogNotFoundError):
            return LogFileSet(candidate.log_path).open_current().stat().st_mtime
    return None
