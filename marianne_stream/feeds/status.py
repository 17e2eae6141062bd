"""The status of one job, for one viewer.

It must not know how state is read, or how frames are sent.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from marianne_stream.jobs.watches import Watches, Watching
from marianne_stream.wire.cursors import StatusCursor


class StatusFeed:
    """The views of a job that a viewer has not seen, as frames; the newest replaces older ones.

    Args:
        watching: the viewer's hold on the job.
        cursor: what the viewer has seen, as it says; anything at all.
    """

    heartbeats = True

    def __init__(self, watching: Watching, cursor: str) -> None:
        self._watching = watching
        seen = StatusCursor.parse(cursor)
        view = watching.view
        self._resumes = seen is not None and seen.state == view.cursor
        # The same state, of the same run, was the end before: it need not be found out again.
        self.nothing_new = (
            seen is not None and self._resumes and seen.kind == "f" and view.state.terminal
        )

    async def frames(self) -> AsyncIterator[bytes]:
        """From the first view to the end of the job."""
        view, mailbox = self._watching.view, self._watching.mailbox
        # One who resumes at the current state gets no snapshot again.
        yield view.resumed() if self._resumes else view.since(None)
        while not view.end and await mailbox.wait():
            seen, view = view, mailbox.take()
            if frames := view.since(seen):
                yield frames

    def close(self) -> None:
        """Lets `frames` end."""
        self._watching.mailbox.close()


@asynccontextmanager
async def status_feed(
    watches: Watches, job_id: str, *, poll_interval_s: float, cursor: str
) -> AsyncIterator[StatusFeed]:
    """A feed of one job for as long as the context lasts.

    Raises:
        JobNotFoundError: there is no such job.
        StateUnavailableError: nobody could be asked.
    """
    async with watches.watching(job_id, poll_interval_s) as watching:
        yield StatusFeed(watching, cursor)
