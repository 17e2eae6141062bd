"""Publish-subscribe topics."""

from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Subscriber(Protocol[T_contra]):
    """Receiver of published items."""

    def offer(self, item: T_contra, /) -> None:
        """Take an item without waiting. Must not raise."""
        ...


class Topic(Generic[T]):
    """Offers each published item to all subscribers, in the order in which they subscribed."""

    def __init__(self) -> None:
        self._subscribers: dict[Subscriber[T], None] = {}

    def __len__(self) -> int:
        return len(self._subscribers)

    def publish(self, item: T) -> None:
        """Offer an item to all current subscribers."""
        for subscriber in self._subscribers:
            subscriber.offer(item)

    def subscribe(self, subscriber: Subscriber[T]) -> None:
        """Add a subscriber. It gets what is published from now on."""
        self._subscribers[subscriber] = None

    def unsubscribe(self, subscriber: Subscriber[T]) -> None:
        """Remove a subscriber."""
        del self._subscribers[subscriber]
