"""Log feeds from files, including those of logs that do not exist yet."""

from dataclasses import dataclass
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
from marianne_stream.feeds.log_locator import FileLogLocator, LogSource
from marianne_stream.feeds.log_start import LogFeedOptions
from marianne_stream.feeds.pending_log_feed import PendingLogFeed
from marianne_stream.logs.filters import LineFilter
from marianne_stream.wire.cursors import LogCursor

# Poll interval for a missing log.
MISSING_LOG_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class LogRequest:
    """Request of a client for a log feed.

    Attributes:
        cursor: cursor as the client sent it; "" for a new client.
        tail_lines: number of lines that a new client gets first.
        line_filter: filter of the client; None for all lines.
        source: `job` for files of the job only, `conductor` for the conductor's log only.
        follow: whether to go on with new lines.
        wait: whether to wait for a log that does not exist yet.
        shows_paths: whether the client may see paths of the host.
    """

    cursor: str
    tail_lines: int
    line_filter: LineFilter | None = None
    source: LogSource | None = None
    follow: bool = True
    wait: bool = False
    shows_paths: bool = False

    def error_detail(self, error: LogNotFoundError) -> str:
        """Return what the client may read about a missing log."""
        return error.detail_with_paths if self.shows_paths else error.detail


class LogFeedProvider(Protocol):
    """Opens log feeds. Its length is the number of followed logs."""

    def __len__(self) -> int: ...

    @property
    def read_bytes(self) -> int:
        """Number of bytes of lines that followers have read."""
        ...

    async def open_feed(self, job_id: str, log_request: LogRequest) -> Feed:
        """Open a feed of a job's log. It must be closed.

        Raises:
            JobNotFoundError: the job does not exist.
            LogNotFoundError: the job has no log, and the request does not wait.
            LogForbiddenError: the log may not be read.
            StateUnavailableError: no backend could be read.
        """
        ...


class FileLogFeeds:
    """Provider of log feeds from files."""

    def __init__(self, locator: FileLogLocator, followers: LogFollowers) -> None:
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
        seen = LogCursor.parse(log_request.cursor)
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
                poll_interval_s=MISSING_LOG_POLL_S,
            )

    async def _open_log(self, job_id: str, log_request: LogRequest) -> LogFeed | LogSnapshotFeed:
        dirs = await self._locator.find_dirs(job_id)
        log = await self._locator.find_log(job_id, dirs, log_request.source)
        options = LogFeedOptions(
            log_request.cursor, log_request.tail_lines, log_request.line_filter, dirs.job_ended
        )
        if not log_request.follow:
            return await open_log_snapshot_feed(log, job_id, options)
        return await open_log_feed(LogFeed, self._followers, log, job_id, options)

    async def _has_job_ended(self, job_id: str) -> bool:
        return (await self._locator.find_dirs(job_id)).job_ended
