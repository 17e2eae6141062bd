"""Parsing and formatting of times, in local time."""

import re
from datetime import datetime, tzinfo

from marianne_stream.common.durations import DAY_S, HOUR_S, MINUTE_S


def parse_iso_time(text: str | None, zone: tzinfo | None = None) -> float | None:
    """Parse ISO 8601, and return epoch seconds; None without a time, or if it is invalid.

    A time without an offset is of the zone, by default local.
    """
    try:
        moment = datetime.fromisoformat(text) if text else None
        if moment is None:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


# Numbers with units, in any order: `1h30m`.
DURATION_RE = re.compile(r"(?:\d{1,9}[smhdw])+")
DURATION_PART_RE = re.compile(r"(\d+)([smhdw])")
UNITS_S = {"s": 1, "m": MINUTE_S, "h": HOUR_S, "d": DAY_S, "w": 7 * DAY_S}


def parse_since(text: str, now_s: float) -> float:
    """Parse a point in time that a user wrote, and return epoch seconds.

    Args:
        text: a duration before now, as `10m`, `2h` or `1d`; or an ISO 8601 time, local without a
            time zone; a date means its beginning.
        now_s: current time in epoch seconds.

    Raises:
        ValueError: the text is neither.
    """
    if DURATION_RE.fullmatch(text):
        return now_s - sum(
            int(count) * UNITS_S[unit] for count, unit in DURATION_PART_RE.findall(text)
        )
    moment_s = parse_iso_time(text)
    if moment_s is None:
        raise ValueError(f"must be a duration as 10m, 2h or 1d, or an ISO 8601 time, got {text!r}")
    return moment_s


def format_time(epoch_s: float) -> str:
    """Format the time of day; "" if the time is outside of the calendar."""
    return format_local_time(epoch_s, "%H:%M:%S")


def format_date(epoch_s: float) -> str:
    """Format the date; "" if the time is outside of the calendar."""
    return format_local_time(epoch_s, "%Y-%m-%d")


def format_date_time(epoch_s: float) -> str:
    """Format the date and the time of day; "" if the time is outside of the calendar."""
    return format_local_time(epoch_s, "%Y-%m-%d %H:%M:%S")


def format_near_time(epoch_s: float | None, now_s: float | None) -> str:
    """Format a time, without the date if it is of the day of `now_s`; "" if it is unknown."""
    if epoch_s is None:
        return ""
    text = format_date_time(epoch_s)
    is_today = now_s is not None and text[:10] == format_date_time(now_s)[:10]
    return text[11:] if is_today else text


def format_local_time(epoch_s: float, form: str) -> str:
    """Format a time in local time, with a format of strftime(3)."""
    try:
        return datetime.fromtimestamp(epoch_s).astimezone().strftime(form)
    except (ValueError, OverflowError, OSError):
        return ""
