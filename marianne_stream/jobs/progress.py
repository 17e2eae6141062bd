"""Progress times: when the server last saw a job's status, counts or sheets change."""

import time
from collections.abc import Container
from operator import attrgetter

from marianne_stream.conductor_models import RateLimit
from marianne_stream.jobs.waiting import find_waiting_sheet
from marianne_stream.jobs.work_counters import WorkCounters
from marianne_stream.models import JobState, RosterEntry

# What changes with the progress of a job.
get_progress = attrgetter("status", "completed_sheets", "total_sheets", "sheets")


class ProgressTimes:
    """Times of the last change and of the last sign of life that this server saw, by job.

    The conductor's `updated_at` is set for all jobs whenever one changes
    (docs/explanation/conductor.md, point 11).

    Attributes:
        began_at: time of the first roster, in epoch seconds.
        stalled_after_s: time without a sign of life after which a sheet has stalled, in seconds;
            None for a time that follows from its timeout.
        clone: as in JobProgress.
        counters: counters of what has ended.
    """

    def __init__(self) -> None:
        self._times: dict[str, float] = {}
        self._activity: dict[str, float] = {}
        # Times of the last checks of logs.
        self._checked_at: dict[str, float] = {}
        self.began_at = time.time()
        self.stalled_after_s: float | None = None
        self.clone: str | None = None
        self._rate_limits: tuple[RateLimit, ...] = ()
        self.counters = WorkCounters()

    def record(self, job_id: str) -> None:
        """Record that a job has just changed."""
        self._times[job_id] = now = time.time()
        self.record_activity(job_id, now)

    def record_activity(self, job_id: str, at: float) -> None:
        """Record a sign of life of a job at a time in epoch seconds."""
        self._activity[job_id] = max(at, self._activity.get(job_id, 0.0))

    def expect_check(self, job_id: str) -> None:
        """Count a job's silence from now on only until the last check of its log."""
        self._checked_at.setdefault(job_id, time.time())

    def record_check(self, job_id: str) -> None:
        """Record that a job's log was checked just now."""
        self._checked_at[job_id] = time.time()

    def silence_until(self, job_id: str) -> float:
        """Return the time until which the silence of a job counts, in epoch seconds."""
        return min(time.time(), self._checked_at.get(job_id, float("inf")))

    def discard(self, job_id: str) -> None:
        """Remove the time of a job that changed at an unknown moment."""
        self._times.pop(job_id, None)

    def retain(self, job_ids: Container[str]) -> None:
        """Remove all jobs but these."""
        for times in (self._times, self._activity, self._checked_at):
            for job_id in [job_id for job_id in times if job_id not in job_ids]:
                del times[job_id]

    def get(self, job_id: str) -> float | None:
        """Return the time of a job's last change in epoch seconds; None if none was seen."""
        return self._times.get(job_id)

    def restore(self, job_id: str, at: float) -> None:
        """Record a change that an earlier process has seen, unless a later one is known."""
        self._times.setdefault(job_id, at)

    def update_rate_limits(self, limits: tuple[RateLimit, ...]) -> bool:
        """Store the rate limits of the conductor's instruments; return whether they differ."""
        is_changed, self._rate_limits = limits != self._rate_limits, limits
        return is_changed

    def find_limit_end(self, state: JobState) -> float | None:
        """Return the end of the rate limit that a job waits for; None if it is unknown.

        If the instrument of the sheet is unknown, the only rate limit is meant.
        """
        sheet = find_waiting_sheet(state.sheets)
        if sheet is None or sheet.status != "waiting":
            return None
        now, name = time.time(), sheet.instrument_name
        known = [limit for limit in self._rate_limits if limit.until > now]
        ends = [limit.until for limit in known if name in (None, limit.instrument)]
        return ends[0] if len(ends) == 1 else None

    def get_activity(self, job_id: str) -> float | None:
        """Return the time of a job's last sign of life in epoch seconds; None if none was seen."""
        return self._activity.get(job_id)


def has_progressed(before: JobState, after: JobState) -> bool:
    """Return True if the second state shows progress since the first."""
    return get_progress(before) != get_progress(after)


def entry_has_progressed(before: RosterEntry, after: RosterEntry) -> bool:
    """Return True if the second entry shows progress; a newly known count is none."""
    if before.status != after.status or not before.is_same_run(after):
        return True
    return before.completed_sheets not in (None, after.completed_sheets)
