"""Time of the last write to a job's log."""

from collections.abc import Awaitable, Callable

from marianne_stream.errors import LogNotFoundError
from marianne_stream.feeds.log_locator import FileLogLocator


def make_log_mtime_reader(locator: FileLogLocator) -> Callable[[str], Awaitable[float | None]]:
    """Return the function that returns when a job's own log was last written, in epoch seconds.

    It returns None for a job without a log, and raises OSError and the other errors of the locator.
    """

    async def read_log_mtime(job_id: str) -> float | None:
        dirs = await locator.find_dirs(job_id)
        try:
            handle = await locator.find_log(job_id, dirs, "job")
            file = await handle.open_current()
        except LogNotFoundError:
            return None
        return (await handle.threads.read(file.stat)).st_mtime

    return read_log_mtime
