"""What somebody watches on this edge, said to a source again and again while it is so.

It must not know what is done about it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from marianne_stream.relay.format import InterestKind

# A relay forgets after 30 s what it was not told again.
SAID_EVERY_S = 10.0

# A state is asked for when there is reason to: one that was not for so long is watched no more.
STATE_LASTS_S = 40.0

Interest = tuple[InterestKind, str]


class Interests:
    """The interests of one edge in one source."""

    def __init__(self) -> None:
        self._held: dict[Interest, int] = {}
        self._until: dict[Interest, float] = {}
        self._said: set[Interest] = set()
        self._said_at = float("-inf")

    def touch(self, job_id: str) -> None:
        """Somebody has asked for a job's state."""
        interest: Interest = ("state", job_id)
        self._until[interest] = time.monotonic() + STATE_LASTS_S

    @contextmanager
    def holding(self, kind: InterestKind, job_id: str) -> Iterator[None]:
        """Somebody watches, for as long as the context lasts."""
        interest: Interest = (kind, job_id)
        self._held[interest] = self._held.get(interest, 0) + 1
        try:
            yield
        finally:
            self._held[interest] -= 1
            if not self._held[interest]:
                del self._held[interest]

    def due(self) -> list[Interest]:
        """What is to be said now: what is new, or all of it when that is long ago."""
        now = time.monotonic()
        self._until = {interest: end for interest, end in self._until.items() if end > now}
        wanted = {*self._held, *self._until}
        again = now - self._said_at >= SAID_EVERY_S
        due = wanted if again else wanted - self._said
        if again:
            self._said_at = now
        self._said = wanted
        return sorted(due)

    def forget_said(self) -> None:
        """Who was told may have lost it: all is said anew."""
        self._said_at = float("-inf")
