"""Feeds of snapshots, for one client: the status of a job, and the roster."""

from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.feeds.feed import FeedKind
from marianne_stream.jobs.hub import JobHub
from marianne_stream.jobs.snapshots import JobSnapshot, RosterSnapshot
from marianne_stream.jobs.subscriptions import Subscription
from marianne_stream.wire.cursors import RosterCursor, StatusCursor
from marianne_stream.wire.job_patterns import ALL_JOBS, JobPatterns
from marianne_stream.wire.sse import EncodedFrames

S = TypeVar("S", JobSnapshot, RosterSnapshot)


class SnapshotFeed(Generic[S]):
    """Frames that lead from each snapshot to the next, until one ends the feed.

    A newer snapshot replaces one that the client has not taken. `restrict` returns what the client
    may see of a snapshot. A client that `is_resumed` has seen the first one already.
    """

    __slots__ = ("_is_resumed", "_restrict", "_subscription", "is_exhausted", "kind")

    has_heartbeats = True
    # Snapshots are shared by all clients: none is held for one of them.
    buffered_bytes = 0

    def __init__(
        self,
        kind: FeedKind,
        first: S,
        subscription: Subscription[S],
        *,
        restrict: Callable[[S], S],
        is_resumed: bool,
    ) -> None:
        self.kind = kind
        self.is_exhausted = False
        self._subscription: Subscription[S] = subscription
        self._restrict: Callable[[S], S] = restrict
        self._is_resumed = is_resumed
        subscription.queue.last_delivered = first

    def set_sink(self, sink: Sink) -> None:
        """Send new frames to a sink while `frames` waits for more."""
        self._subscription.queue.sink = sink
        self._subscription.queue.diff = self._diff_unless_ended

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield frames from the first snapshot to the end of the feed. Cancelling is safe."""
        queue = self._subscription.queue
        if not self._is_resumed:
            # The response may have begun long after the feed was opened.
            queue.poll()
        first = queue.last_delivered
        if first is not None:
            # A client that resumes at the current state does not get it again.
            visible = self._restrict(first)
            yield visible.make_resume_frames() if self._is_resumed else self._diff(None, first).data
            if first.end:
                return
            del first, visible
        while await queue.wait():
            previous, snapshot = queue.last_delivered, queue.take()
            if frames := self._diff(previous, snapshot).data:
                yield frames
            if snapshot.end:
                return
            # While the client waits, it must not keep old snapshots in memory.
            del previous, snapshot, frames

    def finish(self) -> None:
        """Let `frames` end."""
        self._subscription.queue.finish()

    def close(self) -> None:
        """End the subscription."""
        self._subscription.close()

    def _diff(self, previous: S | None, snapshot: S) -> EncodedFrames:
        return self._restrict(snapshot).diff_from(
            self._restrict(previous) if previous is not None else None
        )

    def _diff_unless_ended(self, previous: S | None, snapshot: S) -> EncodedFrames | None:
        """Return the frames of a change, or None if the feed ends behind them."""
        return None if snapshot.end else self._diff(previous, snapshot)


async def open_status_feed(
    hub: JobHub, job_id: str, *, poll_interval_s: float, cursor: str, with_paths: bool = False
) -> SnapshotFeed[JobSnapshot]:
    """Open a feed of the status of one job. It must be closed.

    States are at most `poll_interval_s` old. An invalid cursor counts as none. `with_paths` is for
    clients that may see paths of the host.

    Raises:
        JobNotFoundError: the job does not exist.
        StateUnavailableError: no backend could be read.
    """
    first, subscription = await hub.subscribe_job(job_id, poll_interval_s)
    seen = StatusCursor.parse(cursor)
    is_resumed = seen is not None and seen.state == first.cursor
    feed = SnapshotFeed(
        "status",
        first,
        subscription,
        restrict=lambda shown: shown.show_paths() if with_paths else shown,
        is_resumed=is_resumed,
    )
    # The client has seen this state, of this run, as the final one.
    feed.is_exhausted = (
        is_resumed and seen is not None and seen.kind == "f" and first.state.is_terminal
    )
    return feed


async def open_roster_feed(
    hub: JobHub,
    *,
    poll_interval_s: float,
    cursor: str,
    details: bool = False,
    job_scope: JobPatterns = ALL_JOBS,
) -> SnapshotFeed[RosterSnapshot]:
    """Open a feed of the roster. It must be closed.

    Rosters are at most `poll_interval_s` old. An invalid cursor counts as none. With `details`,
    running jobs are watched for what the roster does not hold.

    Raises:
        StateUnavailableError: no backend could be read.
    """
    first, subscription = await hub.roster.subscribe(poll_interval_s, details=details)
    seen = RosterCursor.parse(cursor)
    return SnapshotFeed(
        "roster",
        first,
        subscription,
        restrict=lambda snapshot: snapshot.restrict_to(job_scope),
        is_resumed=seen is not None and seen.state == first.restrict_to(job_scope).cursor,
    )
