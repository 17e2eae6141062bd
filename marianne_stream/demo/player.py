"""Plays one score on a simulated conductor: its sheets, its log, and what the observer sees.

It knows operations by their names and waits between them. It must not know sockets.
"""

import asyncio
import random
from pathlib import Path

from marianne_stream.demo.conductor import SimulatedConductor
from marianne_stream.demo.joblog import JobLog
from marianne_stream.demo.observer import Observer
from marianne_stream.demo.score import Score

OBSERVED_EVERY_S = 2.0
LOGGED_EVERY_S = 0.35


class Player:
    """Runs a job under the score's id, once for each call of `play`.

    Args:
        conductor: where the job runs.
        score: what it does.
        folder: where its workspace is made.
        speed: how many score seconds pass in one.
        seed: what all chance comes from: the same seed gives the same run.
    """

    def __init__(
        self, conductor: SimulatedConductor, score: Score, folder: Path, *, speed: float, seed: int
    ) -> None:
        self.score = score
        self._conductor = conductor
        self._workspace = folder / score.job_id
        self._speed = speed
        self._chance = random.Random(f"{seed} observer {score.job_id}")
        self._log = JobLog(self._workspace, random.Random(f"{seed} log {score.job_id}"))
        self._sheet = 1

    async def rest(self, score_s: float) -> None:
        """Let score seconds pass."""
        await asyncio.sleep(score_s / self._speed)

    async def play(self) -> None:
        """Run the job from its submission to its end. Cancelling leaves it as it is then."""
        score = self.score
        self._conductor.submit(
            score.job_id,
            score.sheets,
            workspace=str(self._workspace),
            config_path=str(self._workspace.with_suffix(".yaml")),
            movements=score.movement_of(),
        )
        await self.rest(score.queued_s)
        self._conductor.publish(score.job_id)
        async with asyncio.TaskGroup() as group:
            beside = (group.create_task(self._observe()), group.create_task(self._write_log()))
            await self._play_movements()
            for task in beside:
                task.cancel()

    async def _play_movements(self) -> None:
        job_id = self.score.job_id
        for sheets in self.score.by_movement():
            for sheet in sheets:
                self._conductor.dispatch(job_id, sheet)
            if await self._play_sheets(sheets):
                return
            if sheets[-1] < self.score.sheets:
                await self._between_movements(sheets[-1])
        self._conductor.finish(job_id)

    async def _play_sheets(self, sheets: list[int]) -> bool:
        """Play a movement's sheets, dispatched together; say whether the job has ended in it."""
        job_id = self.score.job_id
        for sheet in sheets:
            self._sheet = sheet
            await self.rest(self._duration_s(sheet - sheets[0]))
            if sheet == self.score.cancelled_at:
                self._conductor.cancel(job_id)
                return True
            if sheet == self.score.fails_at:
                self._fail(sheet)
                return True
            self._conductor.complete_sheet(job_id, sheet)
        return False

    def _duration_s(self, place: int) -> float:
        """Give how long a sheet takes, or how much later it ends than the one before it."""
        if place == 0:
            return self.score.sheet_s
        return self.score.sheet_s * self._chance.uniform(0.2, 0.6)

    def _fail(self, failed: int) -> None:
        job_id = self.score.job_id
        self._conductor.fail_sheet(job_id, failed, self.score.failure)
        for sheet in range(failed + 1, self.score.sheets + 1):
            self._conductor.skip_sheet(job_id, sheet, because_of=failed)
        self._conductor.finish(job_id, "failed")

    async def _between_movements(self, completed: int) -> None:
        await self.rest(self.score.gap_s)
        if completed == self.score.pauses_after:
            self._conductor.pause(self.score.job_id)
            await self.rest(self.score.pauses_s)
            self._conductor.resume(self.score.job_id)

    async def _observe(self) -> None:
        observer = Observer(self._chance)
        while True:
            await self.rest(OBSERVED_EVERY_S)
            job = self._conductor.jobs[self.score.job_id]
            if job.status == "running":
                for event, data in observer.burst(job.completed_sheets):
                    self._conductor.emit(job.job_id, event, data)

    async def _write_log(self) -> None:
        while True:
            if self._conductor.jobs[self.score.job_id].status == "running":
                await self._log.write(self._sheet)
            await self.rest(LOGGED_EVERY_S)
