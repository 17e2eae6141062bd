"""Several scores played side by side, each again and again: the demonstration's conductor.

It owns the tasks that play. It must not know what a score does.
"""

import asyncio
from pathlib import Path

from marianne_stream.demo.checkpoint_fields import JsonObject
from marianne_stream.demo.score import DEMO_SCORES, RECORDED_SCORES, Score
from marianne_stream.demo.score_player import ScorePlayer
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.demo.state_history import StateHistory

SEED = 1795461853


class Scenario:
    """Plays scores on a conductor that has started.

    Args:
        conductor: where the jobs run.
        folder: where their workspaces are made, and their logs written.
        speed: how many score seconds pass in one.
        rounds: how often each score is played; None for ever.
        scores: what is played; the demonstration's when left out.
    """

    def __init__(
        self,
        conductor: SimulatedConductor,
        folder: Path,
        *,
        speed: float = 1.0,
        rounds: int | None = None,
        scores: tuple[Score, ...] = DEMO_SCORES,
    ) -> None:
        self._history = StateHistory(conductor)
        self._players = [
            ScorePlayer(conductor, score, folder, speed=speed, seed=SEED) for score in scores
        ]
        self._rounds = rounds

    @property
    def job_states(self) -> dict[str, list[JsonObject]]:
        """The states that each job has gone through: see `truth.moment` for their fields."""
        return self._history.job_states

    async def run(self) -> None:
        """Play until every score has had its rounds. Cancelling is safe: jobs stay as they are."""
        async with asyncio.TaskGroup() as group:
            for player in self._players:
                group.create_task(self._play_rounds(player))
        # The last changes are written down at the end of a turn of the loop.
        await asyncio.sleep(0)

    async def _play_rounds(self, player: ScorePlayer) -> None:
        await player.sleep(player.score.start_delay_s)
        played = 0
        while True:
            await player.play()
            played += 1
            if played == self._rounds:
                return
            await player.sleep(player.score.repeat_delay_s)


def make_recorded_scenario(
    conductor: SimulatedConductor, folder: Path, *, speed: float = 1.0
) -> Scenario:
    """Give the scenario of the recording: `wt`, `failing`, `fan` and `tick`, once each.

    It takes 58 score seconds.
    """
    return Scenario(conductor, folder, speed=speed, rounds=1, scores=RECORDED_SCORES)
