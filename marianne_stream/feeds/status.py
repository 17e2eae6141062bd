"""The status of one job, for one viewer.

It must not know how state is read, or how frames are sent.
"""

from collections.abc import AsyncIterator

from marianne_stream.fanout.mailboxes import Sink
from marianne_stream.feeds.feed import Kind
from marianne_stream.jobs.views import JobSnapshot
from marianne_stream.jobs.watches import JobHub, JobSubscription
from marianne_stream.wire.cursors import StatusCursor
from marianne_stream.wire.sse import Frames


class StatusFeed:
    """The views of a job that a viewer has not seen, as frames; the newest replaces older ones.

    Args:
        view: the newest view when the viewer came.
        watching: its hold on the job.
        cursor: what the viewer has seen, as it says; anything at all.
    """

    __slots__ = ("_resumes", "_watching", "nothing_new")

    kind: Kind = "status"
    heartbeats = True

    def __init__(self, view: JobSnapshot, watching: JobSubscription, cursor: str) -> None:
        self._watching = watching
        watching.queue.last_delivered = view
        seen = StatusCursor.parse(cursor)
        self._resumes = seen is not None and seen.state == view.cursor
        # The same state, of the same run, was the end before: it need not be found out again.
        self.nothing_new = (
            seen is not None and self._resumes and seen.kind == "f" and view.state.terminal
        )

    @property
    def held_bytes(self) -> int:
        """Nothing: the newest view is everybody's."""
        return 0

    def attach(self, outlet: Sink) -> None:
        """Says where new views may go at once."""
        self._watching.queue.sink = outlet
        self._watching.queue.diff = change_at_once

    async def frames(self) -> AsyncIterator[bytes]:
        """From the first view to the end of the job."""
        mailbox = self._watching.queue
        first = mailbox.last_delivered
        if first is not None:
            # One who resumes at the current state gets no snapshot again.
            yield first.make_resume_frames() if self._resumes else first.diff_from(None).data
            if first.end:
                return
            del first
        while await mailbox.wait():
            seen, view = mailbox.last_delivered, mailbox.take()
            if frames := view.diff_from(seen).data:
                yield frames
            if view.end:
                return
            del seen, view

    def close(self) -> None:
        """Lets `frames` end."""
        self._watching.queue.finish()

    def leave(self) -> None:
        """Lets go of the job."""
        self._watching.close()


def change_at_once(seen: JobSnapshot | None, view: JobSnapshot) -> Frames | None:
    """The frames of a change; None where the stream ends behind them."""
    return None if view.end else view.diff_from(seen)


async def status_feed(
    watches: JobHub, job_id: str, *, poll_interval_s: float, cursor: str
) -> StatusFeed:
    """A feed of one job, which must be left.

    Raises:
        JobNotFoundError: there is no such job.
        StateUnavailableError: nobody could be asked.
    """
    view, watching = await watches.subscribe_job(job_id, poll_interval_s)
    return StatusFeed(view, watching, cursor)
