"""Estimate of the server's clock, from the headers of its responses."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from marianne_stream.wire.zone_header import ZONE_HEADER, parse_zone

if TYPE_CHECKING:
    from datetime import tzinfo


@dataclass(frozen=True, slots=True)
class OffsetBounds:
    """Bounds of the server clock's offset from this machine's clock, in seconds."""

    min_s: float
    max_s: float


def estimate_offset(date: str, sent_s: float, received_s: float) -> OffsetBounds | None:
    """Estimate the offset from one response; return None if its Date header is invalid.

    The header is truncated to the second (RFC 9110 section 5.6.7). The times of request and
    response are in epoch seconds of this machine.
    """
    try:
        date_s = parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
    return OffsetBounds(date_s - received_s, date_s + 1 - sent_s)


class ServerClock:
    """The server's clock; this machine's clock until a response was received.

    Attributes:
        zone: the server's time zone; None if it is unknown.
    """

    def __init__(self) -> None:
        self.zone: tzinfo | None = None
        self._bounds: OffsetBounds | None = None

    def read_headers(self, headers: Mapping[str, str], sent_s: float, received_s: float) -> None:
        """Process the headers of a response; its times are in epoch seconds of this machine."""
        self.zone = parse_zone(headers.get(ZONE_HEADER, "")) or self.zone
        if bounds := estimate_offset(headers.get("Date", ""), sent_s, received_s):
            self.narrow(bounds)

    def narrow(self, bounds: OffsetBounds) -> None:
        """Narrow the offset to the intersection with new bounds."""
        known = self._bounds or bounds
        both = OffsetBounds(max(known.min_s, bounds.min_s), min(known.max_s, bounds.max_s))
        # Without an intersection, one of the clocks was set in between.
        self._bounds = both if both.min_s <= both.max_s else bounds

    def now_s(self) -> float:
        """Return the server's time in epoch seconds."""
        return time.time() + self._offset_s

    @property
    def _offset_s(self) -> float:
        if self._bounds is None or self._bounds.min_s <= 0 <= self._bounds.max_s:
            return 0.0
        return (self._bounds.min_s + self._bounds.max_s) / 2
