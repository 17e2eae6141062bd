"""Retry policy of the client: time limits, and delays between tries."""

import asyncio
from dataclasses import dataclass

from marianne_stream.client.cli_errors import ServerUnreachableError
from marianne_stream.client.messages import ConnectionStatus
from marianne_stream.common.backoff import Backoff

INITIAL_DELAY_S = 1.0
MAX_DELAY_S = 30.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Time limits for a server that cannot be reached, before and after the first response."""

    connect_timeout_s: float = 0.0
    reconnect_timeout_s: float = 300.0


class Retrier:
    """Retries of one request, or of one stream with all its connections."""

    def __init__(self, policy: RetryPolicy, status: ConnectionStatus) -> None:
        self._policy = policy
        self._status = status
        self._has_connected = self._is_failing = False
        self._failing_since_s = 0.0
        self._backoff = Backoff(first_s=INITIAL_DELAY_S, cap_s=MAX_DELAY_S)
        self._retry_ms: int | None = None

    def on_connected(self) -> None:
        """Record a connection: the time limit starts again at the next failure."""
        self._status.on_connected(self)
        self._has_connected, self._is_failing = True, False

    def reset_delay(self) -> None:
        """Start again with a short delay, after data was received."""
        self._retry_ms = None
        self._backoff = Backoff(first_s=INITIAL_DELAY_S, cap_s=MAX_DELAY_S)

    async def wait(self, error: ServerUnreachableError, *, retry_ms: int | None = None) -> None:
        """Wait until the next try. Cancelling is safe.

        `retry_ms` is the first delay that the server asked for.

        Raises:
            ServerUnreachableError: the time limit is reached.
        """
        now_s = asyncio.get_running_loop().time()
        if not self._is_failing:
            self._is_failing, self._failing_since_s = True, now_s
        if error.retry_after_s is not None:
            # Only a running server sends Retry-After.
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
            # The server's delay is the first one; later delays grow from it.
            self._retry_ms = retry_ms
            self._backoff = Backoff(first_s=retry_ms / 1000, cap_s=MAX_DELAY_S)
        self._status.on_disconnected(self, str(error))
        delay_s = max(self._backoff.next_delay_s(), error.retry_after_s or 0.0)
        await asyncio.sleep(min(left_s, delay_s))
