"""`logs` of several jobs: their lines in one view, each with the name of its job."""

import asyncio
import heapq
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import JobBody, LogLineBody, RosterBody
from marianne_stream.client.cli_errors import (
    AccessDeniedError,
    CliFileNotFoundError,
    ServerUnreachableError,
)
from marianne_stream.client.facts import ENDED_STATUSES
from marianne_stream.client.job_selection import MAX_JOBS, JobSelection
from marianne_stream.client.line_writer import LineWriter
from marianne_stream.client.log_notices import LogNotices
from marianne_stream.client.log_query import (
    LINE_EVENTS,
    MAX_TAIL_LINES,
    LogQuery,
    read_log,
    resumable_cursor,
)
from marianne_stream.client.output import Output
from marianne_stream.client.partial_line import PartialLineDisplay
from marianne_stream.client.sse_client import SSEClient, StreamEvent, convert_data
from marianne_stream.client.times import parse_iso_time
from marianne_stream.client.watched_job import worst_exit_code
from marianne_stream.errors import MarianneStreamError

# Past lines are written together, as many at most.
MAX_LINES_PER_WRITE = 200


class TimedEvent(NamedTuple):
    """Event of a job's log, and the time of the last line that has one."""

    time_s: float
    job_id: str
    event: StreamEvent


async def print_logs(
    client: ApiClient, output: Output, query: LogQuery, jobs: JobSelection, *, as_json: bool
) -> int:
    """Print the logs of several jobs until all end, and return the worst of their exit codes.

    Past lines are ordered by their time, new ones by their arrival. An error of one job is
    reported, and the others go on. Cancelling is safe.
    """
    logs = MergedLogs(client, output, query, jobs, as_json=as_json)
    try:
        await logs.print_past()
        if query.is_following:
            await logs.follow()
    finally:
        logs.close()
    return worst_exit_code(list(logs.exit_codes.values()))


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
        jobs: JobSelection,
        *,
        as_json: bool,
    ) -> None:
        self.exit_codes = dict.fromkeys(jobs.job_ids, 0)
        self._client = client
        self._output = output
        self._query = query
        self._jobs = jobs
        self._as_json = as_json
        self._writer = LineWriter(output, jobs.job_ids)
        self._notices = {job_id: LogNotices(client.reporter, job_id) for job_id in jobs.job_ids}
        # Positions at which new lines begin; "" for a log that does not exist yet. A log that
        # cannot be read has none.
        self._cursors: dict[str, str] = {}
        self._followed: set[str] = set()
        self._search_task: asyncio.Task[None] | None = None
        # Unfinished lines of the jobs, the one that has changed last at the end.
        self._partial_lines: dict[str, str] = {}
        self._display = PartialLineDisplay(output)
        client.reporter.before_report = self._display.erase

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
        """Print new lines until all jobs and their logs have ended.

        Until then, jobs that match a pattern and begin, or run again, are followed as well.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for job_id, cursor in self._cursors.items():
                    self._follow(job_id, cursor, group)
                if self._followed and self._jobs.patterns:
                    self._search_task = group.create_task(self._follow_roster(group))
        except BaseExceptionGroup as error:
            # The output is closed, or a bug: end all.
            raise error.exceptions[0] from error

    def close(self) -> None:
        """Leave the unfinished line that is shown on the screen."""
        self._display.close()

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
                        logged_at, zone = event.data.get("logged_at"), self._client.clock.zone
                        logged_s = parse_iso_time(logged_at, zone)
                        time_s = time_s if logged_s is None else logged_s
                        # The new lines include the unfinished one and the end.
                        if not (is_following and event.name in ("log_partial", "log_complete")):
                            yield TimedEvent(time_s, job_id, event)
        except CliFileNotFoundError as error:
            if not is_following:
                self._on_error(job_id, error)
                return
        except MarianneStreamError as error:
            self._on_error(job_id, error)
            return
        self._cursors[job_id] = resumable_cursor(cursor)

    async def _follow_roster(self, group: asyncio.TaskGroup) -> None:
        """Follow each job of the roster that matches a pattern, and begins or runs again."""
        stream = SSEClient(self._client, "/api/roster/stream", {})
        try:
            async with aclosing(stream.batches()) as batches:
                async for batch in batches:
                    for event in batch:
                        if event.name == "roster":
                            for job in convert_data(event, RosterBody).jobs:
                                if self._jobs.is_match(job.job_id):
                                    self._follow_if_begun(job, group)
        except MarianneStreamError as error:
            self._client.reporter.report(f"{error}; jobs that begin are not shown")

    def _follow_if_begun(self, job: JobBody, group: asyncio.TaskGroup) -> None:
        job_id = job.job_id
        if job_id in self._cursors:
            # Its log has ended. The server sends nothing unless the job runs again.
            if job_id not in self._followed and job.status not in ENDED_STATUSES:
                self._follow(job_id, self._cursors[job_id], group)
            return
        if job_id in self._jobs.listed or job_id in self.exit_codes:
            return
        self.exit_codes[job_id] = 0
        self._notices[job_id] = LogNotices(self._client.reporter, job_id)
        if len(self._followed) >= MAX_JOBS:
            self._notices[job_id].report(f"not shown: {MAX_JOBS} logs are open")
            return
        self._writer.add_job(job_id)
        self._follow(job_id, "", group)

    def _follow(self, job_id: str, cursor: str, group: asyncio.TaskGroup) -> None:
        """Print the lines of a log after a cursor, in a task."""
        self._followed.add(job_id)
        self._cursors[job_id] = cursor
        group.create_task(self._print_new(job_id, cursor))

    async def _print_new(self, job_id: str, cursor: str) -> None:
        """Print the lines of a log after a cursor until it ends."""
        query = replace(
            self._query, job_id=job_id, cursor=cursor, since_s=None, tail_lines=MAX_TAIL_LINES
        )
        try:
            async with aclosing(read_log(self._client, query)) as batches:
                async for batch in batches:
                    self._print_events([TimedEvent(0.0, job_id, event) for event in batch])
                    self._cursors[job_id] = batch[-1].cursor or self._cursors[job_id]
                    if any(event.data.get("missing") is True for event in batch):
                        self.exit_codes[job_id] = CliFileNotFoundError.exit_code
        except MarianneStreamError as error:
            self._on_error(job_id, error)
            del self._cursors[job_id]
        self._followed.discard(job_id)
        if not self._followed and self._search_task is not None:
            self._search_task.cancel()

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
        for job_id, group in groupby(events, key=lambda each: each.job_id):
            own = [each.event for each in group]
            if not self._as_json:
                self._print_lines(own, job_id)
            for event in own:
                self._notices[job_id].on_event(event)
        job_id, text = next(reversed(self._partial_lines.items()), ("", ""))
        self._display.draw(text and self._writer.label_text(job_id) + text)

    def _print_lines(self, events: Sequence[StreamEvent], job_id: str) -> None:
        """Print complete lines, and keep the unfinished last one; without `-f`, print it."""
        lines: list[LogLineBody] = []
        for event in events:
            if event.name in ("log", "log_partial", "log_complete"):
                self._partial_lines.pop(job_id, None)
            if event.name not in LINE_EVENTS:
                continue
            line = convert_data(event, LogLineBody)
            if event.name == "log" or not self._query.is_following:
                lines.append(line)
            elif line.line:
                self._partial_lines[job_id] = line.line
        if lines:
            self._notices[job_id].on_lines(lines)
            self._display.erase()
            self._writer.write(lines, job_id)

    def _on_error(self, job_id: str, error: MarianneStreamError) -> None:
        self.exit_codes[job_id] = error.exit_code
        if type(error) in (ServerUnreachableError, AccessDeniedError):
            # One report for all jobs: the server is the cause.
            self._client.reporter.report(str(error))
        else:
            self._notices[job_id].report(str(error))


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
