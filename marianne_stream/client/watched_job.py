"""State of a watched job in the terminal, and exit codes of jobs."""

from dataclasses import dataclass, field

from marianne_stream.client.api_models import (
    JobBody,
    JobTimesBody,
    SheetBody,
    SheetsBody,
    StatusBody,
    WaitingBody,
)
from marianne_stream.client.times import parse_iso_time

# Exit codes of `watch`, by the final status of a job.
EXIT_CODES = {"completed": 0, "failed": 1, "cancelled": 4}

EXIT_NOT_FOUND = 3

# From best to worst: an unknown state is worse than a known one.
EXIT_SEVERITY = (0, 4, 1, 3, 2, 5)


@dataclass(slots=True)
class WatchedJob:
    """State of a watched job.

    What is unknown is "" or None. `current_sheet` is the active sheet with the lowest number, and
    `problem` the reason why the job is no longer watched, other than its end.
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
    waiting: WaitingBody | None = None
    stalled: list[int] = field(default_factory=list)
    eta_at: str | None = None
    estimated_cost: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    sheets: dict[int, SheetBody] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Return whether the job has ended."""
        return self.status in EXIT_CODES

    def apply_status(self, status: StatusBody, *, now_s: float) -> bool:
        """Apply a status event, and return whether the status has changed.

        A job that ends while it is watched gets the current time as its end, until its times are
        fetched.
        """
        has_changed = status.status != self.status
        was_active = bool(self.status) and not self.is_over
        self.status = status.status
        if has_changed:
            self.ended_s = now_s if self.is_over and was_active else None
        self.completed_sheets, self.total_sheets = status.completed_sheets, status.total_sheets
        self.current_sheet = status.current_sheet
        self.error = status.error_message or ""
        self.waiting, self.stalled, self.eta_at = status.waiting, status.stalled, status.eta_at
        self.estimated_cost = status.estimated_cost
        self.input_tokens, self.output_tokens = status.input_tokens, status.output_tokens
        return has_changed

    def apply_sheets(self, event: SheetsBody) -> None:
        """Apply an event with all sheets, or with those that have changed."""
        if event.complete:
            self.sheets.clear()
        self.sheets |= {sheet.number: sheet for sheet in event.sheets}

    def apply_times(self, detail: JobTimesBody) -> None:
        """Apply the times of the start and the end."""
        self.started_s = parse_iso_time(detail.started_at)
        if self.is_over:
            self.ended_s = parse_iso_time(detail.completed_at) or self.ended_s

    def apply_entry(self, entry: JobBody, *, now_s: float) -> None:
        """Apply a roster entry; if it has no time of the end, use the current time."""
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
        """Return how long the job has run, in seconds; None if it is unknown."""
        if self.started_s is None or (self.is_over and self.ended_s is None):
            return None
        return (now_s if self.ended_s is None else self.ended_s) - self.started_s


def worst_exit_code(codes: list[int]) -> int:
    """Return the worst of the exit codes of several jobs."""
    return max(codes, key=EXIT_SEVERITY.index, default=0)
