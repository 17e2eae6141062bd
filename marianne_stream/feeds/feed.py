"""What every feed offers to the one who sends it. It must not know how that is done."""

from collections.abc import AsyncIterator
from typing import Literal, Protocol, get_args

from marianne_stream.fanout.mailboxes import Sink

# How much of what is kept for a reader is taken, and sent, at once.
TAKEN_BYTES = 64 * 1024


Kind = Literal["status", "roster", "events", "log"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Feed(Protocol):
    """The frames for one viewer, in order.

    Attributes:
        kind: what they tell of.
        nothing_new: the viewer has seen all that there is, and nothing more will come: there is no
            need to begin.
        heartbeats: whether a `heartbeat` belongs on the stream when it is idle.
    """

    @property
    def kind(self) -> Kind: ...

    @property
    def nothing_new(self) -> bool: ...

    @property
    def heartbeats(self) -> bool: ...

    @property
    def held_bytes(self) -> int:
        """What is kept for the viewer and was not taken yet, roughly."""
        ...

    def attach(self, outlet: Sink) -> None:
        """Says where frames may go without being taken, while `frames` waits for more."""
        ...

    def frames(self) -> AsyncIterator[bytes]:
        """Bytes that hold whole frames. Ends where the stream does. Cancelling is safe."""
        ...

    def close(self) -> None:
        """Lets `frames` end once it has given what is there."""
        ...

    def leave(self) -> None:
        """Lets go of all that it watches, and of the outlet. Called once; after it, nothing is."""
        ...


class LeftFeed:
    """In the place of a feed that was left, or would be empty: there is nothing more.

    Args:
        kind: what the other told of.
    """

    __slots__ = ("kind",)

    nothing_new = True
    heartbeats = False
    held_bytes = 0

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def attach(self, outlet: Sink) -> None:
        """Has nothing to send."""

    async def frames(self) -> AsyncIterator[bytes]:
        """None."""
        nothing: tuple[bytes, ...] = ()
        for frames in nothing:
            yield frames

    def close(self) -> None:
        """Has no frames that could end."""

    def leave(self) -> None:
        """Has nothing to let go of."""
