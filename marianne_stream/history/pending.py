"""Records that wait to be written into the history, and how changes of a job become records."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from marianne_stream.history.queries import SAME_RUN_S
from marianne_stream.history.records import (
    EventRecord,
    RunRecord,
    SheetRecord,
    Transition,
    WriteBatch,
)
from marianne_stream.jobs.read_times import MAX_UNSEEN_S
from marianne_stream.jobs.run_times import all_waits_s
from marianne_stream.jobs.sheet_times import NOT_STARTED, is_same_execution
from marianne_stream.models import JobProgress, JobState, RunTimes, Sheet

# Approximate size of a record without the data of an event, in bytes.
RECORD_BYTES = 100


@dataclass(frozen=True, slots=True)
class UnwrittenRun:
    """A run that is not in the store yet, with those of its sheets that are not, by number."""

    run: RunRecord
    sheets: Mapping[int, Sheet]


@dataclass(slots=True)
class Pending:
    """Changes that wait to be written. Of a run or sheet only the newest state is kept.

    Sheets are kept as they are: the thread that writes makes the records of all 20,000 that a job
    may have.
    """

    runs: dict[tuple[str, str], RunRecord] = field(default_factory=dict)
    # By number, by job and run.
    sheets: dict[tuple[str, str], dict[int, Sheet]] = field(default_factory=dict)
    transitions: list[Transition] = field(default_factory=list)
    events: list[EventRecord] = field(default_factory=list)
    event_bytes: int = 0

    def __len__(self) -> int:
        sheet_count = sum(map(len, self.sheets.values()))
        return len(self.runs) + sheet_count + len(self.transitions) + len(self.events)

    @property
    def size_bytes(self) -> int:
        """Approximate size in memory, in bytes."""
        return len(self) * RECORD_BYTES + self.event_bytes

    def find_run(self, job_id: str, submitted_at: float) -> UnwrittenRun | None:
        """Return what waits of a run, by the time of its submission; None if nothing does."""
        for run in self.runs.values():
            if run.job_id == job_id and abs(run.submitted_at - submitted_at) < SAME_RUN_S:
                return UnwrittenRun(run, dict(self.sheets.get((job_id, run.run), {})))
        return None

    def to_batch(self) -> WriteBatch:
        """Return the changes as a batch, whose sheets become records as they are read."""
        sheets = (
            make_sheet_record(job_id, run, sheet)
            for (job_id, run), by_number in self.sheets.items()
            for sheet in by_number.values()
        )
        return WriteBatch(self.runs.values(), sheets, self.transitions, self.events)


class ChangeRecorder:
    """Adds what has changed in one job to the records that wait.

    Args:
        pending: the records.
        job_id: the job.
        progress: its progress, with the times of the run.
        is_known: True if the run was recorded before.
    """

    def __init__(
        self, pending: Pending, job_id: str, progress: JobProgress, *, is_known: bool
    ) -> None:
        if progress.times is None:
            raise ValueError(f"the run of {job_id!r} is unknown")
        self._pending = pending
        self._job_id = job_id
        self._times = progress.times
        self._now = round(time.time(), 3)
        # What has happened in a run before the recorder knew it was seen earlier, or not at all.
        is_new = abs(self._now - self._times.submitted_at) <= MAX_UNSEEN_S
        self._backfilled = not (progress.sees_changes and (is_known or is_new))

    def record_run(self, state: JobState, known_status: str) -> None:
        """Record the run, and the job's status if it has changed."""
        record = make_run_record(state, self._times, self._now)
        self._pending.runs[record.job_id, record.run] = record
        if known_status != state.status:
            self._add_transition(0, state.status, None)

    def record_sheets(self, sheets: Iterable[Sheet], known: Mapping[int, Sheet]) -> None:
        """Record the sheets that have changed, and the statuses that have."""
        changed = self._pending.sheets.setdefault((self._job_id, self._times.run), {})
        for sheet in sheets:
            before = known.get(sheet.number)
            if sheet == before:
                continue
            changed[sheet.number] = sheet
            if before is None:
                is_transition = sheet.status not in NOT_STARTED
            else:
                is_transition = not is_same_execution(sheet, before)
            if is_transition:
                self._add_transition(sheet.number, sheet.status, sheet.attempt)

    def _add_transition(self, number: int, status: str, attempt: int | None) -> None:
        self._pending.transitions.append(
            Transition(
                self._job_id, self._times.run, number, self._now, status, attempt, self._backfilled
            )
        )


def make_run_record(state: JobState, times: RunTimes, now: float) -> RunRecord:
    """Return the record of a run."""
    return RunRecord(
        job_id=state.job_id,
        run=times.run,
        submitted_at=times.submitted_at,
        status=state.status,
        started_at=times.started_at,
        completed_at=times.completed_at,
        total_sheets=state.total_sheets,
        completed_sheets=state.completed_sheets,
        error_message=state.error_message,
        waited_s=round(all_waits_s(times, times.completed_at or now), 3),
        estimated_cost=state.estimated_cost,
        input_tokens=state.input_tokens,
        output_tokens=state.output_tokens,
        changed_at=now,
    )


def make_sheet_record(job_id: str, run: str, sheet: Sheet) -> SheetRecord:
    """Return the record of a sheet."""
    return SheetRecord(
        job_id=job_id,
        run=run,
        number=sheet.number,
        status=sheet.status,
        attempt=sheet.attempt,
        started_at=sheet.started_at,
        completed_at=sheet.completed_at,
        observed=sheet.observed,
        estimated=sheet.estimated,
        work_s=sheet.work_s,
        error_code=sheet.error_code,
        error_message=sheet.error_message,
        instrument_name=sheet.instrument_name,
        movement=None if sheet.movement is None else str(sheet.movement),
    )
