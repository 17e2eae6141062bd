"""What one subscriber has not taken yet, under two policies: the newest only, or all up to a bound.

Nobody waits for a slow reader, so an offer never does. A mailbox must not know what happens to what
is taken.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Sized(Protocol):
    """An item that knows what it costs to keep."""

    @property
    def size_bytes(self) -> int:
        """What it holds in memory, roughly."""
        ...


S = TypeVar("S", bound=Sized)


class Mailbox(ABC):
    """Waiting for something to take, and closing; one reader at a time."""

    def __init__(self) -> None:
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None

    def close(self) -> None:
        """Nothing more will come: the reader takes what is left, and is told of the end."""
        self._closed = True
        self._wake()

    async def wait(self) -> bool:
        """Waits until there is something to take; false when nothing will come any more.

        Safe to cancel.
        """
        while not self._filled():
            if self._closed:
                return False
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return True

    @abstractmethod
    def _filled(self) -> bool:
        """Whether there is something to take."""

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class LatestMailbox(Mailbox, Generic[T]):
    """Keeps the newest item: what has not been taken gives way to it."""

    def __init__(self) -> None:
        super().__init__()
        self._item: T | None = None

    def offer(self, item: T, /) -> None:
        """Puts an item in the place of the last."""
        self._item = item
        self._wake()

    def take(self) -> T:
        """The newest item. There must be one: `wait` said so."""
        item, self._item = self._item, None
        if item is None:
            raise LookupError("the mailbox is empty")
        return item

    def _filled(self) -> bool:
        return self._item is not None


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """What a reader takes at once: how many items were lost before them, and the items."""

    missed: int
    items: tuple[T, ...]


class BoundedMailbox(Mailbox, Generic[S]):
    """Keeps all items up to a bound; beyond it the oldest go, and are counted.

    Args:
        max_items: how many are kept.
        max_bytes: how much they may hold together.
    """

    def __init__(self, *, max_items: int = 1000, max_bytes: int = 1024 * 1024) -> None:
        super().__init__()
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._items: deque[S] = deque()
        self._size = 0
        self._missed = 0

    def offer(self, item: S, /) -> None:
        """Adds an item, and lets the oldest go where the bound is passed."""
        self._items.append(item)
        self._size += item.size_bytes
        # What has just come is kept, however large it is: it is the reason to wake the reader.
        while len(self._items) > 1 and self._is_over():
            self._size -= self._items.popleft().size_bytes
            self._missed += 1
        self._wake()

    def _is_over(self) -> bool:
        return len(self._items) > self._max_items or self._size > self._max_bytes

    def take(self) -> Batch[S]:
        """All that is there."""
        batch = Batch(self._missed, tuple(self._items))
        self._items.clear()
        self._size = self._missed = 0
        return batch

    def _filled(self) -> bool:
        return bool(self._items or self._missed)
