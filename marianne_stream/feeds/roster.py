"""The roster as changes, for one viewer.

It must not know how rosters are read, or how frames are sent.
"""

from collections.abc import AsyncIterator

from marianne_stream.fanout.mailboxes import Sink
from marianne_stream.feeds.feed import Kind
from marianne_stream.jobs.roster_hold import RosterSubscription
from marianne_stream.jobs.views import RosterSnapshot
from marianne_stream.jobs.watches import JobHub
from marianne_stream.wire.cursors import RosterCursor
from marianne_stream.wire.job_patterns import ALL_JOBS, JobPatterns
from marianne_stream.wire.sse import Frames


class RosterFeed:
    """The rosters that a viewer has not seen, as frames; the newest replaces what was not taken.

    Args:
        first: the roster when the viewer came.
        watching: its hold on the roster.
        cursor: what the viewer has seen, as it says; anything at all.
        jobs: those that it may see.
    """

    __slots__ = ("_jobs", "_resumes", "_watching")

    kind: Kind = "roster"
    heartbeats = True
    nothing_new = False

    def __init__(
        self, first: RosterSnapshot, watching: RosterSubscription, cursor: str, jobs: JobPatterns
    ) -> None:
        self._watching = watching
        self._jobs = jobs
        watching.queue.last_delivered = first
        seen = RosterCursor.parse(cursor)
        self._resumes = seen is not None and seen.state == first.restrict_to(jobs).cursor

    @property
    def held_bytes(self) -> int:
        """Nothing: the newest roster is everybody's."""
        return 0

    def attach(self, outlet: Sink) -> None:
        """Says where new rosters may go at once."""
        self._watching.queue.sink = outlet
        self._watching.queue.diff = self._change

    async def frames(self) -> AsyncIterator[bytes]:
        """From the first roster on, without an end of its own."""
        mailbox = self._watching.queue
        first = (
            mailbox.last_delivered.restrict_to(self._jobs)
            if mailbox.last_delivered is not None
            else None
        )
        if first is not None:
            yield first.make_resume_frames() if self._resumes else first.diff_from(None).data
            del first
        while await mailbox.wait():
            seen, view = mailbox.last_delivered, mailbox.take()
            if frames := self._change(seen, view).data:
                yield frames
            del seen, view

    def _change(self, seen: RosterSnapshot | None, view: RosterSnapshot) -> Frames:
        """The frames that lead from one roster to another."""
        return view.restrict_to(self._jobs).diff_from(
            seen.restrict_to(self._jobs) if seen is not None else None
        )

    def close(self) -> None:
        """Lets `frames` end."""
        self._watching.queue.finish()

    def leave(self) -> None:
        """Lets go of the roster."""
        self._watching.close()


async def roster_feed(
    watches: JobHub,
    *,
    poll_interval_s: float,
    cursor: str,
    details: bool = False,
    jobs: JobPatterns = ALL_JOBS,
) -> RosterFeed:
    """A feed of the roster, as far as these jobs go, which must be left.

    Args:
        watches: who knows the roster.
        poll_interval_s: how old it may get, in seconds.
        cursor: what the viewer has seen, as it says; anything at all.
        details: whether the jobs are watched for what the roster does not tell.
        jobs: those that the viewer may see.

    Raises:
        StateUnavailableError: nobody could be asked.
    """
    first, watching = await watches.subscribe_roster(poll_interval_s, details=details)
    return RosterFeed(first, watching, cursor, jobs)
