"""Header of each response with the offset of the server's local time from UTC.

The time of a log line without an offset is taken for this local time.
"""

import time
from datetime import datetime, tzinfo

ZONE_HEADER = "Local-Time-Offset"


def format_zone() -> str:
    """Return the present offset of this machine's local time, as `+0100`."""
    return time.strftime("%z")


def parse_zone(offset: str) -> tzinfo | None:
    """Return the time zone with an offset from UTC, as `+0100`; None if it is invalid."""
    try:
        return datetime.strptime(offset, "%z").tzinfo
    except ValueError:
        return None
