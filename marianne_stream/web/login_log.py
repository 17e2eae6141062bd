"""Log of sign-ins and refused tokens: the client's address and the token's name, never the token.

The number of entries is bounded, per client and in total, so that an attacker cannot fill the disk.
An entry at the end of a minute counts those that were left out.
"""

import asyncio
import logging
from collections import Counter

from marianne_stream.web.proxy_headers import ClientInfo

logger = logging.getLogger(__name__)

WINDOW_S = 60.0
MAX_LINES_PER_CLIENT = 10
MAX_LINES = 300


class LogLineLimiter:
    """Limit of log entries in a minute."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._lines_by_client: Counter[str] = Counter()
        self._suppressed_lines = 0
        self._window_timer: asyncio.TimerHandle | None = None

    def try_acquire(self, client: ClientInfo) -> bool:
        """Return whether an entry about a client may be written, and count it."""
        if self._window_timer is None:
            self._window_timer = asyncio.get_running_loop().call_later(WINDOW_S, self._end_window)
        address = client.rate_limit_key
        # Clients beyond the limit are not remembered, so that the counter is bounded as well.
        if (
            self._lines_by_client.total() >= MAX_LINES
            or self._lines_by_client[address] >= MAX_LINES_PER_CLIENT
        ):
            self._suppressed_lines += 1
            return False
        self._lines_by_client[address] += 1
        return True

    def _end_window(self) -> None:
        if self._suppressed_lines:
            logger.warning("lines left out kind=%s count=%d", self._kind, self._suppressed_lines)
        self._window_timer, self._suppressed_lines = None, 0
        self._lines_by_client.clear()


class LoginLog:
    """Writes the log of sign-ins. Failures have a limit of their own, and so hide nothing else."""

    def __init__(self) -> None:
        self._accepted_limiter = LogLineLimiter("accepted")
        self._rejected_limiter = LogLineLimiter("refused")

    def log_accepted(self, event: str, client: ClientInfo, **fields: str) -> None:
        """Log that a client signed in or out: `signed in address=… token=NAME …`."""
        if self._accepted_limiter.try_acquire(client):
            logger.info("%s", format_log_line(event, client, fields))

    def log_rejected(self, event: str, client: ClientInfo, **fields: str) -> None:
        """Log that a client was refused: `token refused address=… reason=…`."""
        if self._rejected_limiter.try_acquire(client):
            logger.warning("%s", format_log_line(event, client, fields))


def format_log_line(event: str, client: ClientInfo, fields: dict[str, str]) -> str:
    """Return an event and its fields as key=value, without empty fields."""
    pairs = {"address": client.address, **fields}
    return " ".join((event, *(f"{name}={value}" for name, value in pairs.items() if value)))
