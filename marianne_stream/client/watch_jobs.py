"""`watch`: watches some jobs until all have ended, or all running jobs until Ctrl-C."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import (
    JobBody,
    RosterBody,
    SheetsBody,
    StatusBody,
)
from marianne_stream.client.cli_errors import CliJobNotFoundError, ServerUnreachableError
from marianne_stream.client.messages import SourceReporter
from marianne_stream.client.renderers import JobRenderer
from marianne_stream.client.sse_client import SSEClient, StreamEvent, convert_data
from marianne_stream.client.watched_job import (
    EXIT_CODES,
    EXIT_NOT_FOUND,
    WatchedJob,
    worst_exit_code,
)
from marianne_stream.errors import MarianneStreamError

POLL_INTERVAL_S = 1.0


async def watch_jobs(client: ApiClient, renderer: JobRenderer, job_ids: Sequence[str]) -> int:
    """Watch jobs until they end, and return the worst of their exit codes.

    An error of one job is reported, and the others go on. Cancelling is safe.

    Raises:
        OSError: the output cannot be written.
    """
    source = SourceReporter(client.reporter)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(JobTracker(client, renderer, source, WatchedJob(job_id)).run())
                for job_id in dict.fromkeys(job_ids)
            ]
    except BaseExceptionGroup as error:
        # The output is closed, or a bug: end all.
        raise error.exceptions[0] from error
    return worst_exit_code([task.result() for task in tasks])


async def watch_roster(client: ApiClient, renderer: JobRenderer) -> int:
    """Watch all jobs that run, now or later, until cancelled, which is safe.

    Raises:
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    source = SourceReporter(client.reporter)
    tracker = RosterTracker(client, renderer)
    events = watch_events(client, renderer, source, "/api/roster/stream", {"details": "true"})
    async with aclosing(events):
        async for event in events:
            tracker.on_event(event)
    return 0


async def watch_events(
    client: ApiClient,
    renderer: JobRenderer,
    source: SourceReporter,
    path: str,
    params: Mapping[str, str],
) -> AsyncGenerator[StreamEvent, None]:
    """Yield the events of a stream, once they are rendered and `source` events are reported."""
    stream = SSEClient(client, path, {"poll_interval": str(POLL_INTERVAL_S), **params})
    async with aclosing(stream.batches()) as batches:
        async for batch in batches:
            for event in batch:
                renderer.on_event(event)
                if event.name == "source":
                    source.on_source_event(event.data)
                yield event


class JobTracker:
    """Watches one job."""

    def __init__(
        self,
        client: ApiClient,
        renderer: JobRenderer,
        source_reporter: SourceReporter,
        job: WatchedJob,
    ) -> None:
        self._client = client
        self._renderer = renderer
        self._source_reporter = source_reporter
        self._job = job

    async def run(self) -> int:
        """Watch the job until it ends; return the exit code of its final status or of the error."""
        self._renderer.update(self._job)
        try:
            await self._read_stream()
        except MarianneStreamError as error:
            if isinstance(error, CliJobNotFoundError):
                self._job.problem = "not found"
            elif isinstance(error, ServerUnreachableError):
                self._job.problem = "unreachable"
            else:
                self._job.problem = "refused"
            self._renderer.update(self._job)
            self._client.reporter.report(str(error))
            return error.exit_code
        return EXIT_CODES.get(self._job.status, EXIT_NOT_FOUND)

    async def _read_stream(self) -> None:
        path = job_path(self._job.job_id, "/stream")
        events = watch_events(self._client, self._renderer, self._source_reporter, path, {})
        async with aclosing(events):
            async for event in events:
                self._on_event(event)

    def _on_event(self, event: StreamEvent) -> None:
        """Process an event."""
        if event.name == "job_status":
            status = convert_data(event, StatusBody)
            self._job.apply(status, now_s=self._client.clock.now_s())
            self._renderer.update(self._job)
        elif event.name == "job_sheets":
            self._job.apply_sheets(convert_data(event, SheetsBody))
            self._renderer.update(self._job)
        elif event.name == "job_deleted":
            raise CliJobNotFoundError(f"{self._job.job_id} was removed from the conductor")


class RosterTracker:
    """Jobs to show: those that run, and those that ended while they were shown."""

    def __init__(self, client: ApiClient, renderer: JobRenderer) -> None:
        self._renderer = renderer
        self._clock = client.clock
        self._jobs: dict[str, WatchedJob] = {}

    def on_event(self, event: StreamEvent) -> None:
        """Process an event."""
        if event.name == "roster":
            roster = convert_data(event, RosterBody)
            listed_ids = {entry.job_id for entry in roster.jobs}
            removed = set(roster.removed)
            if roster.complete:
                removed |= self._jobs.keys() - listed_ids
            for job_id in removed:
                self._jobs.pop(job_id, None)
                self._renderer.remove(job_id)
            for entry in roster.jobs:
                self._update_job(entry)

    def _update_job(self, entry: JobBody) -> None:
        job = self._jobs.get(entry.job_id) or WatchedJob(entry.job_id)
        is_shown = entry.job_id in self._jobs
        job.apply(entry, now_s=self._clock.now_s())
        if is_shown or not job.is_over:
            self._jobs[job.job_id] = job
            self._renderer.update(job)
