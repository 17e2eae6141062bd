"""Scenario of the jobs that were recorded on a real conductor."""

from pathlib import Path

from marianne_stream.demo.scenario import Scenario
from marianne_stream.demo.score import Score
from marianne_stream.demo.simulated_conductor import SimulatedConductor

# Jobs that were recorded on a real conductor, with their times.
RECORDED_SCORES = (
    Score(
        "wt",
        (1,) * 4,
        sheet_duration_s=2.08,
        start_delay_s=3.3,
        queue_time_s=0.01,
    ),
    Score(
        "failing",
        (1,) * 3,
        sheet_duration_s=1.0,
        start_delay_s=8.28,
        queue_time_s=0.01,
        failing_sheet=2,
    ),
    Score(
        "fan",
        (1,) * 12,
        sheet_duration_s=1.5,
        start_delay_s=12.72,
        queue_time_s=0.01,
        pause_after_sheets=3,
        pause_s=6.7,
    ),
    Score(
        "tick",
        (1,) * 3,
        sheet_duration_s=4.02,
        start_delay_s=37.16,
        queue_time_s=0.01,
        cancelled_sheet=2,
    ),
)


def make_recorded_scenario(
    conductor: SimulatedConductor, folder: Path, *, speed: float = 1.0
) -> Scenario:
    """Return the scenario of `wt`, `failing`, `fan` and `tick`, once each: 58 score seconds."""
    return Scenario(conductor, folder, speed=speed, rounds=1, scores=RECORDED_SCORES)
