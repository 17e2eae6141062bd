"""What every feed offers to the one who sends it. It must not know how that is done."""

from collections.abc import AsyncIterator
from typing import Protocol


class Feed(Protocol):
    """The frames for one viewer, in order.

    Attributes:
        nothing_new: the viewer has seen all that there is, and nothing more will come: there is no
            need to begin.
        heartbeats: whether a `heartbeat` belongs on the stream when it is idle.
    """

    @property
    def nothing_new(self) -> bool: ...

    @property
    def heartbeats(self) -> bool: ...

    def frames(self) -> AsyncIterator[bytes]:
        """Bytes that hold whole frames. Ends where the stream does. Cancelling is safe."""
        ...

    def close(self) -> None:
        """Lets `frames` end once it has given what is there."""
        ...
