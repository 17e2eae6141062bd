"""The roster as changes, for one viewer.

It must not know how rosters are read, or how frames are sent.
"""

from collections.abc import AsyncIterator

from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.feeds.feed import FeedKind
from marianne_stream.jobs.hub import JobHub
from marianne_stream.jobs.snapshots import RosterSnapshot
from marianne_stream.jobs.subscriptions import RosterSubscription
from marianne_stream.wire.cursors import RosterCursor
from marianne_stream.wire.job_patterns import ALL_JOBS, JobPatterns
from marianne_stream.wire.sse import EncodedFrames


class RosterFeed:
    """The rosters that a viewer has not seen, as frames; the newest replaces what was not taken.

    Args:
        snapshot: the roster when the viewer came.
        subscription: its hold on the roster.
        cursor: what the viewer has seen, as it says; anything at all.
        job_scope: those that it may see.
    """

    __slots__ = ("_is_resumed", "_job_scope", "_subscription")

    kind: FeedKind = "roster"
    has_heartbeats = True
    is_exhausted = False

    def __init__(
        self,
        snapshot: RosterSnapshot,
        subscription: RosterSubscription,
        cursor: str,
        job_scope: JobPatterns,
    ) -> None:
        self._subscription = subscription
        self._job_scope = job_scope
        subscription.queue.last_delivered = snapshot
        seen = RosterCursor.parse(cursor)
        self._is_resumed = seen is not None and seen.state == snapshot.restrict_to(job_scope).cursor

    @property
    def buffered_bytes(self) -> int:
        """Nothing: the newest roster is everybody's."""
        return 0

    def set_sink(self, sink: Sink) -> None:
        """Says where new rosters may go at once."""
        self._subscription.queue.sink = sink
        self._subscription.queue.diff = self._diff

    async def frames(self) -> AsyncIterator[bytes]:
        """From the first roster on, without an end of its own."""
        mailbox = self._subscription.queue
        first = (
            mailbox.last_delivered.restrict_to(self._job_scope)
            if mailbox.last_delivered is not None
            else None
        )
        if first is not None:
            yield first.make_resume_frames() if self._is_resumed else first.diff_from(None).data
            del first
        while await mailbox.wait():
            seen, view = mailbox.last_delivered, mailbox.take()
            if frames := self._diff(seen, view).data:
                yield frames
            del seen, view

    def _diff(self, seen: RosterSnapshot | None, snapshot: RosterSnapshot) -> EncodedFrames:
        """The frames that lead from one roster to another."""
        return snapshot.restrict_to(self._job_scope).diff_from(
            seen.restrict_to(self._job_scope) if seen is not None else None
        )

    def finish(self) -> None:
        """Lets `frames` end."""
        self._subscription.queue.finish()

    def close(self) -> None:
        """Lets go of the roster."""
        self._subscription.close()


async def open_roster_feed(
    hub: JobHub,
    *,
    poll_interval_s: float,
    cursor: str,
    details: bool = False,
    job_scope: JobPatterns = ALL_JOBS,
) -> RosterFeed:
    """A feed of the roster, as far as these jobs go, which must be left.

    Args:
        hub: who knows the roster.
        poll_interval_s: how old it may get, in seconds.
        cursor: what the viewer has seen, as it says; anything at all.
        details: whether the jobs are watched for what the roster does not tell.
        job_scope: those that the viewer may see.

    Raises:
        StateUnavailableError: nobody could be asked.
    """
    first, watching = await hub.subscribe_roster(poll_interval_s, details=details)
    return RosterFeed(first, watching, cursor, job_scope)
