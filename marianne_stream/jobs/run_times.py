"""Times of a run: its start, its end, and how long it has waited. Pure."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from marianne_stream.backends.checkpoint import to_epoch_s
from marianne_stream.jobs.waiting import find_waiting
from marianne_stream.models import JobState, RunTimes, Sheet


@dataclass(frozen=True, slots=True)
class KnownRun:
    """Known facts of a run before its state is read.

    Attributes:
        times: its times; None if the run is new.
        sheets: its sheets as they were last known, by number.
        previous_s: time in which the last completed run with as many sheets has worked, in
            seconds; None if there is none.
    """

    times: RunTimes | None = None
    sheets: Mapping[int, Sheet] = field(default_factory=dict)
    previous_s: float | None = None


# Returns what was recorded of the run of a state.
LoadRun = Callable[[JobState], Awaitable[KnownRun]]


def make_run_name(submitted_at: float) -> str:
    """Return the name of a run: the time of its submission, rounded down to the second."""
    return datetime.fromtimestamp(int(submitted_at), UTC).isoformat().replace("+00:00", "Z")


def submission_time(state: JobState) -> float | None:
    """Return the time of submission; a checkpoint on disk has that of its creation instead."""
    return to_epoch_s(state.submitted_at or state.created_at)


def worked_s(times: RunTimes, now: float) -> float | None:
    """Return the time in which a run has worked, waits left out, in seconds; None if unknown."""
    if times.started_at is None:
        return None
    end = times.completed_at if times.completed_at is not None else now
    waits_s = times.waited_s
    if times.is_waiting:
        waits_s += max(0.0, end - times.seen_at)
    return max(0.0, end - times.started_at - waits_s)


def update_run_times(known: RunTimes | None, state: JobState, now: float) -> RunTimes | None:
    """Return the times of the run of a state.

    Args:
        known: times as they were last known; None if the run is new.
        state: the state that was read.
        now: time of the read, in epoch seconds.

    Returns:
        the times; None if the time of submission is unknown.
    """
    submitted_at = submission_time(state)
    if submitted_at is None:
        return None
    if known is None:
        known = RunTimes(make_run_name(submitted_at), submitted_at, seen_at=now)
    completed_at = None
    if state.is_terminal:
        completed_at = known.completed_at or to_epoch_s(state.completed_at)
    # The time since the end of a job becomes a wait when the job is resumed.
    until = completed_at or now
    waited_s = known.waited_s
    if known.is_waiting:
        waited_s += max(0.0, until - known.seen_at)
    return replace(
        known,
        started_at=known.started_at or to_epoch_s(state.started_at),
        completed_at=completed_at,
        waited_s=waited_s,
        seen_at=until,
        is_waiting=state.is_terminal or find_waiting(state) is not None,
    )
