"""What one subscriber has not taken yet, under two policies: the newest only, or all up to a bound.

Nobody waits for a slow reader, so an offer never does. While the reader waits, and has room for
more, what is offered goes out at once and wakes nobody. A mailbox must not know how it is sent.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from marianne_stream.wire.sse import EncodedFrames

T = TypeVar("T")


class SizedItem(Protocol):
    """An item that knows what it costs to keep."""

    @property
    def size_bytes(self) -> int:
        """What it holds in memory, roughly."""
        ...


S = TypeVar("S", bound=SizedItem)


class Sink(Protocol):
    """Where frames go out."""

    def try_send(self, frames: EncodedFrames, /) -> bool:
        """Sends frames where there is room; false, and nothing sent, where there is none."""
        ...


class SubscriberQueue(ABC):
    """Waiting for something to take, and closing; one reader at a time.

    What is offered once it is closed is let go.

    Attributes:
        sink: where what is offered goes while the reader waits; None where it has to be taken.
    """

    __slots__ = ("__weakref__", "_finished", "_waiter", "sink")

    def __init__(self) -> None:
        self.sink: Sink | None = None
        self._finished = False
        self._waiter: asyncio.Future[None] | None = None

    def finish(self) -> None:
        """Nothing more will come: the reader takes what is left, and is told of the end."""
        self._finished = True
        self._wake()

    def close(self) -> None:
        """Lets go of the outlet, and of whatever else is the reader's."""
        self.sink = None

    async def wait(self) -> bool:
        """Waits until there is something to take; false when nothing will come any more.

        Safe to cancel.
        """
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
        """Whether there is something to take."""

    @property
    def _is_reader_waiting(self) -> bool:
        """Whether the reader has taken all, and waits for more."""
        return self._waiter is not None and not self._waiter.done()

    def _try_send(self, frames: EncodedFrames) -> bool:
        """Whether frames went out at once."""
        return self._is_reader_waiting and self.sink is not None and self.sink.try_send(frames)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class LatestQueue(SubscriberQueue, Generic[T]):
    """Keeps the newest item: what has not been taken gives way to it.

    Attributes:
        last_delivered: what the reader has been given last.
        diff: what leads from there to another item, as frames; None where the reader must see to
            it himself.
    """

    __slots__ = ("_item", "diff", "last_delivered")

    def __init__(self) -> None:
        super().__init__()
        self._item: T | None = None
        self.last_delivered: T | None = None
        self.diff: Callable[[T | None, T], EncodedFrames | None] | None = None

    def close(self) -> None:
        """Lets go of the outlet, and of what was seen."""
        super().close()
        self.diff = self.last_delivered = None

    def offer(self, item: T, /) -> None:
        """Puts an item in the place of the last, unless its frames can go out at once."""
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
        """The newest item. There must be one: `wait` said so."""
        item, self._item = self._item, None
        if item is None:
            raise LookupError("the mailbox is empty")
        self.last_delivered = item
        return item

    def _has_items(self) -> bool:
        return self._item is not None


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """What a reader takes at once.

    Attributes:
        items: what it takes.
        first_dropped: the first of those that were lost before them; None where none was.
    """

    items: tuple[T, ...]
    first_dropped: T | None = None


class DropOldestQueue(SubscriberQueue, Generic[S]):
    """Keeps all items up to a bound; beyond it the oldest go, and the first of them is known.

    Args:
        max_items: how many are kept.
        max_bytes: how much they may hold together.
    """

    __slots__ = ("_first_dropped", "_items", "_max_bytes", "_max_items", "_size_bytes")

    def __init__(self, *, max_items: int = 1000, max_bytes: int = 1024 * 1024) -> None:
        super().__init__()
        self._max_items = max_items
        self._max_bytes = max_bytes
        # Empty most of the time, of which a deque would take 700 bytes.
        self._items: list[S] = []
        self._size_bytes = 0
        self._first_dropped: S | None = None

    @property
    def buffered_bytes(self) -> int:
        """What is kept, roughly."""
        return self._size_bytes

    def offer_all(self, items: Sequence[S], frames: EncodedFrames) -> None:
        """Sends frames at once, or keeps the items that they are made of."""
        if self._finished:
            return
        if not self._try_send(frames):
            for item in items:
                self.offer(item)

    def offer(self, item: S, /) -> None:
        """Adds an item, and lets the oldest go where the bound is passed."""
        if self._finished:
            return
        self._items.append(item)
        self._size_bytes += item.size_bytes
        # What has just come is kept, however large it is: it is the reason to wake the reader. One
        # who waits takes all in the next turn of the loop, and is not behind.
        while self._waiter is None and len(self._items) > 1 and self._is_over_limit():
            gone = self._items.pop(0)
            self._size_bytes -= gone.size_bytes
            self._first_dropped = self._first_dropped or gone
        self._wake()

    def _is_over_limit(self) -> bool:
        return len(self._items) > self._max_items or self._size_bytes > self._max_bytes

    def take(self, max_bytes: int | None = None) -> Batch[S]:
        """The oldest items: one at least, and no more than so many bytes; all where it is None."""
        count = size = 0
        for item in self._items:
            if count and max_bytes is not None and size + item.size_bytes > max_bytes:
                break
            count += 1
            size += item.size_bytes
        items = tuple(self._items[:count])
        del self._items[:count]
        self._size_bytes -= size
        lost, self._first_dropped = self._first_dropped, None
        return Batch(items, lost)

    def _has_items(self) -> bool:
        return bool(self._items or self._first_dropped is not None)
