"""Log feeds of an edge, and the locator that refers clients to the origin."""

from dataclasses import replace
from functools import partial

from marianne_stream.errors import LogNotFoundError
from marianne_stream.feeds.feed import EmptyFeed, Feed
from marianne_stream.feeds.log_locator import JobDirs, LogSource
from marianne_stream.feeds.log_start import LogRequest
from marianne_stream.feeds.pending_log_feed import PendingLogFeed
from marianne_stream.jobs.hub import JobHub
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.logs.log_threads import LogThreads
from marianne_stream.models import TERMINAL_STATUSES
from marianne_stream.relay.edge.edge import Edge
from marianne_stream.relay.edge.log_stream import LogPosition, LogStart
from marianne_stream.relay.edge.relayed_log import RelayedLog, RelayedLogFeed
from marianne_stream.relay.edge.relayed_source import RelayedSource
from marianne_stream.wire.cursors import LogCursor


class RelayedLogFeeds:
    """Opens feeds of relayed logs, and reads each log once for all clients."""

    def __init__(self, edge: Edge, hub: JobHub, threads: LogThreads) -> None:
        self._edge = edge
        self._hub = hub
        self._threads = threads
        self._logs: dict[str, RelayedLog] = {}
        self._ended_read_bytes = 0

    def __len__(self) -> int:
        return len(self._logs)

    @property
    def read_bytes(self) -> int:
        """Total size of the lines that were read."""
        return self._ended_read_bytes + sum(log.read_bytes for log in self._logs.values())

    async def open_feed(self, job_id: str, log_request: LogRequest) -> Feed:
        """Open a feed of a job's log. It must be closed.

        Raises the origin's error; NotOnEdgeError for a part that only the origin has; or
        StateUnavailableError if Redis does not answer, or nothing is published in time.
        """
        cursor = LogCursor.parse(log_request.cursor)
        if not log_request.follow and cursor is not None and cursor.kind == "x":
            return EmptyFeed("log")
        await self._hub.ensure_exists(job_id)
        if log_request.source is not None:
            reason = "Which log it is can be chosen there only."
            raise self._edge.not_here_error(job_id, reason)
        open_feed = partial(self._open_log, job_id, log_request)
        try:
            return await open_feed()
        except LogNotFoundError as error:
            if not log_request.wait:
                raise
            return PendingLogFeed(
                open_feed,
                partial(self._has_job_ended, job_id),
                missing_detail=log_request.error_detail(error),
            )

    async def _has_job_ended(self, job_id: str) -> bool:
        entry = (await self._hub.roster.get()).entries.get(job_id)
        status = entry.status if entry is not None else (await self._hub.get_state(job_id)).status
        return status in TERMINAL_STATUSES

    async def _open_log(self, job_id: str, log_request: LogRequest) -> RelayedLogFeed:
        has_ended = partial(self._has_job_ended, job_id)
        log = self._get_log(*self._edge.split_job_id(job_id))
        log.subscriber_count += 1
        try:
            await log.start()
            await log.wait_for_first_lines()
            start = await resolve_relayed_start(log, log_request.cursor, log_request.tail_lines)
            self._ensure_enough_lines(job_id, start, log_request.tail_lines)
            start = replace(start, is_exhausted=start.is_exhausted and await has_ended())
        except BaseException:
            self._release_log(log)
            raise
        return RelayedLogFeed(
            log, start, log_request=log_request, has_job_ended=has_ended, on_close=self._release_log
        )

    def _ensure_enough_lines(self, job_id: str, start: LogStart, tail_lines: int) -> None:
        if start.is_truncated:
            reason = f"Fewer than {tail_lines} lines are kept here."
            raise self._edge.not_here_error(job_id, reason)

    def _get_log(self, source: RelayedSource, job_id: str) -> RelayedLog:
        name = f"{source.name}:{job_id}"
        if name not in self._logs:
            self._logs[name] = RelayedLog(source, job_id, self._threads.for_job(name))
        return self._logs[name]

    def _release_log(self, log: RelayedLog) -> None:
        log.subscriber_count -= 1
        if not log.subscriber_count:
            del self._logs[f"{log.source.name}:{log.job_id}"]
            self._ended_read_bytes += log.read_bytes
            log.close()


async def resolve_relayed_start(log: RelayedLog, cursor: str, max_tail_lines: int) -> LogStart:
    """Find the start of a feed: behind the client's cursor, else at the newest lines."""
    parsed = LogCursor.parse(cursor)
    if parsed is not None:
        start = await log.stream.find_start(parsed)
        if start is not None:
            return start
    lines, is_truncated = await log.stream.read_tail(max_tail_lines)
    position = LogPosition() if max_tail_lines else log.position
    if lines:
        lines, position = LogPosition().follow(lines, lines[-1][0])
    return LogStart(position, lines, is_cursor_expired=bool(cursor), is_truncated=is_truncated)


class OriginOnlyLocator:
    """Locator of an edge, which has no log files: it names the origin."""

    def __init__(self, edge: Edge, hub: JobHub) -> None:
        self._edge = edge
        self._hub = hub

    async def find_dirs(self, job_id: str) -> JobDirs:
        """Raise JobNotFoundError, StateUnavailableError, or NotOnEdgeError if the job exists."""
        await self._hub.ensure_exists(job_id)
        raise self._edge.not_here_error(job_id)

    async def find_log(self, job_id: str, dirs: JobDirs, source: LogSource | None) -> LogHandle:
        """Raise NotOnEdgeError."""
        del dirs, source
        raise self._edge.not_here_error(job_id)
