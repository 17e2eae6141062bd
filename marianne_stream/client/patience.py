"""How long to go on trying, and how long to wait between.

It must not know what is tried.
"""

import asyncio
from dataclasses import dataclass

from marianne_stream.client.notes import Outage
from marianne_stream.errors import ServerUnreachableError
from marianne_stream.wire.backoff import exponential_backoff

FIRST_DELAY_S = 1.0
CAP_S = 30.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server that cannot be reached is waited for, in seconds.

    Attributes:
        at_first_s: before it has answered at all.
        later_s: once it has.
    """

    at_first_s: float = 0.0
    later_s: float = 300.0


class Tries:
    """The tries of one request, or of one stream with all its connections.

    Args:
        patience: how long to go on.
        outage: who hears that there is another try.
    """

    def __init__(self, patience: Patience, outage: Outage) -> None:
        self._patience = patience
        self._outage = outage
        self._reached = self._failing = False
        self._since_s = 0.0
        self._delays = exponential_backoff(first_s=FIRST_DELAY_S, cap_s=CAP_S)
        self._asked_ms: int | None = None

    def answered(self) -> None:
        """The server gave what was asked for: what it is waited for begins anew."""
        self._outage.ends(self)
        self._reached, self._failing = True, False

    def went_well(self) -> None:
        """Something came: the next delay is a short one again."""
        self._asked_ms = None
        self._delays = exponential_backoff(first_s=FIRST_DELAY_S, cap_s=CAP_S)

    async def wait(self, error: ServerUnreachableError, *, retry_ms: int | None = None) -> None:
        """Waits until the next try; cancelling is safe.

        Args:
            error: why there must be one.
            retry_ms: the first delay that the server asked for, in milliseconds.

        Raises:
            UnreachableError: patience is at an end.
        """
        now_s = asyncio.get_running_loop().time()
        if not self._failing:
            self._failing, self._since_s = True, now_s
        if error.retry_after_s is not None:
            # It said so itself: it is there.
            self._reached = True
        limit_s = self._patience.later_s if self._reached else self._patience.at_first_s
        left_s = self._since_s + limit_s - now_s
        if left_s <= 0:
            self._outage.given_up(self)
            raise error
        if retry_ms is not None and retry_ms != self._asked_ms:
            # The server's word counts, and from there on the delays grow.
            self._asked_ms = retry_ms
            self._delays = exponential_backoff(first_s=retry_ms / 1000, cap_s=CAP_S)
        self._outage.begins(self, str(error))
        await asyncio.sleep(min(left_s, max(next(self._delays), error.retry_after_s or 0.0)))
