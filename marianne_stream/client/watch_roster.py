"""`watch` without a job: all that run, by the roster's stream, until Ctrl-C.

It must not know how they are shown.
"""

from contextlib import aclosing

from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import JobBody, RosterBody
from marianne_stream.client.messages import SourceReporter
from marianne_stream.client.renderers import JobRenderer
from marianne_stream.client.sse_client import SSEClient, StreamEvent, convert_data
from marianne_stream.client.watched_job import WatchedJob

POLL_INTERVAL_S = 1.0


async def watch_roster(client: ApiClient, renderer: JobRenderer) -> int:
    """Watches all jobs that run, now or later; it ends by being cancelled, which is safe.

    Raises:
        MarianneStreamError: the server cannot be reached, or does not answer as it should.
    """
    watch = RosterTracker(client, renderer)
    params = {"poll_interval": str(POLL_INTERVAL_S), "details": "true"}
    stream = SSEClient(client, "/api/roster/stream", params)
    async with aclosing(stream.batches()) as batches:
        async for batch in batches:
            for event in batch:
                renderer.on_event(event)
                watch.on_event(event)
    return 0


class RosterTracker:
    """The jobs that are shown: those that are not over, and those that ended while they were.

    Args:
        client: whose they are.
        renderer: what shows them.
    """

    def __init__(self, client: ApiClient, renderer: JobRenderer) -> None:
        self._renderer = renderer
        self._clock = client.clock
        self._source_reporter = SourceReporter(client.reporter)
        self._jobs: dict[str, WatchedJob] = {}

    def on_event(self, event: StreamEvent) -> None:
        """Takes what an event says."""
        if event.name == "source":
            self._source_reporter.on_source_event(event.data)
        elif event.name == "roster":
            roster = convert_data(event, RosterBody)
            listed = {entry.job_id for entry in roster.jobs}
            removed = set(roster.removed)
            if roster.complete:
                removed |= self._jobs.keys() - listed
            for job_id in removed:
                self._jobs.pop(job_id, None)
                self._renderer.remove(job_id)
            for entry in roster.jobs:
                self._update_job(entry)

    def _update_job(self, entry: JobBody) -> None:
        job = self._jobs.get(entry.job_id) or WatchedJob(entry.job_id)
        known = entry.job_id in self._jobs
        job.apply_entry(entry, now_s=self._clock.now_s())
        if known or not job.is_over:
            self._jobs[job.job_id] = job
            self._renderer.update(job)
