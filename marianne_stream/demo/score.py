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
        sheet_s: seconds that a sheet takes, more or less; the first of a movement always so long.
        named_movements: give each sheet the number of its movement, else none.
        gap_s: seconds between the end of a movement and the next dispatch.
        begins_s: seconds before the job is first submitted.
        queued_s: seconds between the submission and the run.
        rest_s: seconds between the end and the next run.
        fails_at: the sheet that fails, and ends the job; the later ones are skipped.
        failure: what the failed sheet says.
        pauses_after: the number of completed sheets after which the job is paused.
        pauses_s: how long a pause lasts.
        cancelled_at: the sheet during which the job is cancelled.
    """

    job_id: str
    movements: tuple[int, ...]
    sheet_s: float = 1.5
    named_movements: bool = False
    gap_s: float = 0.5
    begins_s: float = 0.0
    queued_s: float = 0.2
    rest_s: float = 8.0
    fails_at: int | None = None
    failure: str = "Exit code 1"
    pauses_after: int | None = None
    pauses_s: float = 5.0
    cancelled_at: int | None = None

    @property
    def sheets(self) -> int:
        """How many sheets the score has."""
        return sum(self.movements)

    def by_movement(self) -> list[list[int]]:
        """Give the sheets' numbers, a list for each movement."""
        numbers = iter(range(1, self.sheets + 1))
        return [[next(numbers) for _ in range(size)] for size in self.movements]

    def movement_of(self) -> dict[int, int]:
        """Give the movement of each sheet; empty where movements are not named."""
        if not self.named_movements:
            return {}
        return {
            sheet: movement
            for movement, sheets in enumerate(self.by_movement(), 1)
            for sheet in sheets
        }


# The demonstration: one that completes, one that fails, a wide one that is paused, one cancelled.
PLEASANT_SCORES = (
    Score("tide-tables", (1,) * 5, sheet_s=1.4, rest_s=4.0),
    Score(
        "lantern-festival",
        (1,) * 4,
        sheet_s=1.9,
        begins_s=1.0,
        fails_at=3,
        failure="The wind took lantern 3: exit code 1",
    ),
    Score(
        "cathedral-of-moss",
        (2, 4, 4, 2),
        sheet_s=2.2,
        named_movements=True,
        gap_s=0.8,
        begins_s=2.0,
        pauses_after=6,
    ),
    Score("paper-boats", (1,) * 3, sheet_s=2.6, begins_s=4.0, cancelled_at=2),
)

# What was recorded on a real conductor, with its times.
RECORDED_SCORES = (
    Score("wt", (1,) * 4, sheet_s=2.08, gap_s=2.0, begins_s=3.3, queued_s=0.01),
    Score("failing", (1,) * 3, sheet_s=1.0, gap_s=2.0, begins_s=8.28, queued_s=0.01, fails_at=2),
    Score(
        "fan",
        (1,) * 12,
        sheet_s=1.5,
        gap_s=2.0,
        begins_s=12.72,
        queued_s=0.01,
        pauses_after=3,
        pauses_s=6.7,
    ),
    Score("tick", (1,) * 3, sheet_s=4.02, gap_s=2.0, begins_s=37.16, queued_s=0.01, cancelled_at=2),
)
