"""Interests of one edge in one source, which are sent again while they last."""

import time

from marianne_stream.relay.schema import InterestKind

# A relay forgets an interest 30 s after it was sent last.
RENEW_INTERVAL_S = 10.0

# A state that nothing asked for during this time is no longer of interest.
STATE_INTEREST_TTL_S = 40.0

InterestKey = tuple[InterestKind, str]


class InterestSender:
    """Interests to send, by kind and job.

    Attributes:
        logs: jobs whose logs clients watch.
    """

    def __init__(self) -> None:
        self.logs: set[str] = set()
        self._states_expire_at: dict[str, float] = {}
        self._sent: set[InterestKey] = set()
        self._renewed_at = float("-inf")

    def touch_state(self, job_id: str) -> None:
        """Begin or prolong the interest in a job's state."""
        self._states_expire_at[job_id] = time.monotonic() + STATE_INTEREST_TTL_S

    def take_due(self) -> list[InterestKey]:
        """Return the interests to send now: new ones, or all if they must be renewed."""
        now = time.monotonic()
        states = {job: until for job, until in self._states_expire_at.items() if until > now}
        self._states_expire_at = states
        wanted: set[InterestKey] = {("log", job) for job in self.logs}
        wanted |= {("state", job) for job in states}
        if now - self._renewed_at >= RENEW_INTERVAL_S:
            self._renewed_at = now
            self._sent = set()
        due = wanted - self._sent
        self._sent = wanted
        return sorted(due)

    def resend_all(self) -> None:
        """Send all interests again, since Redis may have lost them."""
        self._renewed_at = float("-inf")
