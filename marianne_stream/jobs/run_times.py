"""Times of a run: its start, its end, and how long it has waited. Pure."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from marianne_stream.backends.checkpoint import to_epoch_s
from marianne_stream.jobs.waiting import find_waiting
from marianne_stream.models import JobState, RunTimes, Sheet

# Difference of times on two clocks. A start that is earlier than the submission by more than this
# is of a run before; an end that is earlier than its start by more means that the clock was set
# back.
MAX_CLOCK_DIFFERENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class KnownRun:
    """Known facts of a run before its state is read.

    Attributes:
        times: its times; None if the run is new.
        sheets: its sheets as they were last known, by number.
        previous_s: time in which the last completed run with as many sheets has worked, in
            seconds; None if there is none.
        status: its last known status; "" if the run is new.
        changed_at: time of the last change that was seen; None if the last change was not seen.
    """

    times: RunTimes | None = None
    sheets: Mapping[int, Sheet] = field(default_factory=dict)
    previous_s: float | None = None
    status: str = ""
    changed_at: float | None = None

    def is_unchanged(self, state: JobState) -> bool:
        """Return whether a state has the status of the run and those of its sheets."""
        statuses = {number: sheet.status for number, sheet in self.sheets.items()}
        return self.status == state.status and all(
            statuses.get(sheet.number) == sheet.status for sheet in state.sheets
        )


# Returns what was recorded of the run of a state; None if it cannot be read at the moment.
LoadRun = Callable[[JobState], Awaitable[KnownRun | None]]


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
    return max(0.0, end - times.started_at - all_waits_s(times, end))


def all_waits_s(times: RunTimes, until: float) -> float:
    """Return the time since the start of a run in which it has waited until a time, in seconds."""
    if times.started_at is None or times.waiting_since is None:
        return times.waited_s
    # The wait for the start is no part of the time between start and end.
    began_at = max(times.waiting_since, times.started_at)
    return times.waited_s + max(0.0, until - began_at)


def update_run_times(
    known: RunTimes | None,
    state: JobState,
    now: float,
    *,
    sees_changes: bool,
    had_ended: bool = False,
) -> RunTimes | None:
    """Return the times of the run of a state.

    Args:
        known: times as they were last known; None if the run is new.
        state: the state that was read.
        now: time of the read, in epoch seconds.
        sees_changes: True if changes since the read before were seen.
        had_ended: True if the run had ended at the read before: its end was not seen now.

    Returns:
        the times; None if the time of submission is unknown.
    """
    submitted_at = submission_time(state)
    if known is None and submitted_at is not None:
        known = RunTimes(make_run_name(submitted_at), submitted_at)
    if known is None:
        return None
    completed_at = None
    if state.is_terminal:
        completed_at = find_end(known, state, now if sees_changes and not had_ended else None)
    times = replace(known, started_at=find_start(known, state), completed_at=completed_at)
    began_at = now if sees_changes and completed_at is None else completed_at
    times = update_waits(times, state, completed_at or now, began_at)
    if sees_changes and state.completed_sheets > known.measured_sheets:
        measured_s = worked_s(times, now) or 0.0
        return replace(times, measured_sheets=state.completed_sheets, measured_s=measured_s)
    return times


def update_waits(
    times: RunTimes, state: JobState, until: float, began_at: float | None
) -> RunTimes:
    """Return times with the waits of a state at a time: that of its read, or the end of the run.

    A wait that is new began at `began_at`. If that is None, nobody saw its beginning: it counts
    from the last time that is known of a sheet. The time since the end of a run becomes a wait when
    the run is resumed. A run in which a sheet is at work does not wait, also if the job is paused,
    or another sheet waits for a person.
    """
    waits = state.is_terminal or (find_waiting(state) is not None and not state.has_active_sheet)
    if times.waiting_since is not None:
        resumed_at = find_resume(state, max(times.waiting_since, times.started_at or 0.0))
        is_over = state.is_terminal and times.completed_at is not None
        if resumed_at is None and waits and not is_over:
            return times
        ended_at = min(resumed_at or until, until)
        times = replace(times, waited_s=all_waits_s(times, ended_at), waiting_since=None)
    if not waits:
        return times
    if times.started_at is None:
        return replace(times, waiting_since=times.submitted_at)
    if began_at is None:
        began_at = min(max(times.started_at, find_last_time(state) or until), until)
    return replace(times, waiting_since=began_at)


def find_last_time(state: JobState) -> float | None:
    """Return the last start or end of a sheet; None if none is known."""
    times = (time for sheet in state.sheets for time in (sheet.started_at, sheet.completed_at))
    return max((time for time in times if time is not None), default=None)


def find_start(known: RunTimes, state: JobState) -> float | None:
    """Return the first start of a run that was reported; None if none was."""
    earliest = known.submitted_at - MAX_CLOCK_DIFFERENCE_S
    starts = (known.started_at, to_epoch_s(state.started_at))
    return next((start for start in starts if start is not None and start >= earliest), None)


def find_end(known: RunTimes, state: JobState, seen_at: float | None) -> float | None:
    """Return the end of a run: the first one that was reported, or else the time it was seen at.

    The conductor rewrites ends, to later times only. An end before the last start or resume is that
    of an earlier execution.
    """
    started_at = to_epoch_s(state.started_at) or 0.0
    ends = (known.completed_at, to_epoch_s(state.completed_at))
    return min((end for end in ends if end is not None and end >= started_at), default=seen_at)


def find_resume(state: JobState, since: float) -> float | None:
    """Return the time of a start or resume since a time; None if none is reported."""
    resumed_at = to_epoch_s(state.started_at)
    return resumed_at if resumed_at is not None and resumed_at >= since else None
