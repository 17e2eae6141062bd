"""Checks of the values of a source that are more than text: an edge passes them on as they are.

Each function raises ValueError if a value is none that an origin publishes.
"""

from marianne_stream.models import Hook, JobProgress, JobState, RunTimes, Sheet
from marianne_stream.schemas.conductor_schemas import ConductorInfo

# The largest integer that JSON holds exactly everywhere (RFC 8259 section 6).
MAX_COUNT = 2**53 - 1

# End of the year 9999 in epoch seconds. A later time has no form in ISO 8601.
MAX_TIME_S = 253_402_300_799.0

MAX_STATUS_CHARS = 100
MAX_STATE_SHEETS = 5_000
MAX_HOOKS = 1_000
MAX_RATE_LIMITS = 100

# Names, codes and times as text. Messages have only the limit of the whole value.
MAX_TEXT_CHARS = 1_000


def check_state(state: JobState) -> None:
    """Check the state of a job."""
    check_status(state.status)
    check_counts(state.completed_sheets, state.total_sheets)
    if 0 < state.total_sheets < state.completed_sheets:
        raise ValueError("more sheets are completed than there are")
    check_length("sheets", len(state.sheets), MAX_STATE_SHEETS)
    check_counts(state.current_sheet, state.input_tokens, state.output_tokens)
    check_amounts(state.estimated_cost)
    check_texts(
        *(state.job_name, state.run, state.submitted_at, state.created_at, state.started_at),
        *(state.updated_at, state.completed_at, state.checkpoint_status),
    )
    for sheet in state.sheets:
        check_sheet(sheet)
    check_hooks(state.hooks)
    if state.progress is not None:
        check_progress(state.progress)


def check_sheet(sheet: Sheet) -> None:
    """Check a sheet of a state."""
    check_status(sheet.status)
    check_counts(sheet.number, sheet.attempt)
    check_texts(sheet.instrument_name, sheet.error_code)
    if isinstance(sheet.movement, str):
        check_texts(sheet.movement)
    check_times(
        *(sheet.started_at, sheet.completed_at, sheet.waiting_until),
        *(sheet.work_s, sheet.timeout_s),
    )


def check_hooks(hooks: tuple[Hook, ...]) -> None:
    """Check the hooks of a state."""
    check_length("hooks", len(hooks), MAX_HOOKS)
    for hook in hooks:
        check_texts(hook.hook_type, hook.description, hook.error_message, hook.chained_job_id)


def check_progress(progress: JobProgress) -> None:
    """Check the progress of a job."""
    check_times(progress.last_progress_at, progress.last_activity_at, progress.eta_at)
    check_length("stalled sheets", len(progress.stalled), MAX_STATE_SHEETS)
    check_counts(*progress.stalled)
    if progress.times is not None:
        check_run_times(progress.times)


def check_run_times(times: RunTimes) -> None:
    """Check the times of a run."""
    check_texts(times.run)
    check_times(
        *(times.submitted_at, times.started_at, times.completed_at),
        *(times.waited_s, times.seen_at, times.measured_s),
    )
    check_counts(times.measured_sheets)


def check_conductor(info: ConductorInfo) -> None:
    """Check information about a conductor."""
    check_texts(info.version, info.pressure_level)
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


def check_status(status: str) -> None:
    """Check that a status is no longer than any of a conductor."""
    if len(status) > MAX_STATUS_CHARS:
        raise ValueError(f"a status has at most {MAX_STATUS_CHARS} characters")


def check_counts(*counts: int | None) -> None:
    """Check that numbers, if there are any, can count something."""
    if not all(0 <= count <= MAX_COUNT for count in counts if count is not None):
        raise ValueError(f"a count is between 0 and {MAX_COUNT}")


def check_amounts(*amounts: float | None) -> None:
    """Check amounts, if there are any."""
    if not all(0.0 <= amount <= MAX_COUNT for amount in amounts if amount is not None):
        raise ValueError(f"an amount is between 0 and {MAX_COUNT}")


def check_times(*times_s: float | None) -> None:
    """Check times in epoch seconds and durations in seconds, if there are any."""
    if not all(0.0 <= time_s <= MAX_TIME_S for time_s in times_s if time_s is not None):
        raise ValueError(f"a time is between 0 and {MAX_TIME_S:.0f}")


def check_texts(*texts: str | None) -> None:
    """Check short texts, if there are any."""
    if any(len(text) > MAX_TEXT_CHARS for text in texts if text is not None):
        raise ValueError(f"a name, code or time has at most {MAX_TEXT_CHARS} characters")


def check_length(what: str, length: int, limit: int) -> None:
    """Check the length of a list."""
    if length > limit:
        raise ValueError(f"got {length} {what}, allowed are {limit}")
