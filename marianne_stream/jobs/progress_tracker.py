"""Progress tracker of one watched job: the times of its run and sheets, estimate, signs of life."""

import asyncio
import time
from dataclasses import replace

from marianne_stream.jobs.estimate import estimate_end
from marianne_stream.jobs.progress import ProgressTimes
from marianne_stream.jobs.read_times import MAX_UNSEEN_S, ReadTime, make_read_time
from marianne_stream.jobs.run_times import (
    KnownRun,
    LoadRun,
    submission_time,
    update_run_times,
)
from marianne_stream.jobs.sheet_times import SheetMerge, make_sheet_merge
from marianne_stream.jobs.stalled import find_stalled
from marianne_stream.models import JobProgress, JobState, RunTimes, Sheet, is_same_time

# Number of sheets that are merged at once; it takes 3 ms.
SHEETS_AT_ONCE = 1000


class ProgressTracker:
    """Adds to the states of a job what this server has seen of its progress.

    Args:
        progress: times of the last changes and signs of life of all jobs.
        load_run: returns what was recorded of a run.
    """

    def __init__(self, progress: ProgressTimes, load_run: LoadRun) -> None:
        self._progress = progress
        self._load_run = load_run
        self._watched_since = time.time()
        self._submitted_at: float | None = None
        self._run_id = ""
        self._seen_at: float | None = None
        self._times: RunTimes | None = None
        self._sheets: dict[int, Sheet] = {}
        # The sheets as they were last read, and the start of the job that was reported with them.
        self._reported: dict[int, Sheet] = {}
        self._job_started_at: float | None = None
        self._previous_s: float | None = None
        # True if the run had ended at its last read.
        self._had_ended = False
        self._sees_changes = False

    def record_progress(self, job_id: str) -> None:
        """Record that the job has just changed."""
        self._progress.record(job_id)

    def count_sheets(self, before: JobState, after: JobState) -> None:
        """Count the sheets that have completed between two states."""
        self._progress.counters.count_sheets(before, after)

    async def update(self, state: JobState, *, max_gap_s: float = MAX_UNSEEN_S) -> JobState:
        """Return a state that was just read, with the times of its run and sheets.

        `max_gap_s` is the longest time since the read before in which no change goes unseen.
        """
        if self._is_new_run(state):
            known = await self._load_run(state)
            if known is None:
                # It would be recorded in place of what is known. The next read tries again.
                self._forget_run()
                return await self._with_reported_times(state)
            self._begin_run(known, submission_time(state))
            if known.changed_at is not None and known.is_unchanged(state):
                self._progress.restore(state.job_id, known.changed_at)
        self._run_id = state.run
        now = round(time.time(), 3)
        if self._times is None and submission_time(state) is None:
            # What was seen of an unknown run may be of another one.
            return await self._with_reported_times(state)
        read = make_read_time(now, self._seen_at, max_gap_s=max_gap_s, had_ended=self._had_ended)
        times = update_run_times(
            self._times,
            state,
            now,
            sees_changes=read.sees_changes,
            had_ended=read.had_ended,
        )
        ended_at = times.completed_at if times is not None else None
        merge = make_sheet_merge(state, self._sheets, read, ended_at)
        state = await self._merge_sheets(state, merge)
        self._times = times
        if state.sheets:
            self._sheets = {sheet.number: sheet for sheet in state.sheets}
        self._seen_at = now
        self._had_ended = state.is_terminal
        # What is read of a job whose end was not seen happened before that end.
        is_late = read.had_ended and ended_at is None
        self._sees_changes = read.sees_changes and not is_late
        return state

    def refresh(self, state: JobState) -> JobState:
        """Return a state with its progress until now."""
        progress = JobProgress(
            times=self._times,
            last_progress_at=self._progress.get(state.job_id),
            last_activity_at=self._progress.get_activity(state.job_id),
            stalled=self.find_stalled(state),
            sees_changes=self._sees_changes,
            limited_until=self._progress.find_limit_end(state),
            clone=self._progress.clone,
        )
        state = replace(state, progress=progress)
        eta_at = estimate_end(state, self._times, self._previous_s, time.time())
        return replace(state, progress=replace(progress, eta_at=eta_at))

    def find_stalled(self, state: JobState) -> tuple[int, ...]:
        """Return the numbers of the sheets that have stalled."""
        # Before that, nobody looked at the job's log.
        last_activity_at = max(
            self._progress.get_activity(state.job_id) or 0.0, self._watched_since
        )
        until = self._progress.silence_until(state.job_id)
        return find_stalled(state, last_activity_at, until, self._progress.stalled_after_s)

    def _is_new_run(self, state: JobState) -> bool:
        """Return whether a state is of another run than the one before.

        State on disk may lack the time of submission for a moment, and has that of the creation.
        """
        submitted_at = submission_time(state)
        if submitted_at is None:
            return False
        if self._times is None:
            return True
        if state.run and state.run == self._run_id:
            return False
        return not is_same_time(submitted_at, self._submitted_at)

    def _forget_run(self) -> None:
        self._begin_run(KnownRun(), None)
        self._seen_at = None
        self._sees_changes = False

    async def _with_reported_times(self, state: JobState) -> JobState:
        """Return a state whose sheets have no other times than those that were reported."""
        read = ReadTime(time.time(), sees_changes=False)
        return await self._merge_sheets(state, make_sheet_merge(state, {}, read))

    async def _merge_sheets(self, state: JobState, merge: SheetMerge) -> JobState:
        """Return a state with merged sheets, piece by piece: there may be 20,000.

        A sheet that is reported as before stays the same object, which makes later comparisons
        cheap.
        """
        before = self._reported if merge.job_started_at == self._job_started_at else {}
        sheets: list[Sheet] = []
        for first in range(0, len(state.sheets), SHEETS_AT_ONCE):
            if first:
                await asyncio.sleep(0)
            for reported in state.sheets[first : first + SHEETS_AT_ONCE]:
                sheet = merge.known.get(reported.number)
                if sheet is None or before.get(reported.number) != reported:
                    sheet = merge(reported)
                sheets.append(sheet)
        if sheets:
            self._reported = {sheet.number: sheet for sheet in state.sheets}
            self._job_started_at = merge.job_started_at
        return replace(state, sheets=tuple(sheets))

    def _begin_run(self, known: KnownRun, submitted_at: float | None) -> None:
        self._submitted_at = submitted_at
        self._times = known.times
        self._sheets = dict(known.sheets)
        self._reported = {}
        self._had_ended = False
        self._previous_s = known.previous_s
        is_new = known.times is None and (submitted_at or 0.0) >= self._progress.began_at
        if self._seen_at is None and is_new:
            # A run that was submitted just now was seen from its beginning.
            self._seen_at = submitted_at


def without_forecast(state: JobState) -> JobState:
    """Return a last known state without stalled sheets and estimate: nobody sees if it goes on."""
    if state.progress is None:
        return state
    return replace(state, progress=replace(state.progress, stalled=(), eta_at=None))


def get_forecast(progress: JobProgress | None) -> tuple[tuple[int, ...], float | None]:
    """Return the progress that changes without a change of the job, and that clients hear of."""
    progress = progress or JobProgress()
    return progress.stalled, progress.limited_until


async def load_nothing(_state: JobState) -> KnownRun:
    """Return an unknown run: nothing is recorded."""
    return KnownRun()
