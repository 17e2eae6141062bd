"""Subscriptions to a watched job and to the roster, which end with `close`."""

from collections.abc import Callable

from marianne_stream.fanout.subscriber_queue import LatestQueue
from marianne_stream.fanout.topic import Topic
from marianne_stream.jobs.roster_poller import RosterPoller
from marianne_stream.jobs.snapshots import JobSnapshot, RosterSnapshot
from marianne_stream.jobs.watcher import JobWatcher


class JobSubscription:
    """A client's subscription to a watched job.

    Args:
        watcher: watcher of the job.
        roster_poller: polled at the interval meanwhile.
        interval_s: longest age of a change that is not announced, in seconds.
        on_close: called with the watcher after the subscription has ended.

    Attributes:
        watcher: the same.
        queue: receives snapshots newer than the one at the time of subscribing.
    """

    __slots__ = ("_interval_s", "_on_close", "_roster_poller", "queue", "watcher")

    def __init__(
        self,
        watcher: JobWatcher,
        roster_poller: RosterPoller,
        interval_s: float,
        *,
        on_close: Callable[[JobWatcher], None],
    ) -> None:
        self.watcher = watcher
        self.queue: LatestQueue[JobSnapshot] = LatestQueue()
        self._roster_poller = roster_poller
        self._interval_s = interval_s
        self._on_close = on_close
        watcher.subscribe(self.queue, interval_s)
        roster_poller.add_interval(interval_s)

    def set_interval(self, interval_s: float) -> None:
        """Change the interval, in seconds."""
        before, self._interval_s = self._interval_s, interval_s
        self.watcher.unsubscribe(self.queue, before)
        self.watcher.subscribe(self.queue, interval_s)
        self._roster_poller.add_interval(interval_s)
        self._roster_poller.remove_interval(before)

    def close(self) -> None:
        """End the subscription."""
        self.queue.close()
        self.watcher.unsubscribe(self.queue, self._interval_s)
        self._roster_poller.remove_interval(self._interval_s)
        self._on_close(self.watcher)


class RosterSubscription:
    """A client's subscription to the roster.

    Args:
        topic: publishes snapshots of the roster.
        on_close: called after the subscription has ended.

    Attributes:
        queue: receives snapshots.
    """

    __slots__ = ("_on_close", "_topic", "queue")

    def __init__(self, topic: Topic[RosterSnapshot], *, on_close: Callable[[], None]) -> None:
        self._topic = topic
        self._on_close = on_close
        self.queue: LatestQueue[RosterSnapshot] = LatestQueue()
        topic.subscribe(self.queue)

    def close(self) -> None:
        """End the subscription."""
        self.queue.close()
        self._topic.unsubscribe(self.queue)
        self._on_close()
