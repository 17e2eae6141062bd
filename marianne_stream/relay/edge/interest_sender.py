"""Interests of one edge in one source, which are sent again while they last."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from marianne_stream.relay.schema import InterestKind

# A relay forgets an interest 30 s after it was sent last.
RENEW_INTERVAL_S = 10.0

# A state that nothing asked for during this time is no longer of interest.
STATE_INTEREST_TTL_S = 40.0

InterestKey = tuple[InterestKind, str]


class InterestSender:
    """Interests to send, by kind and job."""

    def __init__(self) -> None:
        self._hold_counts: dict[InterestKey, int] = {}
        self._expires_at: dict[InterestKey, float] = {}
        self._sent: set[InterestKey] = set()
        self._renewed_at = float("-inf")

    def touch_state(self, job_id: str) -> None:
        """Begin or prolong the interest in a job's state."""
        self._expires_at["state", job_id] = time.monotonic() + STATE_INTEREST_TTL_S

    @contextmanager
    def hold(self, kind: InterestKind, job_id: str) -> Iterator[None]:
        """Keep an interest while the context lasts."""
        interest: InterestKey = (kind, job_id)
        self._hold_counts[interest] = self._hold_counts.get(interest, 0) + 1
        try:
            yield
        finally:
            self._hold_counts[interest] -= 1
            if not self._hold_counts[interest]:
                del self._hold_counts[interest]

    def take_due(self) -> list[InterestKey]:
        """Return the interests to send now: new ones, or all if they must be renewed."""
        now = time.monotonic()
        self._expires_at = {key: until for key, until in self._expires_at.items() if until > now}
        wanted = {*self._hold_counts, *self._expires_at}
        if now - self._renewed_at >= RENEW_INTERVAL_S:
            self._renewed_at = now
            self._sent = set()
        due = wanted - self._sent
        self._sent = wanted
        return sorted(due)

    def resend_all(self) -> None:
        """Send all interests again, since Redis may have lost them."""
        self._renewed_at = float("-inf")
