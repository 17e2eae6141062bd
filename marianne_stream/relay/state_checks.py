"""Checks of values that an edge reads from a source and passes on unchanged.

Each function raises ValueError for a value that no origin publishes.
"""

import re

from marianne_stream.conductor_models import ConductorInfo
from marianne_stream.models import Hook, JobProgress, JobState, RunTimes, Sheet
from marianne_stream.value_limits import (
    LATEST_EPOCH_S,
    MAX_COUNT,
    MAX_DURATION_S,
    MAX_HOOKS,
    MAX_LABEL_CHARS,
    MAX_NAME_CHARS,
    MAX_RATE_LIMITS,
)

# Messages have only the limit of the whole value.
MAX_STATE_SHEETS = 5_000


# Name of a clone in a command that a person copies into a shell.
CLONE_NAME = re.compile(r"[A-Za-z0-9_-]{0,64}")


def check_state(state: JobState) -> None:
    """Check the state of a job."""
    check_labels(state.status, state.checkpoint_status)
    check_counts(state.completed_sheets, state.total_sheets)
    if 0 < state.total_sheets < state.completed_sheets:
        raise ValueError("more sheets are completed than there are")
    check_length("sheets", len(state.sheets), MAX_STATE_SHEETS)
    check_counts(state.current_sheet, state.input_tokens, state.output_tokens)
    check_amounts(state.estimated_cost)
    check_texts(
        *(state.job_name, state.run, state.submitted_at, state.created_at, state.started_at),
        *(state.updated_at, state.completed_at),
    )
    for sheet in state.sheets:
        check_sheet(sheet)
    check_hooks(state.hooks)
    if state.progress is not None:
        check_progress(state.progress)


def check_sheet(sheet: Sheet) -> None:
    """Check a sheet of a state."""
    check_labels(sheet.status)
    check_counts(sheet.number, sheet.attempt)
    check_texts(sheet.instrument_name, sheet.error_code)
    if isinstance(sheet.movement, str):
        check_texts(sheet.movement)
    check_times(sheet.started_at, sheet.completed_at, sheet.waiting_until)
    check_durations(sheet.work_s, sheet.timeout_s)


def check_hooks(hooks: tuple[Hook, ...]) -> None:
    """Check the hooks of a state."""
    check_length("hooks", len(hooks), MAX_HOOKS)
    for hook in hooks:
        check_texts(hook.hook_type, hook.description, hook.error_message, hook.chained_job_id)


def check_progress(progress: JobProgress) -> None:
    """Check the progress of a job."""
    check_times(progress.last_progress_at, progress.last_activity_at, progress.eta_at)
    check_times(progress.limited_until)
    check_length("stalled sheets", len(progress.stalled), MAX_STATE_SHEETS)
    check_counts(*progress.stalled)
    if progress.clone is not None and not CLONE_NAME.fullmatch(progress.clone):
        raise ValueError("not the name of a clone")
    if progress.times is not None:
        check_run_times(progress.times)


def check_run_times(times: RunTimes) -> None:
    """Check the times of a run."""
    check_texts(times.run)
    check_times(times.submitted_at, times.started_at, times.completed_at)
    check_times(times.waiting_since)
    check_durations(times.waited_s, times.measured_s)
    check_counts(times.measured_sheets)


def check_conductor(info: ConductorInfo) -> None:
    """Check information about a conductor."""
    check_labels(info.version, info.pressure_level)
    check_counts(info.running_jobs)
    check_times(info.started_at)
    check_amounts(info.memory_mb, info.host_memory_total_mb, info.host_memory_available_mb)
    check_amounts(*(info.load_averages or ()))
    if info.limits is not None:
        limits = info.limits
        check_counts(limits.connections, limits.max_concurrent_jobs, limits.max_concurrent_sheets)
    rate_limits = info.rate_limits or ()
    check_length("rate limits", len(rate_limits), MAX_RATE_LIMITS)
    check_texts(*(limit.instrument for limit in rate_limits))
    check_times(*(limit.until for limit in rate_limits))


def check_labels(*labels: str | None) -> None:
    """Check statuses and versions, if there are any."""
    if any(len(label) > MAX_LABEL_CHARS for label in labels if label is not None):
        raise ValueError(f"a status or version has at most {MAX_LABEL_CHARS} characters")


def check_counts(*counts: int | None) -> None:
    """Check that numbers, if there are any, can count something."""
    if not all(0 <= count <= MAX_COUNT for count in counts if count is not None):
        raise ValueError(f"a count is between 0 and {MAX_COUNT}")


def check_amounts(*amounts: float | None) -> None:
    """Check amounts, if there are any."""
    if not all(0.0 <= amount <= MAX_COUNT for amount in amounts if amount is not None):
        raise ValueError(f"an amount is between 0 and {MAX_COUNT}")


def check_times(*times_s: float | None) -> None:
    """Check times in epoch seconds, if there are any."""
    # A time may have been rounded to the next second.
    if not all(0.0 <= time_s <= LATEST_EPOCH_S for time_s in times_s if time_s is not None):
        raise ValueError(f"a time is between 0 and {LATEST_EPOCH_S:.0f}")


def check_durations(*durations_s: float | None) -> None:
    """Check durations in seconds, if there are any."""
    known = [duration_s for duration_s in durations_s if duration_s is not None]
    if not all(0.0 <= duration_s <= MAX_DURATION_S for duration_s in known):
        raise ValueError(f"a duration is between 0 and {MAX_DURATION_S:.0f}")


def check_texts(*texts: str | None) -> None:
    """Check short texts, if there are any."""
    if any(len(text) > MAX_NAME_CHARS for text in texts if text is not None):
        raise ValueError(f"a name, code or time has at most {MAX_NAME_CHARS} characters")


def check_length(what: str, length: int, limit: int) -> None:
    """Check the length of a list."""
    if length > limit:
        raise ValueError(f"got {length} {what}, allowed are {limit}")
