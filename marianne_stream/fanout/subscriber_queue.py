"""Subscriber queues: keep the newest item only, or all items up to a limit.

The publisher never waits for a slow consumer. While the reader waits and its sink has room, an
offered item is sent at once, without waking the reader's task.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from marianne_stream.wire.sse import EncodedFrames

T = TypeVar("T")


class SizedItem(Protocol):
    """An item with a known memory size."""

    @property
    def size_bytes(self) -> int:
        """Approximate size in memory, in bytes."""
        ...


S = TypeVar("S", bound=SizedItem)


class Sink(Protocol):
    """Output for encoded frames."""

    def try_send(self, frames: EncodedFrames, /) -> bool:
        """Send frames and return True; if there is no room, send nothing and return False."""
        ...


class SubscriberQueue(ABC):
    """Base of the queues: waiting and closing, for one reader at a time.

    Attributes:
        sink: receives items directly while the reader waits; None if the reader takes them itself.
    """

    __slots__ = ("__weakref__", "_finished", "_waiter", "sink")

    def __init__(self) -> None:
        self.sink: Sink | None = None
        self._finished = False
        self._waiter: asyncio.Future[None] | None = None

    def finish(self) -> None:
        """Accept no more items: the reader takes the rest, and then `wait` returns False."""
        self._finished = True
        self._wake()

    def close(self) -> None:
        """Release the sink and everything else that belongs to the reader."""
        self.sink = None

    async def wait(self) -> bool:
        """Wait for an item. Return False if the queue is finished and empty. Cancelling is safe."""
        while not self._has_items():
            if self._finished:
                return False
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return True

    @abstractmethod
    def _has_items(self) -> bool:
        """Return True if an item can be taken."""

    @property
    def _is_reader_waiting(self) -> bool:
        """True if the reader has taken everything and waits for more."""
        return self._waiter is not None and not self._waiter.done()

    def _try_send(self, frames: EncodedFrames) -> bool:
        """Send frames directly if possible; return True if they were sent."""
        return self._is_reader_waiting and self.sink is not None and self.sink.try_send(frames)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class LatestQueue(SubscriberQueue, Generic[T]):
    """Keeps the newest item only: a new item replaces one that was not taken.

    Attributes:
        last_delivered: the last item that the reader got.
        diff: returns the frames from one item to another, or None if the reader must take the item
            itself.
    """

    __slots__ = ("_item", "diff", "last_delivered")

    def __init__(self) -> None:
        super().__init__()
        self._item: T | None = None
        self.last_delivered: T | None = None
        self.diff: Callable[[T | None, T], EncodedFrames | None] | None = None

    def close(self) -> None:
        """Release the sink and the last item."""
        super().close()
        self.diff = self.last_delivered = None

    def offer(self, item: T, /) -> None:
        """Send the difference to an item at once if possible, or replace the waiting item."""
        if self._finished:
            return
        if self.diff is not None and self._is_reader_waiting:
            frames = self.diff(self.last_delivered, item)
            if frames is not None and (not frames.data or self._try_send(frames)):
                self.last_delivered = item
                return
        self._item = item
        self._wake()

    def take(self) -> T:
        """Return the newest item. Call only after `wait` returned True."""
        item = self.poll()
        if item is None:
            raise LookupError("the queue is empty: call wait() first")
        return item

    def poll(self) -> T | None:
        """Return the newest item; None if none waits to be taken."""
        item, self._item = self._item, None
        if item is not None:
            self.last_delivered = item
        return item

    def _has_items(self) -> bool:
        return self._item is not None


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """Items that a reader takes at once.

    Attributes:
        items: the items, oldest first.
        first_dropped: the first of the items dropped before them; None if none was.
    """

    items: tuple[T, ...]
    first_dropped: T | None = None


class DropOldestQueue(SubscriberQueue, Generic[S]):
    """Keeps all items up to a limit, then drops the oldest and remembers the first dropped.

    Args:
        max_items: largest number of items.
        max_bytes: largest total size of the items, in bytes.
    """

    __slots__ = ("_first_dropped", "_items", "_max_bytes", "_max_items", "_size_bytes")

    def __init__(self, *, max_items: int = 1000, max_bytes: int = 1024 * 1024) -> None:
        super().__init__()
        self._max_items = max_items
        self._max_bytes = max_bytes
        # Empty most of the time; an empty deque takes 700 bytes.
        self._items: list[S] = []
        self._size_bytes = 0
        self._first_dropped: S | None = None

    @property
    def buffered_bytes(self) -> int:
        """Approximate size of the waiting items, in bytes."""
        return self._size_bytes

    def offer_all(self, items: Sequence[S], frames: EncodedFrames) -> None:
        """Send frames at once if possible; otherwise queue the items that they encode."""
        if self._finished:
            return
        if not self._try_send(frames):
            for item in items:
                self.offer(item)

    def offer(self, item: S, /) -> None:
        """Add an item, and drop the oldest ones above the limit."""
        if self._finished:
            return
        self._items.append(item)
        self._size_bytes += item.size_bytes
        # Always keep the newest item, even above the limit: it is what wakes the reader. A waiting
        # reader empties the queue on the next loop iteration, so it is not slow.
        while self._waiter is None and len(self._items) > 1 and self._is_over_limit():
            dropped = self._items.pop(0)
            self._size_bytes -= dropped.size_bytes
            self._first_dropped = self._first_dropped or dropped
        self._wake()

    def _is_over_limit(self) -> bool:
        return len(self._items) > self._max_items or self._size_bytes > self._max_bytes

    def take(self, max_bytes: int | None = None) -> Batch[S]:
        """Return the oldest items.

        Args:
            max_bytes: limit of their total size, in bytes; at least one item is returned. None
                returns all.
        """
        count = size = 0
        for item in self._items:
            if count and max_bytes is not None and size + item.size_bytes > max_bytes:
                break
            count += 1
            size += item.size_bytes
        items = tuple(self._items[:count])
        del self._items[:count]
        self._size_bytes -= size
        first_dropped, self._first_dropped = self._first_dropped, None
        return Batch(items, first_dropped)

    def _has_items(self) -> bool:
        return bool(self._items or self._first_dropped is not None)
