"""Log of sign-ins and refused tokens: the client's address and the token's name, never the token.

The lines are bounded, per address and in all, so that an attacker cannot fill the disk. How many
were left out is said when the minute is over.
"""

import asyncio
import logging
from collections import Counter

from marianne_stream.web.visitor import Visitor

logger = logging.getLogger(__name__)

MINUTE_S = 60.0
LINES_PER_ADDRESS = 10
LINES_IN_ALL = 300


class LineBudget:
    """The lines that may be written in a minute.

    Args:
        kind: what the lines tell, as the line that counts those left out names it.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._lines: Counter[str] = Counter()
        self._left_out = 0
        self._minute: asyncio.TimerHandle | None = None

    def spend(self, visitor: Visitor) -> bool:
        """Return whether a line about a client may be written, and count it."""
        if self._minute is None:
            self._minute = asyncio.get_running_loop().call_later(MINUTE_S, self._end_minute)
        address = visitor.counted_as
        # Addresses beyond the limit are not remembered: the counter is bounded by it, too.
        if self._lines.total() >= LINES_IN_ALL or self._lines[address] >= LINES_PER_ADDRESS:
            self._left_out += 1
            return False
        self._lines[address] += 1
        return True

    def _end_minute(self) -> None:
        if self._left_out:
            logger.warning("lines left out kind=%s count=%d", self._kind, self._left_out)
        self._minute, self._left_out = None, 0
        self._lines.clear()


class SignInLog:
    """Writes the log of sign-ins. Failures have a budget of their own, and hide nothing else."""

    def __init__(self) -> None:
        self._accepted = LineBudget("accepted")
        self._refused = LineBudget("refused")

    def accepted(self, event: str, visitor: Visitor, **fields: str) -> None:
        """Log that a client signed in or out: `signed in address=… token=NAME …`."""
        if self._accepted.spend(visitor):
            logger.info("%s", line_of(event, visitor, fields))

    def refused(self, event: str, visitor: Visitor, **fields: str) -> None:
        """Log that a client was not let in: `token refused address=… reason=…`."""
        if self._refused.spend(visitor):
            logger.warning("%s", line_of(event, visitor, fields))


def line_of(event: str, visitor: Visitor, fields: dict[str, str]) -> str:
    """Return an event and its fields as key=value, without those that are empty."""
    pairs = {"address": visitor.address, **fields}
    return " ".join((event, *(f"{name}={value}" for name, value in pairs.items() if value)))
