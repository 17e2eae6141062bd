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


class LoginLog:
    """Log of accepted or of refused clients, with a limit of its own.

    Refusals beyond their limit thus do not suppress the entries of accepted clients.

    Args:
        kind: kind of the entries, as the entry that counts those left out names it.
        level: level of the entries.
    """

    def __init__(self, kind: str, level: int) -> None:
        self._kind = kind
        self._level = level
        self._lines_by_client: Counter[str] = Counter()
        self._suppressed_lines = 0
        self._window_timer: asyncio.TimerHandle | None = None

    def write(self, event: str, client: ClientInfo, **fields: str) -> None:
        """Log an event as `signed in address=… token=NAME …`, without empty fields."""
        if self._window_timer is None:
            self._window_timer = asyncio.get_running_loop().call_later(WINDOW_S, self._end_window)
        key = client.rate_limit_key
        # Clients beyond the limit are not remembered, so that the counter is bounded as well.
        if (
            self._lines_by_client.total() >= MAX_LINES
            or self._lines_by_client[key] >= MAX_LINES_PER_CLIENT
        ):
            self._suppressed_lines += 1
            return
        self._lines_by_client[key] += 1
        pairs = {"address": client.address, **fields}
        words = (event, *(f"{name}={value}" for name, value in pairs.items() if value))
        logger.log(self._level, "%s", " ".join(words))

    def _end_window(self) -> None:
        if self._suppressed_lines:
            logger.warning("lines left out kind=%s count=%d", self._kind, self._suppressed_lines)
        self._window_timer, self._suppressed_lines = None, 0
        self._lines_by_client.clear()
