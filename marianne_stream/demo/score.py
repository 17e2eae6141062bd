"""A score for the simulated conductor: what a job does, and how long each part of it takes.

Plain values in score seconds, which a player may play faster. It must not know a conductor.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Score:
    """What one job plays.

    Args:
        job_id: the job's id, and its score's name.
        movements: how many sheets each movement has; those of one movement are played together.
        sheet_duration_s: seconds that a sheet takes, more or less; the first of a movement always
            so long.
        has_named_movements: give each sheet the number of its movement, else none.
        movement_gap_s: seconds between the end of a movement and the next dispatch.
        start_delay_s: seconds before the job is first submitted.
        queue_time_s: seconds between the submission and the run.
        repeat_delay_s: seconds between the end and the next run.
        failing_sheet: the sheet that fails, and ends the job; the later ones are skipped.
        failure_message: what the failed sheet says.
        pause_after_sheets: the number of completed sheets after which the job is paused.
        pause_s: how long a pause lasts.
        cancelled_sheet: the sheet during which the job is cancelled.
    """

    job_id: str
    movements: tuple[int, ...]
    sheet_duration_s: float = 1.5
    has_named_movements: bool = False
    movement_gap_s: float = 0.5
    start_delay_s: float = 0.0
    queue_time_s: float = 0.2
    repeat_delay_s: float = 8.0
    failing_sheet: int | None = None
    failure_message: str = "Exit code 1"
    pause_after_sheets: int | None = None
    pause_s: float = 5.0
    cancelled_sheet: int | None = None

    @property
    def sheets(self) -> int:
        """How many sheets the score has."""
        return sum(self.movements)

    def sheets_by_movement(self) -> list[list[int]]:
        """Give the sheets' numbers, a list for each movement."""
        numbers = iter(range(1, self.sheets + 1))
        return [[next(numbers) for _ in range(size)] for size in self.movements]

    def movement_by_sheet(self) -> dict[int, int]:
        """Give the movement of each sheet; empty where movements are not named."""
        if not self.has_named_movements:
            return {}
        return {
            sheet: movement
            for movement, sheets in enumerate(self.sheets_by_movement(), 1)
            for sheet in sheets
        }


# The demonstration: one that completes, one that fails, a wide one that is paused, one cancelled.
DEMO_SCORES = (
    Score("tide-tables", (1,) * 5, sheet_duration_s=1.4, repeat_delay_s=4.0),
    Score(
        "lantern-festival",
        (1,) * 4,
        sheet_duration_s=1.9,
        start_delay_s=1.0,
        failing_sheet=3,
        failure_message="The wind took lantern 3: exit code 1",
    ),
    Score(
        "cathedral-of-moss",
        (2, 4, 4, 2),
        sheet_duration_s=2.2,
        has_named_movements=True,
        movement_gap_s=0.8,
        start_delay_s=2.0,
        pause_after_sheets=6,
    ),
    Score("paper-boats", (1,) * 3, sheet_duration_s=2.6, start_delay_s=4.0, cancelled_sheet=2),
)

# What was recorded on a real conductor, with its times.
RECORDED_SCORES = (
    Score(
        "wt",
        (1,) * 4,
        sheet_duration_s=2.08,
        movement_gap_s=2.0,
        start_delay_s=3.3,
        queue_time_s=0.01,
    ),
    Score(
        "failing",
        (1,) * 3,
        sheet_duration_s=1.0,
        movement_gap_s=2.0,
        start_delay_s=8.28,
        queue_time_s=0.01,
        failing_sheet=2,
    ),
    Score(
        "fan",
        (1,) * 12,
        sheet_duration_s=1.5,
        movement_gap_s=2.0,
        start_delay_s=12.72,
        queue_time_s=0.01,
        pause_after_sheets=3,
        pause_s=6.7,
    ),
    Score(
        "tick",
        (1,) * 3,
        sheet_duration_s=4.02,
        movement_gap_s=2.0,
        start_delay_s=37.16,
        queue_time_s=0.01,
        cancelled_sheet=2,
    ),
)
