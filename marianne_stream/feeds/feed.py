"""What every feed offers to the one who sends it. It must not know how that is done."""

from collections.abc import AsyncIterator
from typing import Literal, Protocol, get_args

from marianne_stream.fanout.subscriber_queue import Sink

# How much of what is kept for a reader is taken, and sent, at once.
MAX_BATCH_BYTES = 64 * 1024


FeedKind = Literal["status", "roster", "events", "log"]
FEED_KINDS: tuple[FeedKind, ...] = get_args(FeedKind)


class Feed(Protocol):
    """The frames for one viewer, in order.

    Attributes:
        kind: what they tell of.
        is_exhausted: the viewer has seen all that there is, and nothing more will come: there is no
            need to begin.
        has_heartbeats: whether a `heartbeat` belongs on the stream when it is idle.
    """

    @property
    def kind(self) -> FeedKind: ...

    @property
    def is_exhausted(self) -> bool: ...

    @property
    def has_heartbeats(self) -> bool: ...

    @property
    def buffered_bytes(self) -> int:
        """What is kept for the viewer and was not taken yet, roughly."""
        ...

    def set_sink(self, sink: Sink) -> None:
        """Says where frames may go without being taken, while `frames` waits for more."""
        ...

    def frames(self) -> AsyncIterator[bytes]:
        """Bytes that hold whole frames. Ends where the stream does. Cancelling is safe."""
        ...

    def finish(self) -> None:
        """Lets `frames` end once it has given what is there."""
        ...

    def close(self) -> None:
        """Lets go of all that it watches, and of the outlet. Called once; after it, nothing is."""
        ...


class EmptyFeed:
    """In the place of a feed that was left, or would be empty: there is nothing more.

    Args:
        kind: what the other told of.
    """

    __slots__ = ("kind",)

    is_exhausted = True
    has_heartbeats = False
    buffered_bytes = 0

    def __init__(self, kind: FeedKind) -> None:
        self.kind = kind

    def set_sink(self, sink: Sink) -> None:
        """Has nothing to send."""

    async def frames(self) -> AsyncIterator[bytes]:
        """None."""
        nothing: tuple[bytes, ...] = ()
        for frames in nothing:
            yield frames

    def finish(self) -> None:
        """Has no frames that could end."""

    def close(self) -> None:
        """Has nothing to let go of."""
