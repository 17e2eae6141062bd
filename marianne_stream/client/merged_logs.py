"""`logs` of several jobs: their lines in one view, each with the name of its job."""

import asyncio
import heapq
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import NamedTuple

from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import LogLineBody
from marianne_stream.client.job_table import JobQuery, fetch_pages
from marianne_stream.client.line_writer import LineWriter
from marianne_stream.client.log_notices import report_log_event, report_truncated, with_job
from marianne_stream.client.log_query import (
    MAX_TAIL_LINES,
    LogQuery,
    read_log,
    resumable_cursor,
)
from marianne_stream.client.output import Output
from marianne_stream.client.sse_client import StreamEvent, convert_data
from marianne_stream.client.times import parse_iso_time
from marianne_stream.errors import (
    AccessDeniedError,
    CliJobNotFoundError,
    CliLogNotFoundError,
    MarianneStreamError,
    ServerUnreachableError,
    SettingsError,
)
from marianne_stream.wire.job_patterns import WILDCARD, JobPatterns

# Each job has a connection.
MAX_JOBS = 100
# Past lines are written together, as many at most.
MAX_LINES_PER_WRITE = 200

# From best to worst; 6 is a job without a log.
EXIT_SEVERITY = (0, 1, 6, 3, 2, 5)


class TimedEvent(NamedTuple):
    """Event of a job's log, and the time of the last line that has one."""

    time_s: float
    job_id: str
    event: StreamEvent


async def find_job_ids(client: ApiClient, names: Sequence[str]) -> list[str]:
    """Return the ids that names stand for: an id, or a shell pattern of ids of the roster.

    Raises:
        CliJobNotFoundError: no job matches a pattern.
        SettingsError: the jobs are too many.
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    listed: list[str] = []
    if any(map(WILDCARD.search, names)):
        async for page in fetch_pages(client, JobQuery()):
            listed += [str(job["job_id"]) for job in page]
    found: dict[str, None] = {}
    for name in names:
        matches = [name]
        if WILDCARD.search(name):
            is_match = JobPatterns((name,))
            matches = [name] if name in listed else sorted(filter(is_match, listed))
        if not matches:
            raise CliJobNotFoundError(f"no job matches {name!r}")
        found |= dict.fromkeys(matches)
    if len(found) > MAX_JOBS:
        raise SettingsError(f"at most {MAX_JOBS} jobs can be shown, got {len(found)}")
    return list(found)


async def print_logs(
    client: ApiClient, output: Output, query: LogQuery, names: Sequence[str], *, as_json: bool
) -> int:
    """Print the logs of several jobs until all end, and return the worst of their exit codes.

    Past lines are ordered by their time, new ones by their arrival. An error of one job is
    reported, and the others go on. Cancelling is safe.

    Raises:
        MarianneStreamError: as `find_job_ids`.
    """
    job_ids = await find_job_ids(client, names)
    logs = MergedLogs(client, output, query, job_ids, as_json=as_json)
    await logs.print_past()
    if query.is_following:
        await logs.follow()
    return max(logs.exit_codes.values(), key=EXIT_SEVERITY.index)


class MergedLogs:
    """Logs of several jobs.

    Attributes:
        exit_codes: exit code of each job.
    """

    def __init__(
        self,
        client: ApiClient,
        output: Output,
        query: LogQuery,
        job_ids: Sequence[str],
        *,
        as_json: bool,
    ) -> None:
        self.exit_codes = dict.fromkeys(job_ids, 0)
        self._client = client
        self._output = output
        self._query = query
        self._as_json = as_json
        self._writer = LineWriter(output, job_ids)
        # Positions at which new lines begin; "" for a log that does not exist yet.
        self._cursors: dict[str, str] = {}

    async def print_past(self) -> None:
        """Print the past lines, ordered by their time; a line without one stays below the last."""
        pending: list[TimedEvent] = []
        sources = [self._read_past(job_id) for job_id in self.exit_codes]
        async with aclosing(merge_by_time(sources)) as events:
            async for event in events:
                pending.append(event)
                if len(pending) >= MAX_LINES_PER_WRITE:
                    self._print_events(pending)
                    pending = []
        self._print_events(pending)

    async def follow(self) -> None:
        """Print new lines until all jobs and their logs have ended."""
        try:
            async with asyncio.TaskGroup() as group:
                for job_id, cursor in self._cursors.items():
                    group.create_task(self._follow_job(job_id, cursor))
        except BaseExceptionGroup as error:
            # The output is closed, or a bug: end all.
            raise error.exceptions[0] from error

    async def _read_past(self, job_id: str) -> AsyncGenerator[TimedEvent, None]:
        """Yield the past of a log, and keep the position after it."""
        is_following, time_s = self._query.is_following, -math.inf
        query = replace(self._query, job_id=job_id, is_following=False)
        cursor = ""
        try:
            async with aclosing(read_log(self._client, query)) as batches:
                async for batch in batches:
                    for event in batch:
                        cursor = event.cursor or cursor
                        logged_s = parse_iso_time(event.data.get("logged_at"))
                        time_s = time_s if logged_s is None else logged_s
                        # The new lines include the unfinished one and the end.
                        if not (is_following and event.name in ("log_partial", "log_complete")):
                            yield TimedEvent(time_s, job_id, event)
        except CliLogNotFoundError as error:
            if not is_following:
                self._on_error(job_id, error)
                return
        except MarianneStreamError as error:
            self._on_error(job_id, error)
            return
        self._cursors[job_id] = resumable_cursor(cursor)

    async def _follow_job(self, job_id: str, cursor: str) -> None:
        query = replace(
            self._query, job_id=job_id, cursor=cursor, since_s=None, tail_lines=MAX_TAIL_LINES
        )
        try:
            async with aclosing(read_log(self._client, query)) as batches:
                async for batch in batches:
                    self._print_events(
                        [
                            TimedEvent(0.0, job_id, event)
                            for event in batch
                            if event.name != "log_partial"
                        ]
                    )
                    if any(event.data.get("missing") is True for event in batch):
                        self.exit_codes[job_id] = CliLogNotFoundError.exit_code
        except MarianneStreamError as error:
            self._on_error(job_id, error)

    def _print_events(self, events: Sequence[TimedEvent]) -> None:
        """Print events, the lines of one job together as long as no other's are between."""
        if self._as_json:
            self._output.write_objects(
                replace(
                    each.event,
                    cursor=resumable_cursor(each.event.cursor),
                    data=each.event.data | {"job_id": each.job_id},
                ).to_json_object()
                for each in events
                if each.event.name != "log_partial"
            )
        lines: list[LogLineBody] = []
        job_id = ""
        for each in events:
            if each.job_id != job_id:
                self._write(lines, job_id)
                lines, job_id = [], each.job_id
            if each.event.name in ("log", "log_partial"):
                lines.append(convert_data(each.event, LogLineBody))
            else:
                report_log_event(self._client.reporter, each.event, job_id)
        self._write(lines, job_id)

    def _write(self, lines: Sequence[LogLineBody], job_id: str) -> None:
        if lines and not self._as_json:
            self._writer.write(lines, job_id)
            report_truncated(self._client.reporter, lines, job_id)

    def _on_error(self, job_id: str, error: MarianneStreamError) -> None:
        self.exit_codes[job_id] = error.exit_code
        # One report for all jobs, if the server is the cause.
        is_common = isinstance(error, ServerUnreachableError | AccessDeniedError)
        is_named = is_common or job_id in str(error)
        self._client.reporter.report(with_job(str(error), "" if is_named else job_id))


async def merge_by_time(
    sources: Sequence[AsyncGenerator[TimedEvent, None]],
) -> AsyncGenerator[TimedEvent, None]:
    """Yield the events of all sources, always the one with the earliest time."""
    try:
        heads = await asyncio.gather(*(anext(source, None) for source in sources))
        # The index decides between equal times, so that events are never compared.
        heap = [(head.time_s, index, head) for index, head in enumerate(heads) if head is not None]
        heapq.heapify(heap)
        while heap:
            _, index, head = heapq.heappop(heap)
            yield head
            if (following := await anext(sources[index], None)) is not None:
                heapq.heappush(heap, (following.time_s, index, following))
    finally:
        for source in sources:
            await source.aclose()
