"""`watch JOB…`: some jobs, each by its own stream, until all of them have ended.

It must not know how they are shown.
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress

from marianne_stream.client.address import job_path
from marianne_stream.client.answers import Detail, Status
from marianne_stream.client.notes import SourceNotes
from marianne_stream.client.server import Server
from marianne_stream.client.stream import Event, Stream, read
from marianne_stream.client.views import View
from marianne_stream.client.watched import EXIT_CODES, EXIT_NOT_FOUND, WatchedJob, worst
from marianne_stream.errors import CliJobNotFoundError, MarianneStreamError, ServerUnreachableError

# How old a change that no event announces may get before it is seen.
POLL_INTERVAL_S = 1.0

# A duration is not worth waiting for longer, with events to come.
TIMES_LIMIT_S = 2.0


async def watch_jobs(server: Server, view: View, job_ids: Sequence[str]) -> int:
    """Watches jobs to their ends, and returns the worst of their exit codes.

    What goes wrong with one is said, and the others go on. Cancelling is safe.

    Raises:
        OSError: the view cannot write.
    """
    source = SourceNotes(server.notes)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(JobWatch(server, view, source, WatchedJob(job_id)).run())
                for job_id in dict.fromkeys(job_ids)
            ]
    except BaseExceptionGroup as error:
        # What ends one ends all: nobody reads, or there is a fault of ours.
        raise error.exceptions[0] from error
    return worst([task.result() for task in tasks])


class JobWatch:
    """Watches one job.

    Args:
        server: whose job it is.
        view: what shows it.
        source: who hears where its state comes from.
        job: what is known of it.
    """

    def __init__(self, server: Server, view: View, source: SourceNotes, job: WatchedJob) -> None:
        self._server = server
        self._view = view
        self._source = source
        self._job = job
        self._path = job_path(job.job_id)

    async def run(self) -> int:
        """Watches it to its end, and returns the exit code."""
        self._view.show(self._job)
        try:
            await self._read()
        except MarianneStreamError as error:
            if isinstance(error, CliJobNotFoundError):
                self._job.trouble = "not found"
            elif isinstance(error, ServerUnreachableError):
                self._job.trouble = "unreachable"
            else:
                self._job.trouble = "refused"
            self._view.show(self._job)
            self._server.notes.say(str(error))
            return error.exit_code
        return EXIT_CODES.get(self._job.status, EXIT_NOT_FOUND)

    async def _read(self) -> None:
        params = {"poll_interval": str(POLL_INTERVAL_S)}
        stream = Stream(self._server, f"{self._path}/stream", params)
        async with aclosing(stream.batches()) as batches:
            async for batch in batches:
                for event in batch:
                    self._view.hear(event)
                    await self._take(event)

    async def _take(self, event: Event) -> None:
        """Takes what an event says."""
        if event.name == "source":
            self._source.hear(event.data)
        elif event.name == "job_status":
            changed = self._job.take_status(read(event, Status), now_s=self._server.clock.now_s())
            self._view.show(self._job)
            if changed and self._view.shows_times:
                await self._ask_times()
        elif event.name == "job_deleted":
            raise CliJobNotFoundError(f"{self._job.job_id} is gone: the conductor knows it no more")

    async def _ask_times(self) -> None:
        """Asks when the job started and ended, which its stream does not say."""
        with suppress(MarianneStreamError):
            detail = await self._server.ask(self._path, {}, Detail, limit_s=TIMES_LIMIT_S)
            self._job.take_times(detail)
            self._view.show(self._job)
