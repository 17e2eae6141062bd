"""Scenarios: several scores that are played at once, in rounds."""

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
        conductor: conductor of the jobs.
        folder: folder for workspaces and logs.
        speed: score seconds per second.
        rounds: number of rounds of each score; None for an endless loop.
        scores: scores to play; default: those of the demo.
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
        """Return the states of each job so far, as `state_history.make_state` describes them."""
        return self._history.job_states

    async def run(self) -> None:
        """Play all rounds. Cancelling is safe: jobs stay as they are."""
        async with asyncio.TaskGroup() as group:
            for player in self._players:
                group.create_task(self._play_rounds(player))
        # StateHistory records the last changes in the next iteration of the loop.
        await asyncio.sleep(0)

    async def _play_rounds(self, player: ScorePlayer) -> None:
        await player.sleep(player.score.start_delay_s)
        round_count = 0
        while True:
            await player.play()
            round_count += 1
            if round_count == self._rounds:
                return
            await player.sleep(player.score.repeat_delay_s)


def make_recorded_scenario(
    conductor: SimulatedConductor, folder: Path, *, speed: float = 1.0
) -> Scenario:
    """Return the scenario of the recording: `wt`, `failing`, `fan` and `tick`, once each.

    It takes 58 score seconds.
    """
    return Scenario(conductor, folder, speed=speed, rounds=1, scores=RECORDED_SCORES)
