"""The status of one job, for one viewer.

It must not know how state is read, or how frames are sent.
"""

from collections.abc import AsyncIterator

from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.feeds.feed import FeedKind
from marianne_stream.jobs.hub import JobHub, JobSubscription
from marianne_stream.jobs.snapshots import JobSnapshot
from marianne_stream.wire.cursors import StatusCursor
from marianne_stream.wire.sse import EncodedFrames


class StatusFeed:
    """The views of a job that a viewer has not seen, as frames; the newest replaces older ones.

    Args:
        snapshot: the newest view when the viewer came.
        subscription: its hold on the job.
        cursor: what the viewer has seen, as it says; anything at all.
    """

    __slots__ = ("_is_resumed", "_subscription", "is_exhausted")

    kind: FeedKind = "status"
    has_heartbeats = True

    def __init__(self, snapshot: JobSnapshot, subscription: JobSubscription, cursor: str) -> None:
        self._subscription = subscription
        subscription.queue.last_delivered = snapshot
        seen = StatusCursor.parse(cursor)
        self._is_resumed = seen is not None and seen.state == snapshot.cursor
        # The same state, of the same run, was the end before: it need not be found out again.
        self.is_exhausted = (
            seen is not None
            and self._is_resumed
            and seen.kind == "f"
            and snapshot.state.is_terminal
        )

    @property
    def buffered_bytes(self) -> int:
        """Nothing: the newest view is everybody's."""
        return 0

    def set_sink(self, sink: Sink) -> None:
        """Says where new views may go at once."""
        self._subscription.queue.sink = sink
        self._subscription.queue.diff = diff_unless_ended

    async def frames(self) -> AsyncIterator[bytes]:
        """From the first view to the end of the job."""
        mailbox = self._subscription.queue
        first = mailbox.last_delivered
        if first is not None:
            # One who resumes at the current state gets no snapshot again.
            yield first.make_resume_frames() if self._is_resumed else first.diff_from(None).data
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

    def finish(self) -> None:
        """Lets `frames` end."""
        self._subscription.queue.finish()

    def close(self) -> None:
        """Lets go of the job."""
        self._subscription.close()


def diff_unless_ended(seen: JobSnapshot | None, snapshot: JobSnapshot) -> EncodedFrames | None:
    """The frames of a change; None where the stream ends behind them."""
    return None if snapshot.end else snapshot.diff_from(seen)


async def open_status_feed(
    hub: JobHub, job_id: str, *, poll_interval_s: float, cursor: str
) -> StatusFeed:
    """A feed of one job, which must be left.

    Raises:
        JobNotFoundError: there is no such job.
        StateUnavailableError: nobody could be asked.
    """
    view, watching = await hub.subscribe_job(job_id, poll_interval_s)
    return StatusFeed(view, watching, cursor)
