"""How long to go on trying, and how long to wait between.

It must not know what is tried.
"""

import asyncio
from dataclasses import dataclass

from marianne_stream.client.messages import ConnectionStatus
from marianne_stream.errors import ServerUnreachableError
from marianne_stream.wire.backoff import exponential_backoff

INITIAL_DELAY_S = 1.0
MAX_DELAY_S = 30.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a server that cannot be reached is waited for, in seconds.

    Attributes:
        connect_timeout_s: before it has answered at all.
        reconnect_timeout_s: once it has.
    """

    connect_timeout_s: float = 0.0
    reconnect_timeout_s: float = 300.0


class Retrier:
    """The tries of one request, or of one stream with all its connections.

    Args:
        policy: how long to go on.
        status: who hears that there is another try.
    """

    def __init__(self, policy: RetryPolicy, status: ConnectionStatus) -> None:
        self._policy = policy
        self._status = status
        self._has_connected = self._is_failing = False
        self._failing_since_s = 0.0
        self._delays = exponential_backoff(first_s=INITIAL_DELAY_S, cap_s=MAX_DELAY_S)
        self._retry_ms: int | None = None

    def on_connected(self) -> None:
        """The server gave what was asked for: what it is waited for begins anew."""
        self._status.on_connected(self)
        self._has_connected, self._is_failing = True, False

    def reset_delay(self) -> None:
        """Something came: the next delay is a short one again."""
        self._retry_ms = None
        self._delays = exponential_backoff(first_s=INITIAL_DELAY_S, cap_s=MAX_DELAY_S)

    async def wait(self, error: ServerUnreachableError, *, retry_ms: int | None = None) -> None:
        """Waits until the next try; cancelling is safe.

        Args:
            error: why there must be one.
            retry_ms: the first delay that the server asked for, in milliseconds.

        Raises:
            UnreachableError: patience is at an end.
        """
        now_s = asyncio.get_running_loop().time()
        if not self._is_failing:
            self._is_failing, self._failing_since_s = True, now_s
        if error.retry_after_s is not None:
            # It said so itself: it is there.
            self._has_connected = True
        limit_s = (
            self._policy.reconnect_timeout_s
            if self._has_connected
            else self._policy.connect_timeout_s
        )
        left_s = self._failing_since_s + limit_s - now_s
        if left_s <= 0:
            self._status.discard(self)
            raise error
        if retry_ms is not None and retry_ms != self._retry_ms:
            # The server's word counts, and from there on the delays grow.
            self._retry_ms = retry_ms
            self._delays = exponential_backoff(first_s=retry_ms / 1000, cap_s=MAX_DELAY_S)
        self._status.on_disconnected(self, str(error))
        await asyncio.sleep(min(left_s, max(next(self._delays), error.retry_after_s or 0.0)))
