"""The server's clock, as its answers tell it: times of jobs are the server's."""

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class OffsetBounds:
    """Bounds for how far the server's clock is ahead of this machine's, in seconds."""

    min_s: float
    max_s: float


def estimate_offset(date: str, sent_s: float, received_s: float) -> OffsetBounds | None:
    """Return the bounds that an answer gives, or None if its date is not a date.

    Args:
        date: the `Date` of the answer, cut to the second (RFC 9110 section 5.6.7).
        sent_s: when the request was sent, in epoch seconds by this machine's clock.
        received_s: when the answer came.
    """
    try:
        date_s = parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
    return OffsetBounds(date_s - received_s, date_s + 1 - sent_s)


class ServerClock:
    """The time of the server: this machine's, until an answer has told better."""

    def __init__(self) -> None:
        self._bounds: OffsetBounds | None = None

    def narrow(self, bounds: OffsetBounds) -> None:
        """Take what an answer gives: bounds together are narrower."""
        known = self._bounds or bounds
        both = OffsetBounds(max(known.min_s, bounds.min_s), min(known.max_s, bounds.max_s))
        # Bounds that exclude each other: one of the clocks was set in between.
        self._bounds = both if both.min_s <= both.max_s else bounds

    def now_s(self) -> float:
        """Return the server's time in epoch seconds."""
        return time.time() + self._offset_s

    @property
    def _offset_s(self) -> float:
        if self._bounds is None or self._bounds.min_s <= 0 <= self._bounds.max_s:
            return 0.0
        return (self._bounds.min_s + self._bounds.max_s) / 2
