"""Subscriptions to a watched job and to the roster, which end with `close`."""

from collections.abc import Callable
from typing import Generic, TypeVar

from marianne_stream.fanout.subscriber_queue import LatestQueue
from marianne_stream.fanout.topic import Topic
from marianne_stream.jobs.snapshots import JobSnapshot
from marianne_stream.jobs.watcher import JobWatcher

T = TypeVar("T")


class Subscription(Generic[T]):
    """A client's subscription to the snapshots of a topic.

    The queue receives those newer than the one at the time of subscribing.
    """

    __slots__ = ("_on_close", "_topic", "queue")

    def __init__(self, topic: Topic[T], *, on_close: Callable[[], None]) -> None:
        self._topic = topic
        self._on_close = on_close
        self.queue: LatestQueue[T] = LatestQueue()
        topic.subscribe(self.queue)

    def close(self) -> None:
        """End the subscription."""
        self.queue.close()
        self._topic.unsubscribe(self.queue)
        self._on_close()


class JobSubscription(Subscription[JobSnapshot]):
    """A client's subscription to a watched job, which is polled at the interval meanwhile."""

    __slots__ = ("_interval_s", "watcher")

    def __init__(
        self, watcher: JobWatcher, interval_s: float, *, on_close: Callable[[JobWatcher], None]
    ) -> None:
        super().__init__(watcher.topic, on_close=lambda: on_close(watcher))
        self.watcher = watcher
        self._interval_s = interval_s
        watcher.add_interval(interval_s)

    def set_interval(self, interval_s: float) -> None:
        """Change the interval, in seconds."""
        self.watcher.add_interval(interval_s)
        self.watcher.remove_interval(self._interval_s)
        self._interval_s = interval_s

    def close(self) -> None:
        """End the subscription."""
        self.watcher.remove_interval(self._interval_s)
        super().close()
