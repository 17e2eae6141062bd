"""Times of sheets: when each began and ended, as it was told or seen. Pure.

The conductor tells no times of most sheets (docs/explanation/conductor.md), so the span of a sheet
is what this server sees: from its first dispatch to its end, waits for retries and rate limits
included. A sheet that is executed again after its end has a new span.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from marianne_stream.backends.checkpoint import to_epoch_s
from marianne_stream.jobs.waiting import SHEET_CODES
from marianne_stream.models import JobState, Sheet

# Statuses of a sheet before its first dispatch.
NOT_STARTED = frozenset({"pending", "ready"})

# Statuses with which a sheet has ended. A skipped sheet was never executed.
ENDED = frozenset({"completed", "failed", "cancelled", "stopped"})

# An end that is this close to the job's start was written by a resume.
RESUME_WINDOW_S = 1.0

# A change counts as seen if the state was read at most this long before it.
MAX_UNSEEN_S = 15.0


@dataclass(frozen=True, slots=True)
class Moment:
    """Time of a read in epoch seconds, and whether changes since the last read were seen."""

    now: float
    sees_changes: bool


def make_moment(now: float, seen_since: float | None) -> Moment:
    """Return the moment of a read.

    Args:
        now: time of the read, in epoch seconds.
        seen_since: time of the read before it, or of the job's submission; None if unknown.
    """
    return Moment(now, seen_since is not None and now - seen_since <= MAX_UNSEEN_S)


def with_sheet_times(state: JobState, known: Mapping[int, Sheet], moment: Moment) -> JobState:
    """Return a state whose sheets have the times that were told or seen.

    Args:
        state: the state that was read; its sheets have the times that were told.
        known: the sheets of the same run as they were last known, by number.
        moment: time of the read.
    """
    job_started_at = to_epoch_s(state.started_at)
    seen_at = moment.now if moment.sees_changes else None
    job_ended_at = to_epoch_s(state.completed_at) if state.is_terminal else None
    if seen_at is not None and job_ended_at is not None:
        # No sheet ends after its job.
        seen_at = min(seen_at, job_ended_at)
    start_seen_at = seen_at
    if seen_at is not None and not known and not any(s.status in ENDED for s in state.sheets):
        # The first sheets are dispatched as soon as the job starts.
        start_seen_at = job_started_at or seen_at
    sheets = []
    for told in state.sheets:
        sheet = without_resume_end(told, job_started_at)
        before = known.get(sheet.number)
        if before is None and moment.sees_changes:
            before = Sheet(sheet.number, "pending")
        seen = start_seen_at if sheet.status not in ENDED else seen_at
        sheets.append(merge_times(sheet, before, seen))
    return replace(state, sheets=tuple(sheets))


def without_resume_end(sheet: Sheet, job_started_at: float | None) -> Sheet:
    """Return a sheet without the end that a resume of the job has written into it."""
    if sheet.completed_at is None or job_started_at is None:
        return sheet
    if abs(sheet.completed_at - job_started_at) > RESUME_WINDOW_S:
        return sheet
    return replace(sheet, completed_at=None)


def merge_times(told: Sheet, known: Sheet | None, seen_at: float | None) -> Sheet:
    """Return a sheet with its span.

    Args:
        told: the sheet with the times that the conductor tells.
        known: the sheet as it was last known; None if it was not.
        seen_at: time of a change since then; None if it was not seen.
    """
    if known is not None and known.status in ENDED and is_same_execution(told, known):
        return with_span(told, known)
    if told.status in NOT_STARTED or told.status == "skipped":
        return replace(told, started_at=None, completed_at=None)
    span = known if known is not None and known.status not in ENDED else None
    if told.status in ENDED:
        return with_end(told, span, seen_at)
    return with_start(told, known, span, seen_at)


def is_same_execution(told: Sheet, known: Sheet) -> bool:
    """Return whether an ended sheet has not been executed again."""
    return told.status == known.status and told.attempt == known.attempt


def with_span(told: Sheet, known: Sheet) -> Sheet:
    """Return a sheet with the span that is known."""
    return replace(
        told,
        started_at=known.started_at,
        completed_at=known.completed_at,
        observed=known.observed,
        estimated=known.estimated,
    )


def with_start(
    told: Sheet, known: Sheet | None, span: Sheet | None, seen_at: float | None
) -> Sheet:
    """Return a sheet that is at work or waits, with the beginning of its span."""
    if span is not None and span.started_at is not None:
        return replace(with_span(told, span), completed_at=None)
    if told.started_at is not None:
        return replace(told, completed_at=None)
    # A span whose beginning was not seen has begun before.
    begins = known is not None and (known.status in NOT_STARTED or known.status in ENDED)
    started_at = seen_at if begins else None
    return replace(told, started_at=started_at, completed_at=None, observed=started_at is not None)


def with_end(told: Sheet, span: Sheet | None, seen_at: float | None) -> Sheet:
    """Return a sheet that has ended, with its span."""
    completed_at = told.completed_at if told.completed_at is not None else seen_at
    observed = told.completed_at is None and completed_at is not None
    estimated = False
    started_at = told.started_at
    if span is not None and span.started_at is not None:
        started_at = span.started_at
        observed = observed or span.observed
    elif started_at is None and completed_at is not None and told.work_s:
        estimated = not has_waited(told, span)
        started_at = round(completed_at - told.work_s, 3) if estimated else None
    return replace(
        told,
        started_at=started_at,
        completed_at=completed_at,
        observed=observed,
        estimated=estimated,
    )


def has_waited(told: Sheet, span: Sheet | None) -> bool:
    """Return whether a sheet has waited between attempts: its time at work is not all of its span.

    Args:
        told: the sheet, which has ended.
        span: the sheet as it was last known before; time at work is counted after each attempt.
    """
    if (told.attempt or 1) > 1:
        return True
    return span is not None and (span.status in SHEET_CODES or span.work_s is not None)
