"""Scenarios: several scores that are played at once, in rounds."""

import asyncio
from pathlib import Path

from marianne_stream.demo.score import DEMO_SCORES, Score
from marianne_stream.demo.score_player import ScorePlayer
from marianne_stream.demo.simulated_conductor import SimulatedConductor

SEED = 1795461853


class Scenario:
    """Plays scores on a conductor that has started.

    `speed` is in score seconds per second. The scores are played in an endless loop if `rounds` is
    None.
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
        self._players = [
            ScorePlayer(conductor, score, folder, speed=speed, seed=SEED) for score in scores
        ]
        self._rounds = rounds

    async def run(self) -> None:
        """Play all rounds. Cancelling is safe: jobs stay as they are."""
        async with asyncio.TaskGroup() as group:
            for player in self._players:
                group.create_task(self._play_rounds(player))

    async def _play_rounds(self, player: ScorePlayer) -> None:
        await player.sleep(player.score.start_delay_s)
        round_count = 0
        while True:
            await player.play()
            round_count += 1
            if round_count == self._rounds:
                return
            await player.sleep(player.score.repeat_delay_s)
