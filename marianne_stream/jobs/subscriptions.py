"""A viewer's hold on the roster. It must not know how rosters are asked for."""

from marianne_stream.fanout.subscriber_queue import LatestQueue
from marianne_stream.fanout.topic import Topic
from marianne_stream.jobs.roster_poller import RosterPoller
from marianne_stream.jobs.roster_watchers import RosterJobWatchers
from marianne_stream.jobs.snapshots import RosterSnapshot


class RosterSubscription:
    """A viewer's hold on the roster, until it leaves.

    Args:
        poller: who asks for rosters.
        topic: where they are published.
        interval_s: how old one may get, in seconds.
        job_watchers: who watches the jobs for it; None where it does not want that.

    Attributes:
        queue: where rosters arrive.
    """

    __slots__ = ("_interval_s", "_job_watchers", "_poller", "_topic", "queue")

    def __init__(
        self,
        poller: RosterPoller,
        topic: Topic[RosterSnapshot],
        interval_s: float,
        job_watchers: RosterJobWatchers | None,
    ) -> None:
        self._poller = poller
        self._topic = topic
        self._interval_s = interval_s
        self._job_watchers = job_watchers
        self.queue: LatestQueue[RosterSnapshot] = LatestQueue()
        poller.add_interval(interval_s)
        topic.subscribe(self.queue)
        if job_watchers is not None:
            job_watchers.add_interval(interval_s)

    def close(self) -> None:
        """Lets go of the roster."""
        self.queue.close()
        self._topic.unsubscribe(self.queue)
        self._poller.remove_interval(self._interval_s)
        if self._job_watchers is not None:
            self._job_watchers.remove_interval(self._interval_s)
