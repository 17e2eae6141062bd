"""Scores of simulated jobs: their sheets, and the duration of each part in score seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Score:
    """Course of one job. Durations are in score seconds.

    Attributes:
        movements: number of sheets of each movement; the sheets of a movement run in parallel.
        sheet_duration_s: exact for the first sheet of a movement, random for the others.
        has_named_movements: True if sheets have the number of their movement.
        movement_gap_s: time between the end of a movement and the next dispatch.
        start_delay_s: time before the first submission.
        queue_time_s: time between submission and start.
        repeat_delay_s: time between the end and the next run.
        failing_sheet: number of the sheet that fails and ends the job; later ones are skipped.
        pause_after_sheets: number of completed sheets after which the job is paused.
        cancelled_sheet: number of the sheet during which the job is cancelled.
        retried_sheet: number of the sheet whose first attempt fails.
        limited_sheet: number of the sheet that reaches a rate limit.
        held_sheet: number of the sheet that waits for a person.
        silent_sheet: number of the sheet that works for `silence_s` without a sign of life.
        reports_costs: True if the instrument reports costs, tokens, model and output.
    """

    job_id: str
    movements: tuple[int, ...]
    sheet_duration_s: float = 1.5
    has_named_movements: bool = False
    movement_gap_s: float = 2.0
    start_delay_s: float = 0.0
    queue_time_s: float = 0.2
    repeat_delay_s: float = 8.0
    failing_sheet: int | None = None
    failure_message: str = "Exit code 1"
    pause_after_sheets: int | None = None
    pause_s: float = 5.0
    cancelled_sheet: int | None = None
    retried_sheet: int | None = None
    retry_delay_s: float = 10.0
    limited_sheet: int | None = None
    rate_limit_s: float = 60.0
    reports_limit_end: bool = False
    held_sheet: int | None = None
    hold_s: float = 5.0
    silent_sheet: int | None = None
    silence_s: float = 60.0
    instrument: str = "cli"
    reports_costs: bool = False

    @property
    def sheets(self) -> int:
        """Return the number of sheets."""
        return sum(self.movements)

    def sheets_by_movement(self) -> list[list[int]]:
        """Return the numbers of the sheets, a list for each movement."""
        numbers = iter(range(1, self.sheets + 1))
        return [[next(numbers) for _ in range(size)] for size in self.movements]

    def movement_by_sheet(self) -> dict[int, int]:
        """Return the movement of each sheet; empty if movements are not named."""
        if not self.has_named_movements:
            return {}
        return {
            sheet: movement
            for movement, sheets in enumerate(self.sheets_by_movement(), 1)
            for sheet in sheets
        }


# The demo: a job that completes, one that is tried again and fails, one with costs that reaches a
# rate limit and is paused, and one that is cancelled.
DEMO_SCORES = (
    Score("tide-tables", (1,) * 5, sheet_duration_s=0.9, repeat_delay_s=4.0),
    Score(
        "lantern-festival",
        (1,) * 4,
        sheet_duration_s=1.9,
        start_delay_s=1.0,
        retried_sheet=2,
        retry_delay_s=3.0,
        failing_sheet=3,
        failure_message="The wind took lantern 3: exit code 1",
    ),
    Score(
        "cathedral-of-moss",
        (2, 4, 4, 2),
        sheet_duration_s=2.2,
        has_named_movements=True,
        start_delay_s=2.0,
        pause_after_sheets=6,
        limited_sheet=7,
        rate_limit_s=8.0,
        reports_limit_end=True,
        instrument="claude-code",
        reports_costs=True,
    ),
    Score("paper-boats", (1,) * 3, sheet_duration_s=2.6, start_delay_s=4.0, cancelled_sheet=2),
)
