"""Times of sheets: the start and end of each, as reported or seen. Pure.

The conductor reports no times of most sheets (docs/explanation/conductor.md). The span of a sheet
is what this server sees: from its first dispatch to its end, waits for retries and rate limits
included. A sheet that is executed again after its end has a new span.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from marianne_stream.backends.checkpoint import STOPPED_STATUS, to_epoch_s
from marianne_stream.jobs.read_times import ReadTime
from marianne_stream.jobs.run_times import MAX_CLOCK_DIFFERENCE_S
from marianne_stream.jobs.waiting import SHEET_CODES
from marianne_stream.models import JobState, Sheet

# Statuses of a sheet before its first dispatch.
NOT_STARTED = frozenset({"pending", "ready"})

# Statuses with which a sheet has ended. A skipped sheet was never executed.
ENDED = frozenset({"completed", "failed", "cancelled", STOPPED_STATUS})

# An end that is this close to the job's start was written by a resume.
RESUME_WINDOW_S = 1.0


@dataclass(frozen=True, slots=True)
class SheetMerge:
    """Merge of the sheets of a state with what is known of them.

    Attributes:
        known: the sheets of the same run as they were last known, by number.
        read: time of the read.
        job_started_at: time of the last start or resume of the job; None if unknown.
        job_ended_at: end of the job, as reported or seen; None if it is unknown.
        start_seen_at: start of a sheet that is new; None if it was not seen.
        seen_at: time of any other change; None if it was not seen.
    """

    known: Mapping[int, Sheet]
    read: ReadTime
    job_started_at: float | None
    job_ended_at: float | None
    start_seen_at: float | None
    seen_at: float | None

    def __call__(self, reported: Sheet) -> Sheet:
        """Return a sheet with the times that were reported or seen."""
        sheet = without_resume_end(reported, self.job_started_at)
        before = self.known.get(sheet.number)
        if before is None and self.read.sees_changes:
            before = Sheet(sheet.number, "pending")
        seen_at = self.start_seen_at if sheet.status not in ENDED else self.seen_at
        if sheet.status == STOPPED_STATUS and self.read.had_ended:
            # This server marks the sheet when the end of the job is certain, which is later.
            seen_at = self.job_ended_at
        return merge_times(sheet, before, seen_at, self.job_started_at)


def make_sheet_merge(
    state: JobState,
    known: Mapping[int, Sheet],
    read: ReadTime,
    job_ended_at: float | None = None,
) -> SheetMerge:
    """Return the merge of the sheets of a state.

    Args:
        state: the state that was read; its sheets have the times that the conductor reports.
        known: the sheets of the same run as they were last known, by number.
        read: time of the read.
        job_ended_at: end of the job, as reported or seen; None if it is unknown.
    """
    job_started_at = to_epoch_s(state.started_at)
    seen_at = read.now if read.sees_changes else None
    if seen_at is not None and job_ended_at is not None:
        # No sheet ends after its job.
        seen_at = min(seen_at, job_ended_at)
    start_seen_at = seen_at
    if seen_at is not None and not known and not any(s.status in ENDED for s in state.sheets):
        # The first sheets are dispatched as soon as the job starts.
        start_seen_at = job_started_at or seen_at
    return SheetMerge(known, read, job_started_at, job_ended_at, start_seen_at, seen_at)


def without_resume_end(sheet: Sheet, job_started_at: float | None) -> Sheet:
    """Return a sheet without the end that a resume of the job has written into it."""
    if sheet.completed_at is None or job_started_at is None:
        return sheet
    if abs(sheet.completed_at - job_started_at) > RESUME_WINDOW_S:
        return sheet
    return replace(sheet, completed_at=None)


def merge_times(
    reported: Sheet, known: Sheet | None, seen_at: float | None, job_started_at: float | None
) -> Sheet:
    """Return a sheet with its span.

    Args:
        reported: the sheet with the times that the conductor reports.
        known: the sheet as it was last known; None if it was not.
        seen_at: time of a change since then; None if it was not seen.
        job_started_at: time of the last start or resume of the job; None if unknown.
    """
    if known is not None and known.status in ENDED and is_same_execution(reported, known):
        return with_span(reported, known)
    span = known if known is not None and known.status not in ENDED else None
    if reported.status in NOT_STARTED and span is not None and goes_on(span, job_started_at):
        return with_span(reported, span)
    if reported.status in NOT_STARTED or reported.status == "skipped":
        return replace(reported, started_at=None, completed_at=None)
    if reported.status in ENDED:
        return with_end(reported, span, seen_at)
    return with_start(reported, known, span, seen_at)


def is_same_execution(reported: Sheet, known: Sheet) -> bool:
    """Return whether a sheet has the status and attempt that are known: it goes on or has ended.

    A conductor that restarts counts the attempts of completed sheets anew, and may report fewer.
    """
    if reported.status == known.status == "completed":
        return (reported.attempt or 1) <= (known.attempt or 1)
    return reported.status == known.status and reported.attempt == known.attempt


def goes_on(span: Sheet, job_started_at: float | None) -> bool:
    """Return whether a sheet that is reported as not started is between two attempts.

    The conductor sets a sheet back after each wait, and before it tries another instrument. A
    resume of the job sets it back as well, and its next attempt begins a new span.
    """
    if span.started_at is None:
        return False
    return job_started_at is None or span.started_at > job_started_at - RESUME_WINDOW_S


def with_span(reported: Sheet, known: Sheet) -> Sheet:
    """Return a sheet with the span that is known."""
    return replace(
        reported,
        started_at=known.started_at,
        completed_at=known.completed_at,
        observed=known.observed,
        estimated=known.estimated,
    )


def with_start(
    reported: Sheet, known: Sheet | None, span: Sheet | None, seen_at: float | None
) -> Sheet:
    """Return a sheet that is at work or waits, with the start of its span."""
    if span is not None and span.started_at is not None:
        return replace(with_span(reported, span), completed_at=None)
    if reported.started_at is not None:
        return replace(reported, completed_at=None)
    # A span whose start was not seen has started before.
    is_new = known is not None and (known.status in NOT_STARTED or known.status in ENDED)
    started_at = seen_at if is_new else None
    return replace(
        reported, started_at=started_at, completed_at=None, observed=started_at is not None
    )


def with_end(reported: Sheet, span: Sheet | None, seen_at: float | None) -> Sheet:
    """Return a sheet that has ended, with its span."""
    completed_at = reported.completed_at if reported.completed_at is not None else seen_at
    started_at = reported.started_at
    has_seen_start = estimated = False
    if span is not None and span.started_at is not None:
        started_at, has_seen_start = span.started_at, span.observed
    elif started_at is None and completed_at is not None and reported.work_s:
        estimated = not has_waited(reported, span) and reported.work_s <= completed_at
        started_at = round(completed_at - reported.work_s, 3) if estimated else None
    if started_at is not None and completed_at is not None and completed_at < started_at:
        is_close = started_at - completed_at <= MAX_CLOCK_DIFFERENCE_S
        completed_at = started_at if is_close else None
    has_seen_end = reported.completed_at is None and completed_at is not None
    return replace(
        reported,
        started_at=started_at,
        completed_at=completed_at,
        observed=has_seen_start or has_seen_end,
        estimated=estimated,
    )


def has_waited(reported: Sheet, span: Sheet | None) -> bool:
    """Return whether a sheet has waited between attempts: its time at work is not all of its span.

    Args:
        reported: the sheet, which has ended.
        span: the sheet as it was last known before; time at work is counted after each attempt.
    """
    if (reported.attempt or 1) > 1:
        return True
    return span is not None and (span.status in SHEET_CODES or span.work_s is not None)
