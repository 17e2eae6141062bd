"""Interface of all feeds towards the response that sends them."""

from collections.abc import AsyncIterator
from typing import Literal, Protocol, get_args

from marianne_stream.fanout.subscriber_queue import Sink

# Limit of what is taken from a queue, and sent, at once.
MAX_BATCH_BYTES = 64 * 1024


FeedKind = Literal["status", "roster", "events", "log", "combined"]
FEED_KINDS: tuple[FeedKind, ...] = get_args(FeedKind)


class Feed(Protocol):
    """Frames for one client, in order."""

    @property
    def kind(self) -> FeedKind:
        """Kind of the feed."""

    @property
    def is_exhausted(self) -> bool:
        """True if the client has seen everything and nothing will follow."""

    @property
    def has_heartbeats(self) -> bool:
        """True if an idle stream gets `heartbeat` events."""

    @property
    def buffered_bytes(self) -> int:
        """Size of what is held for the client and was not taken yet, roughly."""

    def set_sink(self, sink: Sink) -> None:
        """Send frames to a sink, without being taken, while `frames` waits for more."""

    def frames(self) -> AsyncIterator[bytes]:
        """Yield bytes of whole frames until the stream ends. Cancelling is safe."""

    def finish(self) -> None:
        """Let `frames` end after what is there."""

    def close(self) -> None:
        """Release all subscriptions and the sink. Called once, and last."""


class EmptyFeed:
    """Feed without frames."""

    __slots__ = ("kind",)

    is_exhausted = True
    has_heartbeats = False
    buffered_bytes = 0

    def __init__(self, kind: FeedKind) -> None:
        self.kind = kind

    def set_sink(self, sink: Sink) -> None:
        """Do nothing."""

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield nothing."""
        nothing: tuple[bytes, ...] = ()
        for frames in nothing:
            yield frames

    def finish(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
