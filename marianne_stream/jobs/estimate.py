"""Estimate of the end of a running job. Pure."""

from marianne_stream.jobs.run_times import worked_s
from marianne_stream.jobs.sheet_times import ENDED
from marianne_stream.jobs.waiting import find_waiting
from marianne_stream.models import ACTIVE_SHEET_STATUSES, JobState, RunTimes
from marianne_stream.value_limits import LATEST_EPOCH_S

# From this many completed sheets on, the run itself is the measure.
MIN_COMPLETED = 3


def estimate_end(
    state: JobState, times: RunTimes | None, previous_s: float | None, now: float
) -> float | None:
    """Return the estimated end of a job, in epoch seconds; None if unknown, or after year 9999.

    A running job needs as long for each remaining sheet as it needed for each completed one until
    the last of these was completed, waits left out. The sheets that are not at work yet need at
    least as long as that. Before the third completed sheet, the job needs as long as the last
    completed run did. A job that has used up its time has no estimate. The rest of a rate limit is
    added.

    Args:
        state: state of the job.
        times: times of its run; None if they are unknown.
        previous_s: time in which the last completed run with as many sheets has worked, in seconds;
            None if there is none.
        now: time of the estimate, in epoch seconds.
    """
    waiting = find_waiting(state)
    if state.status != "running" or times is None:
        return None
    if waiting is not None and waiting.code == "person":
        return None
    worked = worked_s(times, now)
    if worked is None:
        return None
    if times.measured_sheets == state.completed_sheets >= MIN_COMPLETED:
        # Sheets that are at work have not ended in the time since.
        average_s = times.measured_s / times.measured_sheets
        remaining = count_remaining(state)
        active = sum(sheet.status in ACTIVE_SHEET_STATUSES for sheet in state.sheets)
        rest_s = max(
            remaining * average_s - (worked - times.measured_s), (remaining - active) * average_s
        )
    elif state.completed_sheets >= MIN_COMPLETED:
        rest_s = count_remaining(state) * worked / state.completed_sheets
    elif previous_s is not None:
        rest_s = previous_s - worked
    else:
        return None
    if rest_s <= 0:
        return None
    if waiting is not None and waiting.until is not None:
        rest_s += max(0.0, waiting.until - now)
    return now + rest_s if now + rest_s < LATEST_EPOCH_S else None


def count_remaining(state: JobState) -> int:
    """Return the number of sheets that are at work or will be executed."""
    if not state.sheets:
        return state.total_sheets - state.completed_sheets
    done = sum(sheet.status in ENDED or sheet.status == "skipped" for sheet in state.sheets)
    return state.total_sheets - done
