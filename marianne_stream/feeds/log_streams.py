"""Logs as feeds, from their files: which log is meant, and what is done where it is not there.

It must not know how frames are sent.
"""

from dataclasses import dataclass
from functools import partial
from typing import Protocol

from marianne_stream.errors import LogNotFoundError
from marianne_stream.feeds.awaited_log import AwaitedLogFeed
from marianne_stream.feeds.feed import Feed, LeftFeed
from marianne_stream.feeds.followed import FollowedLogs
from marianne_stream.feeds.job_logs import JobLogs, LogSource
from marianne_stream.feeds.log import (
    LogFeed,
    LogPart,
    LogWish,
    log_feed,
    log_part,
)
from marianne_stream.logs.index import Selection
from marianne_stream.wire.cursors import LogCursor

# How often a log is looked for that is not there.
WAIT_INTERVAL_S = 0.25


@dataclass(frozen=True, slots=True)
class LogAsk:
    """What a viewer asks for.

    Attributes:
        cursor: what it has seen, as it says; "" for a new one.
        tail_lines: how many lines a new one is given first.
        only: which lines it wants; all where it is None.
        source: `job` for a file of the job's own only, `conductor` for the conductor's log only.
        follow: whether it goes on with what comes.
        wait: whether it waits for a log that is not there yet.
        shows_paths: whether it may read the host's paths: where a missing log was looked for.
    """

    cursor: str
    tail_lines: int
    only: Selection | None = None
    source: LogSource | None = None
    follow: bool = True
    wait: bool = False
    shows_paths: bool = False

    def told(self, error: LogNotFoundError) -> str:
        """Return what the viewer may read of a log that is missing."""
        return error.detail_with_paths if self.shows_paths else error.detail


class LogStreams(Protocol):
    """Who opens logs as feeds; its length is how many logs are followed."""

    def __len__(self) -> int: ...

    @property
    def read_bytes(self) -> int:
        """How many bytes of logs were read, by all who follow them."""
        ...

    async def feed(self, job_id: str, ask: LogAsk) -> Feed:
        """A feed of a job's log, which must be left.

        Raises:
            JobNotFoundError: there is no such job.
            LogNotFoundError: it has no log, and is not waited for.
            LogForbiddenError: it may not be read.
            StateUnavailableError: nobody could be asked.
        """
        ...


class FileLogStreams:
    """Logs from their files.

    Args:
        job_logs: who finds them.
        followed: who follows them.
    """

    def __init__(self, job_logs: JobLogs, followed: FollowedLogs) -> None:
        self._job_logs = job_logs
        self._followed = followed

    def __len__(self) -> int:
        return len(self._followed)

    @property
    def read_bytes(self) -> int:
        """As `LogStreams` says."""
        return self._followed.read_bytes

    async def feed(self, job_id: str, ask: LogAsk) -> Feed:
        """As `LogStreams` says."""
        seen = LogCursor.parse(ask.cursor)
        if not ask.follow and seen is not None and seen.kind == "x":
            return LeftFeed("log")
        folders = await self._job_logs.folders(job_id)
        open_feed = partial(self._open, job_id, ask)
        try:
            return await open_feed()
        except LogNotFoundError as error:
            if not ask.wait:
                raise
            if folders.over and seen is not None and seen.kind != "l":
                return LeftFeed("log")
            return AwaitedLogFeed(
                open_feed,
                partial(self._is_over, job_id),
                missing=ask.told(error),
                interval_s=WAIT_INTERVAL_S,
            )

    async def _open(self, job_id: str, ask: LogAsk) -> LogFeed | LogPart:
        latest = await self._job_logs.folders(job_id)
        log = await self._job_logs.find(job_id, latest, ask.source)
        wish = LogWish(ask.cursor, ask.tail_lines, ask.only, latest.over)
        if not ask.follow:
            return await log_part(log, job_id, wish)
        return await log_feed(self._followed, log, job_id, wish)

    async def _is_over(self, job_id: str) -> bool:
        return (await self._job_logs.folders(job_id)).over
