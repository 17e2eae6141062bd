"""Recorder: writes the transitions, runs and events that the hub shows into the history."""

import asyncio
import logging
import time
from collections.abc import Sequence

from marianne_stream.common.repeated_logs import WarnOnce
from marianne_stream.errors import (
    HistoryBusyError,
    HistoryLockedError,
    HistoryUnavailableError,
)
from marianne_stream.fanout.replay_buffer import LOST_DATA, ReplayBuffer
from marianne_stream.fanout.replay_entry import ReplayEntry
from marianne_stream.history.event_log import EventLog
from marianne_stream.history.pending import ChangeRecorder, Pending, UnwrittenRun
from marianne_stream.history.recorded_jobs import RecordedJob, RecordedJobs
from marianne_stream.history.records import EventRecord
from marianne_stream.history.store import HistoryStore
from marianne_stream.jobs.snapshots import JobSnapshot
from marianne_stream.wire.sse import EncodedFrames

logger = logging.getLogger(__name__)

# Time over which changes are written together.
FLUSH_INTERVAL_S = 0.2

PRUNE_INTERVAL_S = 60.0

# Above this size of the waiting records the store is too slow, and recording ends.
MAX_PENDING_BYTES = 128 * 1024 * 1024

# Time in which a server that stops writes what waits.
CLOSE_TIMEOUT_S = 5.0


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
        written_records: number of records that were new or have changed.
    """

    def __init__(
        self, store: HistoryStore, event_log: EventLog, replay_buffer: ReplayBuffer
    ) -> None:
        self._store = store
        self._event_log = event_log
        self._replay_buffer = replay_buffer
        self._pending = Pending()
        # Records that are being written, and the task that does it.
        self._writing = Pending()
        self._write: asyncio.Task[None] | None = None
        self._has_pending = asyncio.Event()
        self._recorded = RecordedJobs()
        self._warning = WarnOnce(logger)
        self.is_recording = False
        self.errors = 0
        self.written_records = 0

    @property
    def pending_count(self) -> int:
        """Number of records that wait to be written."""
        return len(self._pending) + len(self._writing)

    @property
    def has_failed(self) -> bool:
        """True if recording has ended for good."""
        return self.errors > 0

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
        except BaseException:
            # Without a stored epoch nothing can be written.
            self._stop()
            raise
        self._warning.recover("history recorded path=%s", self._store.path)
        return True

    async def run(self) -> None:
        """Write until cancelled, or until the store cannot be written."""
        next_prune_at = 0.0
        while self.is_recording:
            try:
                if time.monotonic() >= next_prune_at:
                    for job_id, run in await self._store.prune(self._recorded.open_runs()):
                        # If the run still changes, it is recorded anew.
                        self._recorded.discard(job_id, run)
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
        """Write what waits, for a limited time, and let another process record."""
        if self.is_recording:
            await self._write_rest()
            self._stop()
        await self._store.close()

    def offer(self, snapshot: JobSnapshot, /) -> None:
        """Record what has changed in a job since its snapshot before."""
        state, progress = snapshot.state, snapshot.state.progress
        if not self.is_recording or snapshot.source == "none":
            return
        if progress is None or progress.times is None:
            return
        run = progress.times.run
        recorded = self._recorded.get(state.job_id, run)
        changes = ChangeRecorder(
            self._pending, state.job_id, progress, is_known=recorded is not None
        )
        known = recorded or RecordedJob(run)
        changes.record_run(state, known.status)
        changes.record_sheets(state.sheets, known.sheets)
        sheets = {sheet.number: sheet for sheet in state.sheets} or known.sheets
        job = RecordedJob(run, state.status, sheets)
        self._recorded.set(state.job_id, job, has_ended=bool(snapshot.end))
        self._check_pending()

    def offer_all(self, entries: Sequence[ReplayEntry], _frames: EncodedFrames, /) -> None:
        """Record entries of the replay buffer."""
        if not self.is_recording:
            return
        now = time.time()
        self._pending.events.extend(
            EventRecord(entry.number, entry.job_id, entry.event, entry.params or LOST_DATA, now)
            for entry in entries
        )
        self._pending.event_bytes += sum(len(entry.params) for entry in entries)
        self._check_pending()

    def find_unwritten(self, job_id: str, submitted_at: float) -> UnwrittenRun | None:
        """Return what is not in the store yet of a run; None if all is."""
        older = self._writing.find_run(job_id, submitted_at)
        newer = self._pending.find_run(job_id, submitted_at)
        if older is None or newer is None:
            return older or newer
        return UnwrittenRun(newer.run, {**older.sheets, **newer.sheets})

    def _check_pending(self) -> None:
        self._has_pending.set()
        if self._pending.size_bytes + self._writing.size_bytes > MAX_PENDING_BYTES:
            self._fail(HistoryUnavailableError(f"{self._store.path} is too slow to be written"))

    async def _flush(self) -> None:
        """Write one batch: the one that could not be written before, or else all that waits.

        If this is cancelled, the write goes on, and the next call waits for it.
        """
        if not self._writing:
            self._writing, self._pending = self._pending, Pending()
        if self._write is None:
            self._write = asyncio.create_task(self._write_batch(), name="history write")
            # A close that gives up does not wait for it.
            self._write.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            await asyncio.shield(self._write)
        finally:
            if self._write.done():
                self._write = None
        if not self.pending_count:
            self._has_pending.clear()

    async def _write_rest(self) -> None:
        """Write what waits, for a limited time."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while self.pending_count:
                    try:
                        await self._flush()
                    except HistoryBusyError:
                        await asyncio.sleep(FLUSH_INTERVAL_S)
        except TimeoutError:
            logger.warning(
                "history not written path=%s records=%d", self._store.path, self.pending_count
            )
        except HistoryUnavailableError as error:
            self._fail(error)

    async def _write_batch(self) -> None:
        batch = self._writing
        if batch:
            self.written_records += await self._store.write(
                batch.to_batch(), self._replay_buffer.epoch
            )
            self._writing = Pending()

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
        self._recorded.clear()
        self._has_pending.set()
