"""`watch` without a job: all that run, by the roster's stream, until Ctrl-C.

It must not know how they are shown.
"""

from contextlib import aclosing

from marianne_stream.client.answers import Job, Roster
from marianne_stream.client.notes import SourceNotes
from marianne_stream.client.server import Server
from marianne_stream.client.stream import Event, Stream, read
from marianne_stream.client.views import View
from marianne_stream.client.watched import WatchedJob

POLL_INTERVAL_S = 1.0


async def watch_roster(server: Server, view: View) -> int:
    """Watches all jobs that run, now or later; it ends by being cancelled, which is safe.

    Raises:
        MarianneStreamError: the server cannot be reached, or does not answer as it should.
    """
    watch = RosterWatch(server, view)
    params = {"poll_interval": str(POLL_INTERVAL_S), "details": "true"}
    stream = Stream(server, "/api/roster/stream", params)
    async with aclosing(stream.batches()) as batches:
        async for batch in batches:
            for event in batch:
                view.hear(event)
                watch.take(event)
    return 0


class RosterWatch:
    """The jobs that are shown: those that are not over, and those that ended while they were.

    Args:
        server: whose they are.
        view: what shows them.
    """

    def __init__(self, server: Server, view: View) -> None:
        self._view = view
        self._clock = server.clock
        self._source = SourceNotes(server.notes)
        self._shown: dict[str, WatchedJob] = {}

    def take(self, event: Event) -> None:
        """Takes what an event says."""
        if event.name == "source":
            self._source.hear(event.data)
        elif event.name == "roster":
            roster = read(event, Roster)
            listed = {entry.job_id for entry in roster.jobs}
            removed = set(roster.removed)
            if roster.complete:
                removed |= self._shown.keys() - listed
            for job_id in removed:
                self._shown.pop(job_id, None)
                self._view.forget(job_id)
            for entry in roster.jobs:
                self._take_entry(entry)

    def _take_entry(self, entry: Job) -> None:
        job = self._shown.get(entry.job_id) or WatchedJob(entry.job_id)
        known = entry.job_id in self._shown
        job.take_entry(entry, now_s=self._clock.now_s())
        if known or not job.over:
            self._shown[job.job_id] = job
            self._view.show(job)
