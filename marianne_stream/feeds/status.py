"""The status of one job, for one viewer.

It must not know how state is read, or how frames are sent.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from marianne_stream.fanout.mailboxes import Outlet
from marianne_stream.jobs.views import JobView
from marianne_stream.jobs.watches import Watches, Watching
from marianne_stream.wire.cursors import StatusCursor
from marianne_stream.wire.sse import Frames


class StatusFeed:
    """The views of a job that a viewer has not seen, as frames; the newest replaces older ones.

    Args:
        watching: the viewer's hold on the job.
        cursor: what the viewer has seen, as it says; anything at all.
    """

    heartbeats = True

    def __init__(self, watching: Watching, cursor: str) -> None:
        self._watching = watching
        self._mailbox = watching.mailbox
        seen = StatusCursor.parse(cursor)
        view = watching.view
        self._resumes = seen is not None and seen.state == view.cursor
        # The same state, of the same run, was the end before: it need not be found out again.
        self.nothing_new = (
            seen is not None and self._resumes and seen.kind == "f" and view.state.terminal
        )

    @property
    def held_bytes(self) -> int:
        """Nothing: the newest view is everybody's."""
        return 0

    def attach(self, outlet: Outlet) -> None:
        """Says where new views may go at once."""
        self._mailbox.outlet = outlet
        self._mailbox.change = change_at_once

    async def frames(self) -> AsyncIterator[bytes]:
        """From the first view to the end of the job."""
        view, mailbox = self._watching.view, self._mailbox
        mailbox.seen = view
        # One who resumes at the current state gets no snapshot again.
        yield view.resumed() if self._resumes else view.since(None).data
        while not view.end and await mailbox.wait():
            seen, view = mailbox.seen, mailbox.take()
            if frames := view.since(seen).data:
                yield frames

    def close(self) -> None:
        """Lets `frames` end."""
        self._mailbox.close()


def change_at_once(seen: JobView | None, view: JobView) -> Frames | None:
    """The frames of a change; None where the stream ends behind them."""
    return None if view.end else view.since(seen)


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
