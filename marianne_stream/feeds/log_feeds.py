"""Logs as feeds, from their files: which log is meant, and what is done where it is not there.

It must not know how frames are sent.
"""

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

# How often a log is looked for that is not there.
MISSING_LOG_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class LogRequest:
    """What a viewer asks for.

    Attributes:
        cursor: what it has seen, as it says; "" for a new one.
        tail_lines: how many lines a new one is given first.
        line_filter: which lines it wants; all where it is None.
        source: `job` for a file of the job's own only, `conductor` for the conductor's log only.
        follow: whether it goes on with what comes.
        wait: whether it waits for a log that is not there yet.
        shows_paths: whether it may read the host's paths: where a missing log was looked for.
    """

    cursor: str
    tail_lines: int
    line_filter: LineFilter | None = None
    source: LogSource | None = None
    follow: bool = True
    wait: bool = False
    shows_paths: bool = False

    def error_detail(self, error: LogNotFoundError) -> str:
        """Return what the viewer may read of a log that is missing."""
        return error.detail_with_paths if self.shows_paths else error.detail


class LogFeedProvider(Protocol):
    """Who opens logs as feeds; its length is how many logs are followed."""

    def __len__(self) -> int: ...

    @property
    def read_bytes(self) -> int:
        """How many bytes of logs were read, by all who follow them."""
        ...

    async def open_feed(self, job_id: str, log_request: LogRequest) -> Feed:
        """A feed of a job's log, which must be left.

        Raises:
            JobNotFoundError: there is no such job.
            LogNotFoundError: it has no log, and is not waited for.
            LogForbiddenError: it may not be read.
            StateUnavailableError: nobody could be asked.
        """
        ...


class FileLogFeeds:
    """Logs from their files.

    Args:
        locator: who finds them.
        followers: who follows them.
    """

    def __init__(self, locator: FileLogLocator, followers: LogFollowers) -> None:
        self._locator = locator
        self._followers = followers

    def __len__(self) -> int:
        return len(self._followers)

    @property
    def read_bytes(self) -> int:
        """As `LogFeedProvider` says."""
        return self._followers.read_bytes

    async def open_feed(self, job_id: str, log_request: LogRequest) -> Feed:
        """As `LogFeedProvider` says."""
        seen = LogCursor.parse(log_request.cursor)
        if not log_request.follow and seen is not None and seen.kind == "x":
            return EmptyFeed("log")
        folders = await self._locator.find_dirs(job_id)
        open_feed = partial(self._open_log, job_id, log_request)
        try:
            return await open_feed()
        except LogNotFoundError as error:
            if not log_request.wait:
                raise
            if folders.job_ended and seen is not None and seen.kind != "l":
                return EmptyFeed("log")
            return PendingLogFeed(
                open_feed,
                partial(self._has_job_ended, job_id),
                missing_detail=log_request.error_detail(error),
                poll_interval_s=MISSING_LOG_POLL_S,
            )

    async def _open_log(self, job_id: str, log_request: LogRequest) -> LogFeed | LogSnapshotFeed:
        latest = await self._locator.find_dirs(job_id)
        log = await self._locator.find_log(job_id, latest, log_request.source)
        wish = LogFeedOptions(
            log_request.cursor, log_request.tail_lines, log_request.line_filter, latest.job_ended
        )
        if not log_request.follow:
            return await open_log_snapshot_feed(log, job_id, wish)
        return await open_log_feed(self._followers, log, job_id, wish)

    async def _has_job_ended(self, job_id: str) -> bool:
        return (await self._locator.find_dirs(job_id)).job_ended
