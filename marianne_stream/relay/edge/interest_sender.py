"""What somebody watches on this edge, said to a source again and again while it is so.

It must not know what is done about it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from marianne_stream.relay.schema import InterestKind

# A relay forgets after 30 s what it was not told again.
RENEW_INTERVAL_S = 10.0

# A state is asked for when there is reason to: one that was not for so long is watched no more.
STATE_INTEREST_TTL_S = 40.0

InterestKey = tuple[InterestKind, str]


class InterestSender:
    """The interests of one edge in one source."""

    def __init__(self) -> None:
        self._hold_counts: dict[InterestKey, int] = {}
        self._expires_at: dict[InterestKey, float] = {}
        self._sent: set[InterestKey] = set()
        self._renewed_at = float("-inf")

    def touch_state(self, job_id: str) -> None:
        """Somebody has asked for a job's state."""
        interest: InterestKey = ("state", job_id)
        self._expires_at[interest] = time.monotonic() + STATE_INTEREST_TTL_S

    @contextmanager
    def hold(self, kind: InterestKind, job_id: str) -> Iterator[None]:
        """Somebody watches, for as long as the context lasts."""
        interest: InterestKey = (kind, job_id)
        self._hold_counts[interest] = self._hold_counts.get(interest, 0) + 1
        try:
            yield
        finally:
            self._hold_counts[interest] -= 1
            if not self._hold_counts[interest]:
                del self._hold_counts[interest]

    def take_due(self) -> list[InterestKey]:
        """What is to be said now: what is new, or all of it when that is long ago."""
        now = time.monotonic()
        self._expires_at = {
            interest: end for interest, end in self._expires_at.items() if end > now
        }
        wanted = {*self._hold_counts, *self._expires_at}
        again = now - self._renewed_at >= RENEW_INTERVAL_S
        due = wanted if again else wanted - self._sent
        if again:
            self._renewed_at = now
        self._sent = wanted
        return sorted(due)

    def resend_all(self) -> None:
        """Who was told may have lost it: all is said anew."""
        self._renewed_at = float("-inf")
