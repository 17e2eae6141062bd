"""A topic and its subscribers. It must not know what is published, or how a subscriber keeps it."""

from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Subscriber(Protocol[T_contra]):
    """Somebody who is offered what is published. An offer never waits, and never fails."""

    def offer(self, item: T_contra, /) -> None:
        """Takes an item in, by a policy of its own."""
        ...


class Topic(Generic[T]):
    """Offers what is published to everyone who has subscribed, in the order in which they did."""

    def __init__(self) -> None:
        self._subscribers: dict[Subscriber[T], None] = {}

    def __len__(self) -> int:
        return len(self._subscribers)

    def publish(self, item: T) -> None:
        """Offers an item to all subscribers of this moment."""
        for subscriber in self._subscribers:
            subscriber.offer(item)

    def subscribe(self, subscriber: Subscriber[T]) -> None:
        """Offers what is published from now on."""
        self._subscribers[subscriber] = None

    def unsubscribe(self, subscriber: Subscriber[T]) -> None:
        """Offers nothing more to one who has subscribed."""
        del self._subscribers[subscriber]
