"""Log feeds from files, including those of logs that do not exist yet."""

from functools import partial
from typing import Protocol

from marianne_stream.errors import LogNotFoundError
from marianne_stream.feeds.feed import EmptyFeed, Feed
from marianne_stream.feeds.log_feed import (
    LogFeed,
    LogSnapshotFeed,
    open_log_feed,
    open_log_snapshot_feed,
)
from marianne_stream.feeds.log_follower import LogFollowers
from marianne_stream.feeds.log_locator import LogLocator
from marianne_stream.feeds.log_start import LogRequest
from marianne_stream.feeds.pending_log_feed import PendingLogFeed


class LogFeedProvider(Protocol):
    """Opens log feeds. Its length is the number of followed logs."""

    def __len__(self) -> int: ...

    @property
    def read_bytes(self) -> int:
        """Number of bytes of lines that followers have read."""

    async def open_feed(self, job_id: str, log_request: LogRequest) -> Feed:
        """Open a feed of a job's log. It must be closed.

        Raises:
            JobNotFoundError: the job does not exist.
            LogNotFoundError: the job has no log, and the request does not wait.
            LogForbiddenError: the log may not be read.
            StateUnavailableError: no backend could be read.
        """


class FileLogFeeds:
    """Provider of log feeds from files."""

    def __init__(self, locator: LogLocator, followers: LogFollowers) -> None:
        self._locator = locator
        self._followers = followers

    def __len__(self) -> int:
        return len(self._followers)

    @property
    def read_bytes(self) -> int:
        """Number of bytes of lines that followers have read."""
        return self._followers.read_bytes

    async def open_feed(self, job_id: str, log_request: LogRequest) -> Feed:
        """Open a feed of a job's log; see `LogFeedProvider.open_feed`."""
        seen = log_request.parsed_cursor
        if not log_request.follow and seen is not None and seen.kind == "x":
            return EmptyFeed("log")
        dirs = await self._locator.find_dirs(job_id)
        open_feed = partial(self._open_log, job_id, log_request)
        try:
            return await open_feed()
        except LogNotFoundError as error:
            if not log_request.wait:
                raise
            if dirs.job_ended and seen is not None and seen.kind != "l":
                return EmptyFeed("log")
            return PendingLogFeed(
                open_feed,
                partial(self._has_job_ended, job_id),
                missing_detail=log_request.error_detail(error),
            )

    async def _open_log(self, job_id: str, log_request: LogRequest) -> LogFeed | LogSnapshotFeed:
        dirs = await self._locator.find_dirs(job_id)
        log = await self._locator.find_log(job_id, dirs, log_request.source)
        if not log_request.follow:
            return await open_log_snapshot_feed(log, log_request, job_ended=dirs.job_ended)
        return await open_log_feed(
            LogFeed, self._followers, log, log_request, job_ended=dirs.job_ended
        )

    async def _has_job_ended(self, job_id: str) -> bool:
        return (await self._locator.find_dirs(job_id)).job_ended
