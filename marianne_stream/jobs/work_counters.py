"""Counters of the work whose end this server has seen."""

from collections.abc import Callable

from marianne_stream.models import JobState, RosterEntry

OnDuration = Callable[[float], None]


def ignore_duration(_duration_s: float) -> None:
    """Do nothing."""


class WorkCounters:
    """Counts completed sheets and failed jobs.

    Attributes:
        completed_sheets: sheets that were seen to complete.
        failed_jobs: jobs that were seen to fail.
        on_duration: called with the duration of each completed sheet whose span is known, in
            seconds.
    """

    def __init__(self) -> None:
        self.completed_sheets = 0
        self.failed_jobs = 0
        self.on_duration: OnDuration = ignore_duration

    def count_sheets(self, before: JobState, after: JobState) -> None:
        """Count the sheets that have completed between two states of a job."""
        is_same_run = before.run == after.run
        known = {sheet.number: sheet.status for sheet in before.sheets} if is_same_run else {}
        for sheet in after.sheets:
            if sheet.status != "completed" or known.get(sheet.number) in (None, "completed"):
                continue
            self.completed_sheets += 1
            if sheet.started_at is not None and sheet.completed_at is not None:
                self.on_duration(max(0.0, sheet.completed_at - sheet.started_at))

    def count_job(self, known: RosterEntry | None, entry: RosterEntry, since: float) -> None:
        """Count a job that has failed between two rosters.

        Args:
            known: its entry in the roster before, if it had one.
            entry: its entry now.
            since: time of the roster before, in epoch seconds.
        """
        if entry.status != "failed":
            return
        if known is None:
            # An older job may be listed again, or by another backend.
            self.failed_jobs += (entry.submitted_at or 0.0) >= since
        elif known.status != "failed" or not known.is_same_run(entry):
            self.failed_jobs += 1
