"""`watch` without a job: watches all running jobs, until Ctrl-C."""

from contextlib import aclosing

from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import JobBody, RosterBody
from marianne_stream.client.messages import SourceReporter
from marianne_stream.client.renderers import JobRenderer
from marianne_stream.client.sse_client import SSEClient, StreamEvent, convert_data
from marianne_stream.client.watched_job import WatchedJob

POLL_INTERVAL_S = 1.0


async def watch_roster(client: ApiClient, renderer: JobRenderer) -> int:
    """Watch all jobs that run, now or later, until cancelled, which is safe.

    Raises:
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    tracker = RosterTracker(client, renderer)
    params = {"poll_interval": str(POLL_INTERVAL_S), "details": "true"}
    stream = SSEClient(client, "/api/roster/stream", params)
    async with aclosing(stream.batches()) as batches:
        async for batch in batches:
            for event in batch:
                renderer.on_event(event)
                tracker.on_event(event)
    return 0


class RosterTracker:
    """Jobs to show: those that run, and those that ended while they were shown."""

    def __init__(self, client: ApiClient, renderer: JobRenderer) -> None:
        self._renderer = renderer
        self._clock = client.clock
        self._source_reporter = SourceReporter(client.reporter)
        self._jobs: dict[str, WatchedJob] = {}

    def on_event(self, event: StreamEvent) -> None:
        """Process an event."""
        if event.name == "source":
            self._source_reporter.on_source_event(event.data)
        elif event.name == "roster":
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
        job.apply_entry(entry, now_s=self._clock.now_s())
        if is_shown or not job.is_over:
            self._jobs[job.job_id] = job
            self._renderer.update(job)
