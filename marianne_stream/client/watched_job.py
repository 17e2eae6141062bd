"""A job that is watched, as far as a terminal shows it, and what it means to exit with.

It must not know how it is shown.
"""

from dataclasses import dataclass

from marianne_stream.client.api_models import JobBody, JobTimesBody, StatusBody
from marianne_stream.client.times import parse_iso_time

# What `watch` exits with, by the status that a job ends with.
EXIT_CODES = {"completed": 0, "failed": 1, "cancelled": 4}

EXIT_NOT_FOUND = 3

# The later, the worse: what is not known weighs more than what is.
EXIT_SEVERITY = (0, 4, 1, 3, 2, 5)


@dataclass(slots=True)
class WatchedJob:
    """What is known of a job.

    Attributes:
        job_id: its id, as it was given.
        status: its status; "" while it is not known.
        completed_sheets: completed sheets; None where the source does not tell.
        total_sheets: all sheets; None likewise.
        current_sheet: the sheet that is at work.
        error: the job's error.
        started_s: when it started, in epoch seconds.
        ended_s: when it ended.
        problem: why it is not watched any more, where that is not its end.
    """

    job_id: str
    status: str = ""
    completed_sheets: int | None = None
    total_sheets: int | None = None
    current_sheet: int | None = None
    error: str = ""
    started_s: float | None = None
    ended_s: float | None = None
    problem: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.status in EXIT_CODES

    def apply_status(self, status: StatusBody, *, now_s: float) -> bool:
        """Take what a status stream says, and return whether the status is another than before.

        A job that was seen to end has ended now, until its times tell better.
        """
        other = status.status != self.status
        was_at_work = bool(self.status) and not self.is_over
        self.status = status.status
        if other:
            self.ended_s = now_s if self.is_over and was_at_work else None
        self.completed_sheets, self.total_sheets = status.completed_sheets, status.total_sheets
        self.current_sheet = status.current_sheet
        self.error = status.error_message or ""
        return other

    def apply_times(self, detail: JobTimesBody) -> None:
        """Takes when it started and ended."""
        self.started_s = parse_iso_time(detail.started_at)
        if self.is_over:
            self.ended_s = parse_iso_time(detail.completed_at) or self.ended_s

    def apply_entry(self, entry: JobBody, *, now_s: float) -> None:
        """Takes what the roster says; where it does not tell when a job ended, that is now."""
        was_over = self.is_over
        self.status = entry.status
        self.completed_sheets, self.total_sheets = entry.completed_sheets, entry.total_sheets
        self.current_sheet = entry.current_sheet
        self.started_s = parse_iso_time(entry.started_at)
        ended_s = parse_iso_time(entry.completed_at)
        if not self.is_over:
            self.ended_s = None
        elif ended_s is not None or not was_over:
            self.ended_s = now_s if ended_s is None else ended_s

    def duration_s(self, now_s: float) -> float | None:
        """How long it has run, or ran, in seconds; None where that is not known."""
        if self.started_s is None or (self.is_over and self.ended_s is None):
            return None
        return (now_s if self.ended_s is None else self.ended_s) - self.started_s


def worst_exit_code(codes: list[int]) -> int:
    """The one exit code for several jobs."""
    return max(codes, key=EXIT_SEVERITY.index, default=0)
