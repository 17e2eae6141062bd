"""State of a watched job in the terminal, and exit codes of jobs."""

from dataclasses import dataclass, field

from marianne_stream.client.api_models import (
    JobBody,
    SheetBody,
    SheetsBody,
    StatusBody,
    WaitingBody,
)
from marianne_stream.client.run_span import RunSpan

# Exit codes of `watch`, by the final status of a job.
EXIT_CODES = {"completed": 0, "failed": 1, "cancelled": 4}

EXIT_NOT_FOUND = 3

# From best to worst: an unknown state is worse than a known one. 6 is a job without a log.
EXIT_SEVERITY = (0, 4, 1, 6, 3, 2, 5)


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
    span: RunSpan = field(default_factory=RunSpan)
    problem: str = ""
    waiting: WaitingBody | None = None
    stalled: list[int] = field(default_factory=list)
    eta_at: str | None = None
    estimated_cost: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    resume_command: str = ""
    sheets: dict[int, SheetBody] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Return whether the job has ended."""
        return self.status in EXIT_CODES

    def apply(self, state: JobBody, *, now_s: float) -> None:
        """Apply a roster entry or a status event.

        A job that ends while it is watched gets the current time as its end if its own is unknown.
        """
        was_active = bool(self.status) and not self.is_over
        self.status = state.status
        self.completed_sheets, self.total_sheets = state.completed_sheets, state.total_sheets
        self.current_sheet = state.current_sheet
        self.error = state.error_message or ""
        self.waiting, self.stalled, self.eta_at = state.waiting, state.stalled, state.eta_at
        self.estimated_cost = state.estimated_cost
        if isinstance(state, StatusBody):
            self.input_tokens, self.output_tokens = state.input_tokens, state.output_tokens
            self.resume_command = state.resume_command or ""
        known_end_s = now_s if was_active else self.span.ended_s
        self.span = RunSpan.from_body(state)
        if self.is_over and self.span.ended_s is None:
            self.span = self.span._replace(ended_s=known_end_s)

    def apply_sheets(self, event: SheetsBody) -> None:
        """Apply an event with all sheets, or with those that have changed."""
        if event.complete:
            self.sheets.clear()
        self.sheets |= {sheet.number: sheet for sheet in event.sheets}

    def duration_s(self, now_s: float | None) -> float | None:
        """Return how long the job has worked, in seconds; see `RunSpan.duration_s`."""
        return self.span.duration_s(self.status, now_s)


def worst_exit_code(codes: list[int]) -> int:
    """Return the worst of the exit codes of several jobs."""
    return max(codes, key=EXIT_SEVERITY.index, default=0)
