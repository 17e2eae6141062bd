"""Recorder: writes the transitions, runs and events that the hub shows into the history."""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from marianne_stream.common.repeated_logs import WarnOnce
from marianne_stream.errors import (
    HistoryBusyError,
    HistoryLockedError,
    HistoryUnavailableError,
)
from marianne_stream.fanout.replay_buffer import LOST_DATA, ReplayBuffer
from marianne_stream.fanout.replay_entry import ReplayEntry
from marianne_stream.history.event_log import EventLog
from marianne_stream.history.queries import SAME_RUN_S
from marianne_stream.history.records import (
    EventRecord,
    RecordedRun,
    RunRecord,
    SheetRecord,
    Transition,
    WriteBatch,
    merge_records,
)
from marianne_stream.history.store import HistoryStore
from marianne_stream.jobs.sheet_times import NOT_STARTED, is_same_execution
from marianne_stream.jobs.snapshots import JobSnapshot
from marianne_stream.models import JobProgress, JobState, RunTimes, Sheet
from marianne_stream.wire.sse import EncodedFrames

logger = logging.getLogger(__name__)

# Time over which changes are written together.
FLUSH_INTERVAL_S = 0.2

PRUNE_INTERVAL_S = 60.0

# Above this size of the waiting records the store is too slow, and recording ends.
MAX_PENDING_BYTES = 128 * 1024 * 1024

# Approximate size of a record without the data of an event, in bytes.
RECORD_BYTES = 100

# Largest number of jobs of which is known what was recorded last; of others all is written again.
MAX_KNOWN_JOBS = 1000


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

    def find_run(self, job_id: str, submitted_at: float) -> RecordedRun | None:
        """Return what waits of a run, by the time of its submission; None if nothing does."""
        for run in self.runs.values():
            if run.job_id == job_id and abs(run.submitted_at - submitted_at) < SAME_RUN_S:
                sheets = self.sheets.get((job_id, run.run), {})
                return RecordedRun(
                    run,
                    {
                        number: make_sheet_record(job_id, run.run, sheet)
                        for number, sheet in sheets.items()
                    },
                )
        return None

    def to_batch(self) -> WriteBatch:
        """Return the changes as a batch, whose sheets become records as they are read."""
        sheets = (
            make_sheet_record(job_id, run, sheet)
            for (job_id, run), by_number in self.sheets.items()
            for sheet in by_number.values()
        )
        return WriteBatch(self.runs.values(), sheets, self.transitions, self.events)


NOTHING_KNOWN: tuple[str, dict[int, Sheet], str] = ("", {}, "")


class ChangeRecorder:
    """Adds what has changed in one job to the records that wait.

    Args:
        pending: the records.
        job_id: the job.
        progress: its progress, with the times of the run.
    """

    def __init__(self, pending: Pending, job_id: str, progress: JobProgress) -> None:
        if progress.times is None:
            raise ValueError(f"the run of {job_id!r} is unknown")
        self._pending = pending
        self._job_id = job_id
        self._times = progress.times
        self._backfilled = not progress.sees_changes
        self._now = round(time.time(), 3)

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


class Recorder:
    """Takes snapshots and events as they are published, and writes them in batches.

    Recording ends for good when the store cannot be written: what it has is still served. Another
    program that locks the database only delays it.

    Args:
        store: the history.
        event_log: the stored events.
        replay_buffer: source of the events.

    Attributes:
        is_recording: True while the store is written.
        errors: number of failures that ended recording.
        written_records: number of records that were written.
    """

    def __init__(
        self, store: HistoryStore, event_log: EventLog, replay_buffer: ReplayBuffer
    ) -> None:
        self._store = store
        self._event_log = event_log
        self._replay_buffer = replay_buffer
        self._pending = Pending()
        # Records that are being written.
        self._writing = Pending()
        self._has_pending = asyncio.Event()
        # What was recorded last of each watched job: its run, its sheets, its status.
        self._known: dict[str, tuple[str, dict[int, Sheet], str]] = {}
        self._warning = WarnOnce(logger)
        self.is_recording = False
        self.errors = 0
        self.written_records = 0

    @property
    def pending_count(self) -> int:
        """Number of records that wait to be written."""
        return len(self._pending) + len(self._writing)

    async def open(self, *, restore: bool) -> bool:
        """Open the store and begin to record; return False if that must be tried again.

        Without a store that can be used, log a warning once, and record nothing.

        Args:
            restore: fill the replay buffer from the store; only before the first event.
        """
        try:
            await self._store.open()
            # Events that come while the epoch is being stored belong to it.
            self._start()
            await self._event_log.begin(restore=restore)
        except (HistoryLockedError, HistoryBusyError) as error:
            self._warning.warn("history not recorded path=%s error=%s", self._store.path, error)
            self._stop()
            await self._store.stop_writing()
            return False
        except HistoryUnavailableError as error:
            self._fail(error)
            await self._store.stop_writing()
            return True
        self._warning.recover("history recorded path=%s", self._store.path)
        return True

    async def run(self) -> None:
        """Write until cancelled, or until the store cannot be written."""
        next_prune_at = 0.0
        while self.is_recording:
            try:
                if time.monotonic() >= next_prune_at:
                    for job_id in await self._store.prune():
                        # If the job still changes, it is recorded anew.
                        self._known.pop(job_id, None)
                    next_prune_at = time.monotonic() + PRUNE_INTERVAL_S
                async with asyncio.timeout(PRUNE_INTERVAL_S):
                    await self._has_pending.wait()
                await asyncio.sleep(FLUSH_INTERVAL_S)
                await self._flush()
                self._warning.recover("history recorded path=%s", self._store.path)
            except TimeoutError:
                continue
            except HistoryBusyError as error:
                self._warning.warn("history waits path=%s error=%s", self._store.path, error)
                await asyncio.sleep(FLUSH_INTERVAL_S)
            except HistoryUnavailableError as error:
                self._fail(error)
        await self._store.stop_writing()

    async def close(self) -> None:
        """Write what waits, and let another process record."""
        if self.is_recording:
            try:
                while self.pending_count:
                    await self._flush()
            except HistoryUnavailableError as error:
                self._fail(error)
        if self.is_recording:
            self._stop()
        await self._store.close()

    def offer(self, snapshot: JobSnapshot, /) -> None:
        """Record what has changed in a job since its snapshot before."""
        state, progress = snapshot.state, snapshot.state.progress
        if not self.is_recording or snapshot.source == "none":
            return
        if progress is None or progress.times is None:
            return
        run, known_sheets, known_status = self._known.get(state.job_id, NOTHING_KNOWN)
        if run != progress.times.run:
            known_sheets, known_status = {}, ""
        changes = ChangeRecorder(self._pending, state.job_id, progress)
        changes.record_run(state, known_status)
        changes.record_sheets(state.sheets, known_sheets)
        self._known.pop(state.job_id, None)
        if not snapshot.end:
            sheets = {sheet.number: sheet for sheet in state.sheets} or known_sheets
            self._known[state.job_id] = (progress.times.run, sheets, state.status)
        if len(self._known) > MAX_KNOWN_JOBS:
            # The one that has not changed for longest.
            del self._known[next(iter(self._known))]
        self._check_pending()

    def offer_all(self, entries: Sequence[ReplayEntry], _frames: EncodedFrames, /) -> None:
        """Record entries of the replay buffer."""
        now = time.time()
        self._pending.events.extend(
            EventRecord(entry.number, entry.job_id, entry.event, entry.params or LOST_DATA, now)
            for entry in entries
        )
        self._pending.event_bytes += sum(len(entry.params) for entry in entries)
        self._check_pending()

    def find_unwritten(self, job_id: str, submitted_at: float) -> RecordedRun | None:
        """Return the records of a run that are not in the store yet; None if there are none."""
        return merge_records(
            self._writing.find_run(job_id, submitted_at),
            self._pending.find_run(job_id, submitted_at),
        )

    def _check_pending(self) -> None:
        self._has_pending.set()
        if self._pending.size_bytes + self._writing.size_bytes > MAX_PENDING_BYTES:
            self._fail(HistoryUnavailableError(f"{self._store.path} is too slow to be written"))

    async def _flush(self) -> None:
        """Write one batch: the one that could not be written before, or else all that waits."""
        if not self._writing:
            self._writing, self._pending = self._pending, Pending()
        if batch := self._writing:
            await self._store.write(batch.to_batch(), self._replay_buffer.epoch)
            self.written_records += len(batch)
            self._writing = Pending()
        if not self._pending:
            self._has_pending.clear()

    def _fail(self, error: HistoryUnavailableError) -> None:
        """End recording for good."""
        self.errors += 1
        self._warning.warn("history turned off path=%s error=%s", self._store.path, error)
        self._event_log.end()
        self._stop()

    def _start(self) -> None:
        self.is_recording = True
        self._replay_buffer.record_to(self)

    def _stop(self) -> None:
        self.is_recording = False
        self._replay_buffer.record_to(None)
        self._pending, self._writing = Pending(), Pending()
        self._known.clear()
        self._has_pending.set()


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
        waited_s=round(times.waited_s, 3),
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
