"""The logs of jobs on an edge: which are read, and where a viewer begins.

It must not know how frames are sent.
"""

import asyncio
from dataclasses import replace
from functools import partial

from marianne_stream.errors import (
    LogForbiddenError,
    LogNotFoundError,
    MarianneStreamError,
    NotOnEdgeError,
    StateUnavailableError,
)
from marianne_stream.feeds.feed import EmptyFeed, Feed
from marianne_stream.feeds.log_feeds import MISSING_LOG_POLL_S, LogRequest
from marianne_stream.feeds.log_locator import JobDirs, LogSource
from marianne_stream.feeds.pending_log_feed import PendingLogFeed
from marianne_stream.jobs.hub import JobHub
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.logs.log_threads import LogThreads
from marianne_stream.models import TERMINAL_STATUSES
from marianne_stream.relay.edge.edge import Edge
from marianne_stream.relay.edge.relayed_log import RelayedLog, RelayedStart, find_resume_point
from marianne_stream.relay.edge.relayed_log_feed import RelayedLogFeed
from marianne_stream.relay.edge.relayed_source import RelayedSource
from marianne_stream.relay.redis_client import call
from marianne_stream.relay.redis_streams import FIRST_ID
from marianne_stream.relay.validation import parse_unavailable
from marianne_stream.wire.cursors import LogCursor

# How long a log may take that nobody has asked for before.
FIRST_LINES_TIMEOUT_S = 5.0
FIRST_LINES_POLL_S = 0.05

ERRORS_BY_CODE: dict[str, type[MarianneStreamError]] = {
    fault.code: fault for fault in (LogNotFoundError, LogForbiddenError)
}


class RelayedLogFeeds:
    """The logs that somebody watches on this edge.

    Args:
        edge: who reads the sources.
        hub: who knows the jobs.
        threads: where lines are matched against what viewers want.
    """

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
        """How many bytes of lines were read, by all together."""
        return self._ended_read_bytes + sum(log.read_bytes for log in self._logs.values())

    async def open_feed(self, job_id: str, log_request: LogRequest) -> Feed:
        """A feed of a job's log, which must be left.

        Raises:
            JobNotFoundError, LogNotFoundError, LogForbiddenError: as the origin says.
            StateUnavailableError: Redis does not answer, or nothing is published in time.
        """
        seen = LogCursor.parse(log_request.cursor)
        if not log_request.follow and seen is not None and seen.kind == "x":
            return EmptyFeed("log")
        await self._hub.ensure_exists(job_id)
        if log_request.source is not None:
            # One of them is published, whichever there is.
            raise make_not_available_error(
                self._edge, job_id, "Which log it is can be chosen there only."
            )
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
                poll_interval_s=MISSING_LOG_POLL_S,
            )

    async def _has_job_ended(self, job_id: str) -> bool:
        entry = (await self._hub.roster.get()).entries.get(job_id)
        status = entry.status if entry is not None else (await self._hub.get_state(job_id)).status
        return status in TERMINAL_STATUSES

    async def _open_log(self, job_id: str, log_request: LogRequest) -> RelayedLogFeed:
        is_over = partial(self._has_job_ended, job_id)
        log = self._get_log(*self._edge.split_job_id(job_id))
        log.subscriber_count += 1
        try:
            await log.start()
            if log.last_id == FIRST_ID:
                await self._wait_for_first_lines(log)
            start = await resolve_relayed_start(log, log_request.cursor, log_request.tail_lines)
            self._ensure_enough_lines(job_id, start, log_request)
            start = replace(start, is_exhausted=start.is_exhausted and await is_over())
        except BaseException:
            self._release_log(log)
            raise
        return RelayedLogFeed(
            log, start, log_request=log_request, has_job_ended=is_over, on_close=self._release_log
        )

    def _get_log(self, source: RelayedSource, job_id: str) -> RelayedLog:
        name = f"{source.name}:{job_id}"
        if name not in self._logs:
            self._logs[name] = RelayedLog(source, job_id, self._threads.for_job(name))
        return self._logs[name]

    def _ensure_enough_lines(
        self, job_id: str, start: RelayedStart, log_request: LogRequest
    ) -> None:
        if start.is_truncated:
            why = f"Fewer than {log_request.tail_lines} lines are kept here."
            raise make_not_available_error(self._edge, job_id, why)

    def _release_log(self, log: RelayedLog) -> None:
        log.subscriber_count -= 1
        if not log.subscriber_count:
            del self._logs[f"{log.source.name}:{log.job_id}"]
            self._ended_read_bytes += log.read_bytes
            log.close()

    async def _wait_for_first_lines(self, log: RelayedLog) -> None:
        """Waits until the relay, which hears of the interest now, has sent lines, or says why not.

        Raises:
            MarianneStreamError: what it says, or that it says nothing.
        """
        reading = log.source.reader
        key = reading.keys.unavailable("log", log.job_id)
        try:
            async with asyncio.timeout(FIRST_LINES_TIMEOUT_S):
                while log.last_id == FIRST_ID:
                    async with reading.client() as redis:
                        raw = await call(redis.get(key))
                    if raw is not None:
                        raise parse_unavailable_error(raw)
                    await asyncio.sleep(FIRST_LINES_POLL_S)
        except TimeoutError as error:
            raise StateUnavailableError(
                f"{log.source.name} publishes no log of {log.job_id!r}",
                detail="This job's log is not published right now.",
            ) from error


async def resolve_relayed_start(log: RelayedLog, cursor: str, max_tail_lines: int) -> RelayedStart:
    """Where a viewer begins: by its cursor, else at the newest lines.

    Args:
        log: which begins to be read, or is.
        cursor: what the viewer has seen, as it says.
        max_tail_lines: how many lines it is given first, where that is nothing.

    Raises:
        StateUnavailableError: Redis does not answer.
    """
    seen = LogCursor.parse(cursor)
    start = (
        await find_resume_point(log.source.reader, log.job_id, seen) if seen is not None else None
    )
    if start is not None:
        return start
    lines, beyond = await log.read_tail(max_tail_lines)
    nothing = log.last_id if not max_tail_lines else FIRST_ID
    place = lines[-1][0] if lines else nothing
    return RelayedStart(place, lines, is_cursor_expired=bool(cursor), is_truncated=beyond)


def parse_unavailable_error(data: bytes) -> MarianneStreamError:
    """Why the origin has no log."""
    try:
        missing = parse_unavailable(data)
    except ValueError:
        return StateUnavailableError("why a log is missing cannot be read")
    return ERRORS_BY_CODE.get(missing.code, StateUnavailableError)(detail=missing.detail)


class OriginOnlyLocator:
    """In the place of who finds logs' files: there are none here.

    Args:
        edge: who knows where they are.
        hub: who knows the jobs.
    """

    def __init__(self, edge: Edge, hub: JobHub) -> None:
        self._edge = edge
        self._hub = hub

    async def find_dirs(self, job_id: str) -> JobDirs:
        """None.

        Raises:
            JobNotFoundError: there is no such job.
            StateUnavailableError: Redis does not answer.
            OriginOnlyError: there is.
        """
        await self._hub.ensure_exists(job_id)
        raise make_not_available_error(self._edge, job_id)

    async def find_log(self, job_id: str, dirs: JobDirs, source: LogSource | None) -> LogHandle:
        """None: raises as `folders` does."""
        del dirs, source
        raise make_not_available_error(self._edge, job_id)


def make_not_available_error(edge: Edge, job_id: str, reason: str = "") -> NotOnEdgeError:
    """The error that says where else to ask."""
    source, own = edge.split_job_id(job_id)
    origin_url = source.reader.status.origin_url if source.reader.status is not None else None
    detail = f"{reason} {NotOnEdgeError.default_detail}".strip()
    return NotOnEdgeError(own, origin_url=origin_url, detail=detail)
