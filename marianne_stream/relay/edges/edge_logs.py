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
from marianne_stream.feeds.awaited_log import PendingLogFeed
from marianne_stream.feeds.feed import EmptyFeed, Feed
from marianne_stream.feeds.job_logs import JobDirs, LogSource
from marianne_stream.feeds.log_streams import MISSING_LOG_POLL_S, LogRequest
from marianne_stream.jobs.watches import JobHub
from marianne_stream.logs.opened import LogHandle
from marianne_stream.logs.threads import LogThreads
from marianne_stream.models import TERMINAL_STATUSES
from marianne_stream.relay.connecting import asked
from marianne_stream.relay.edges.edge import Edge
from marianne_stream.relay.edges.edge_log import RelayedLog, RelayedStart, resumed
from marianne_stream.relay.edges.edge_log_feed import RelayedFeed
from marianne_stream.relay.edges.source import Source
from marianne_stream.relay.streams import BEGINNING
from marianne_stream.relay.validation import parse_missing
from marianne_stream.wire.cursors import LogCursor

# How long a log may take that nobody has asked for before.
FIRST_LINES_S = 5.0
LOOK_EVERY_S = 0.05

FAULTS: dict[str, type[MarianneStreamError]] = {
    fault.code: fault for fault in (LogNotFoundError, LogForbiddenError)
}


class RelayedLogs:
    """The logs that somebody watches on this edge.

    Args:
        edge: who reads the sources.
        watches: who knows the jobs.
        threads: where lines are matched against what viewers want.
    """

    def __init__(self, edge: Edge, watches: JobHub, threads: LogThreads) -> None:
        self._edge = edge
        self._watches = watches
        self._threads = threads
        self._logs: dict[str, RelayedLog] = {}
        self._ended_bytes = 0

    def __len__(self) -> int:
        return len(self._logs)

    @property
    def read_bytes(self) -> int:
        """How many bytes of lines were read, by all together."""
        return self._ended_bytes + sum(log.read_bytes for log in self._logs.values())

    async def open_feed(self, job_id: str, log_request: LogRequest) -> Feed:
        """A feed of a job's log, which must be left.

        Raises:
            JobNotFoundError, LogNotFoundError, LogForbiddenError: as the origin says.
            StateUnavailableError: Redis does not answer, or nothing is published in time.
        """
        seen = LogCursor.parse(log_request.cursor)
        if not log_request.follow and seen is not None and seen.kind == "x":
            return EmptyFeed("log")
        await self._watches.ensure_exists(job_id)
        if log_request.source is not None:
            # One of them is published, whichever there is.
            raise not_available_on_edge(
                self._edge, job_id, "Which log it is can be chosen there only."
            )
        open_feed = partial(self._open, job_id, log_request)
        try:
            return await open_feed()
        except LogNotFoundError as error:
            if not log_request.wait:
                raise
            return PendingLogFeed(
                open_feed,
                partial(self._is_over, job_id),
                missing_detail=log_request.error_detail(error),
                poll_interval_s=MISSING_LOG_POLL_S,
            )

    async def _is_over(self, job_id: str) -> bool:
        entry = (await self._watches.get_roster()).entries.get(job_id)
        status = (
            entry.status if entry is not None else (await self._watches.get_state(job_id)).status
        )
        return status in TERMINAL_STATUSES

    async def _open(self, job_id: str, ask: LogRequest) -> RelayedFeed:
        is_over = partial(self._is_over, job_id)
        log = self._log(*self._edge.find(job_id))
        log.readers += 1
        try:
            await log.begun()
            if log.last == BEGINNING:
                await self._first_lines(log)
            start = await start_of(log, ask.cursor, ask.tail_lines)
            self._check_kept(job_id, start, ask)
            start = replace(start, nothing_new=start.nothing_new and await is_over())
        except BaseException:
            self._leave(log)
            raise
        return RelayedFeed(log, start, ask=ask, is_over=is_over, on_leave=self._leave)

    def _log(self, source: Source, job_id: str) -> RelayedLog:
        name = f"{source.name}:{job_id}"
        if name not in self._logs:
            self._logs[name] = RelayedLog(source, job_id, self._threads.for_job(name))
        return self._logs[name]

    def _check_kept(self, job_id: str, start: RelayedStart, ask: LogRequest) -> None:
        if start.beyond:
            why = f"Fewer than {ask.tail_lines} lines are kept here."
            raise not_available_on_edge(self._edge, job_id, why)

    def _leave(self, log: RelayedLog) -> None:
        log.readers -= 1
        if not log.readers:
            del self._logs[f"{log.source.name}:{log.job_id}"]
            self._ended_bytes += log.read_bytes
            log.end()

    async def _first_lines(self, log: RelayedLog) -> None:
        """Waits until the relay, which hears of the interest now, has sent lines, or says why not.

        Raises:
            MarianneStreamError: what it says, or that it says nothing.
        """
        reading = log.source.reading
        key = reading.keys.missing("log", log.job_id)
        try:
            async with asyncio.timeout(FIRST_LINES_S):
                while log.last == BEGINNING:
                    async with reading.asking() as redis:
                        raw = await asked(redis.get(key))
                    if raw is not None:
                        raise fault_of(raw)
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError as error:
            raise StateUnavailableError(
                f"{log.source.name} publishes no log of {log.job_id!r}",
                detail="This job's log is not published right now.",
            ) from error


async def start_of(log: RelayedLog, cursor: str, tail_lines: int) -> RelayedStart:
    """Where a viewer begins: by its cursor, else at the newest lines.

    Args:
        log: which begins to be read, or is.
        cursor: what the viewer has seen, as it says.
        tail_lines: how many lines it is given first, where that is nothing.

    Raises:
        StateUnavailableError: Redis does not answer.
    """
    seen = LogCursor.parse(cursor)
    start = await resumed(log.source.reading, log.job_id, seen) if seen is not None else None
    if start is not None:
        return start
    lines, beyond = await log.newest(tail_lines)
    nothing = log.last if not tail_lines else BEGINNING
    place = lines[-1][0] if lines else nothing
    return RelayedStart(place, lines, cursor_expired=bool(cursor), beyond=beyond)


def fault_of(raw: bytes) -> MarianneStreamError:
    """Why the origin has no log."""
    try:
        missing = parse_missing(raw)
    except ValueError:
        return StateUnavailableError("why a log is missing cannot be read")
    return FAULTS.get(missing.code, StateUnavailableError)(detail=missing.detail)


class NoLogFiles:
    """In the place of who finds logs' files: there are none here.

    Args:
        edge: who knows where they are.
        watches: who knows the jobs.
    """

    def __init__(self, edge: Edge, watches: JobHub) -> None:
        self._edge = edge
        self._watches = watches

    async def find_dirs(self, job_id: str) -> JobDirs:
        """None.

        Raises:
            JobNotFoundError: there is no such job.
            StateUnavailableError: Redis does not answer.
            OriginOnlyError: there is.
        """
        await self._watches.ensure_exists(job_id)
        raise not_available_on_edge(self._edge, job_id)

    async def find_log(self, job_id: str, dirs: JobDirs, source: LogSource | None) -> LogHandle:
        """None: raises as `folders` does."""
        del dirs, source
        raise not_available_on_edge(self._edge, job_id)


def not_available_on_edge(edge: Edge, job_id: str, why: str = "") -> NotOnEdgeError:
    """The error that says where else to ask."""
    source, own = edge.find(job_id)
    origin_url = source.about.origin_url if source.about is not None else None
    detail = f"{why} {NotOnEdgeError.default_detail}".strip()
    return NotOnEdgeError(own, origin_url=origin_url, detail=detail)
