"""Player of one score on a simulated conductor: sheets, log lines and observer events."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

from marianne_stream.demo.checkpoint_fields import JsonObject
from marianne_stream.demo.job_log import JobLogWriter
from marianne_stream.demo.score import Score
from marianne_stream.demo.sheet_operations import SheetOutput
from marianne_stream.demo.simulated_conductor import SimulatedConductor

FIRST_PID = 7400
OBSERVER_INTERVAL_S = 2.0
LOG_LINE_INTERVAL_S = 0.35


class ScorePlayer:
    """Runs the job of a score, once for each call of `play`.

    `speed` is in score seconds per second; the same seed gives the same run.
    """

    def __init__(
        self, conductor: SimulatedConductor, score: Score, folder: Path, *, speed: float, seed: int
    ) -> None:
        self.score = score
        self._conductor = conductor
        self._workspace = folder / score.job_id
        self._speed = speed
        self._rng = random.Random(f"{seed} observer {score.job_id}")
        self._log_writer = JobLogWriter(
            self._workspace, random.Random(f"{seed} log {score.job_id}")
        )
        self._current_sheet = 1

    async def sleep(self, score_s: float) -> None:
        """Sleep for some score seconds."""
        await asyncio.sleep(score_s / self._speed)

    async def play(self) -> None:
        """Run the job from its submission to its end. If cancelled, the job stays as it is."""
        score = self.score
        self._conductor.submit(
            score.job_id,
            score.sheets,
            workspace=str(self._workspace),
            config_path=str(self._workspace.with_suffix(".yaml")),
            instrument=score.instrument,
            movements=score.movement_by_sheet(),
        )
        await self.sleep(score.queue_time_s)
        self._conductor.start_run(score.job_id)
        async with asyncio.TaskGroup() as group:
            background_tasks = (
                group.create_task(self._emit_observer_events()),
                group.create_task(self._write_log()),
            )
            await self._play_movements()
            for task in background_tasks:
                task.cancel()

    async def _play_movements(self) -> None:
        job_id = self.score.job_id
        for sheets in self.score.sheets_by_movement():
            for sheet in sheets:
                self._conductor.dispatch(job_id, sheet)
            if await self._play_sheets(sheets):
                return
            if sheets[-1] < self.score.sheets:
                await self._wait_between_movements(sheets[-1])
        self._conductor.finish(job_id)

    async def _play_sheets(self, sheets: list[int]) -> bool:
        """Play the sheets of a movement, and return whether the job has ended."""
        job_id = self.score.job_id
        for sheet in sheets:
            self._current_sheet = sheet
            await self._interrupt(sheet)
            await self.sleep(self._duration_s(sheet - sheets[0]))
            if sheet == self.score.cancelled_sheet:
                self._conductor.cancel(job_id)
                return True
            if sheet == self.score.failing_sheet:
                self._fail_job(sheet)
                return True
            await self._log_writer.write_result(sheet)
            self._conductor.complete_sheet(job_id, sheet, self._make_output(sheet))
        return False

    async def _interrupt(self, sheet: int) -> None:
        """Play the delays of a sheet: silence, a retry, a rate limit, a person's decision."""
        score, conductor = self.score, self._conductor
        if sheet == score.silent_sheet:
            await self.sleep(score.silence_s)
        if sheet == score.retried_sheet:
            await self.sleep(score.sheet_duration_s)
            conductor.schedule_retry(score.job_id, sheet)
            await self._dispatch_after(score.retry_delay_s, sheet)
        if sheet == score.limited_sheet:
            await self.sleep(score.sheet_duration_s)
            await self._limit_rate()
        if sheet == score.held_sheet:
            await self.sleep(score.sheet_duration_s)
            conductor.hold_sheet(score.job_id, sheet)
            await self._dispatch_after(score.hold_s, sheet)

    async def _limit_rate(self) -> None:
        """Let all dispatched sheets wait for the end of a rate limit, as their instrument does."""
        score, conductor = self.score, self._conductor
        sheets = list(conductor.jobs[score.job_id].dispatched_at)
        limit_s = score.rate_limit_s / self._speed
        for sheet in sheets:
            conductor.limit_rate(score.job_id, sheet, limit_s, is_reported=score.reports_limit_end)
        await self.sleep(score.rate_limit_s)
        for sheet in sheets:
            conductor.dispatch(score.job_id, sheet)

    async def _dispatch_after(self, delay_s: float, sheet: int) -> None:
        await self.sleep(delay_s)
        self._conductor.dispatch(self.score.job_id, sheet)

    def _make_output(self, sheet: int) -> SheetOutput | None:
        if not self.score.reports_costs:
            return None
        return SheetOutput(
            input_tokens=900 + 40 * sheet,
            output_tokens=300 + 25 * sheet,
            estimated_cost=0.004 + 0.001 * sheet,
            stdout_tail=f"Sheet {sheet} is written.\nAll checks passed ✓\n",
        )

    @property
    def _shows_life(self) -> bool:
        job = self._conductor.jobs[self.score.job_id]
        return job.status == "running" and self._current_sheet != self.score.silent_sheet

    def _duration_s(self, index: int) -> float:
        """Return the duration of a movement's first sheet, or the time until the next one ends."""
        if index == 0:
            return self.score.sheet_duration_s
        return self.score.sheet_duration_s * self._rng.uniform(0.2, 0.6)

    def _fail_job(self, failed_sheet: int) -> None:
        job_id = self.score.job_id
        self._conductor.fail_sheet(job_id, failed_sheet, self.score.failure_message)
        for sheet in range(failed_sheet + 1, self.score.sheets + 1):
            self._conductor.skip_sheet(job_id, sheet, failed_sheet=failed_sheet)
        self._conductor.finish(job_id, "failed")

    async def _wait_between_movements(self, completed: int) -> None:
        await self.sleep(self.score.movement_gap_s)
        if completed == self.score.pause_after_sheets:
            self._conductor.pause(self.score.job_id)
            await self.sleep(self.score.pause_s)
            self._conductor.resume(self.score.job_id)

    async def _emit_observer_events(self) -> None:
        observer = JobObserver(self._rng)
        while True:
            await self.sleep(OBSERVER_INTERVAL_S)
            job = self._conductor.jobs[self.score.job_id]
            if self._shows_life:
                for event, data in observer.make_events(job.completed_sheets):
                    self._conductor.emit(job.job_id, event, data)

    async def _write_log(self) -> None:
        while True:
            if self._shows_life:
                job, sheet = self._conductor.jobs[self.score.job_id], self._current_sheet
                await self._log_writer.write(sheet, is_running=sheet in job.dispatched_at)
            await self.sleep(LOG_LINE_INTERVAL_S)


class JobObserver:
    """Generates the events of one run: processes that start and end, and files that they write."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._next_pid = FIRST_PID
        self._running_pids: list[int] = []
        self._output_count = 0

    def make_events(self, completed_sheets: int) -> Iterator[tuple[str, JsonObject]]:
        """Yield one burst of events, names with data; each completed sheet has written one file."""
        while self._output_count < completed_sheets:
            self._output_count += 1
            yield "observer.file_created", {"path": f"out-{self._output_count}.txt"}
        yield "observer.file_modified", {"path": "marianne.log"}
        if self._running_pids:
            yield from self._exit_events()
        else:
            yield from self._spawn_events()

    def _spawn_events(self) -> Iterator[tuple[str, JsonObject]]:
        for name in ("bash", "sleep"):
            self._next_pid += self._rng.randint(1, 40)
            self._running_pids.append(self._next_pid)
            yield "observer.process_spawned", {"pid": self._next_pid, "name": name}

    def _exit_events(self) -> Iterator[tuple[str, JsonObject]]:
        while self._running_pids:
            yield "observer.process_exited", {"pid": self._running_pids.pop(0), "role": "child"}
