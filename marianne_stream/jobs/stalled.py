"""Sheets that have shown no sign of life for long. Pure."""

from marianne_stream.jobs.waiting import find_waiting
from marianne_stream.models import ACTIVE_SHEET_STATUSES, JobState

# By default a sheet has stalled after half of its timeout, between these limits.
MIN_STALLED_AFTER_S = 600.0
MAX_STALLED_AFTER_S = 1800.0


def find_stalled(
    state: JobState, last_activity_at: float, until: float, stalled_after_s: float | None
) -> tuple[int, ...]:
    """Return the numbers of the sheets that have stalled.

    Args:
        state: state of the job.
        last_activity_at: time of the job's last sign of life, or since when one would have been
            seen, in epoch seconds.
        until: time until which the job is known to have shown none.
        stalled_after_s: time without a sign of life after which a sheet has stalled, in seconds;
            None for half of the sheet's timeout, between 10 and 30 minutes.
    """
    if state.status != "running" or find_waiting(state) is not None:
        return ()
    return tuple(
        sheet.number
        for sheet in state.sheets
        if sheet.status in ACTIVE_SHEET_STATUSES
        and until - max(last_activity_at, sheet.started_at or 0.0)
        > (stalled_after_s or default_limit_s(sheet.timeout_s))
    )


def default_limit_s(timeout_s: float | None) -> float:
    """Return the limit for a sheet with a timeout, or with none that is known, in seconds."""
    half_s = MAX_STALLED_AFTER_S if timeout_s is None else timeout_s / 2
    return min(max(half_s, MIN_STALLED_AFTER_S), MAX_STALLED_AFTER_S)
