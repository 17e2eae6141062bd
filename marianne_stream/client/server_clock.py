"""The server's clock, as its answers tell it: times of jobs are the server's."""

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds for how far the server's clock is ahead of this machine's, in seconds."""

    low_s: float
    high_s: float


def bounds_of(date: str, asked_s: float, answered_s: float) -> Bounds | None:
    """Return the bounds that an answer gives, or None if its date is not a date.

    Args:
        date: the `Date` of the answer, cut to the second (RFC 9110 section 5.6.7).
        asked_s: when the request was sent, in epoch seconds by this machine's clock.
        answered_s: when the answer came.
    """
    try:
        date_s = parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
    return Bounds(date_s - answered_s, date_s + 1 - asked_s)


class ServerClock:
    """The time of the server: this machine's, until an answer has told better."""

    def __init__(self) -> None:
        self._bounds: Bounds | None = None

    def take(self, bounds: Bounds) -> None:
        """Take what an answer gives: bounds together are narrower."""
        known = self._bounds or bounds
        both = Bounds(max(known.low_s, bounds.low_s), min(known.high_s, bounds.high_s))
        # Bounds that exclude each other: one of the clocks was set in between.
        self._bounds = both if both.low_s <= both.high_s else bounds

    def now_s(self) -> float:
        """Return the server's time in epoch seconds."""
        return time.time() + self._ahead_s

    @property
    def _ahead_s(self) -> float:
        if self._bounds is None or self._bounds.low_s <= 0 <= self._bounds.high_s:
            return 0.0
        return (self._bounds.low_s + self._bounds.high_s) / 2
