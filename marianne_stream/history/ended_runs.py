"""Reads the jobs that have ended while they were not watched, which records their runs."""

import asyncio
import logging
import sqlite3
import time
from functools import partial

from marianne_stream.common.intervals import RELAXED_INTERVAL_S
from marianne_stream.errors import (
    CorruptStateError,
    HistoryUnavailableError,
    JobNotFoundError,
    MarianneStreamError,
)
from marianne_stream.history import queries
from marianne_stream.history.recorder import Recorder
from marianne_stream.history.records import RunRecord
from marianne_stream.history.store import HistoryStore
from marianne_stream.jobs.hub import JobHub
from marianne_stream.jobs.poll_schedule import REST_FACTOR
from marianne_stream.jobs.run_times import submission_time
from marianne_stream.models import TERMINAL_STATUSES, JobState, RosterEntry

logger = logging.getLogger(__name__)

# Time after its start in which a job may not be in a roster yet that was read for the recorder.
UNSEEN_S = 15.0

# Time to wait until roster and checkpoint agree about the end of a job.
END_TIMEOUT_S = 15.0


class EndedRuns:
    """Records the ends of runs that no watcher has seen.

    A job that runs is watched. One that ends between two rosters, or while no server records, is
    read once.

    Args:
        store: the history.
        recorder: the recorder, which records what the hub reads.
        hub: reads the jobs.
    """

    def __init__(self, store: HistoryStore, recorder: Recorder, hub: JobHub) -> None:
        self._store = store
        self._recorder = recorder
        self._hub = hub
        # Entries of jobs whose ends are recorded.
        self._recorded: dict[str, RosterEntry] = {}

    async def run(self) -> None:
        """Look at the roster until cancelled."""
        since = time.time()
        open_jobs: set[str] = set()
        try:
            last_change_at, jobs = await self._store.read(select_last_state)
            since, open_jobs = min(since, last_change_at or since), set(jobs)
        except HistoryUnavailableError as error:
            logger.debug("open runs not read error=%s", error)
        # Jobs that have started earlier have ended earlier, or are open runs.
        since -= UNSEEN_S
        while True:
            open_jobs = {job_id for job_id in open_jobs if not await self._record_end(job_id)}
            for entry in self._find_ended(since):
                if await self._is_recorded(entry) or await self._record_end(entry.job_id):
                    self._recorded[entry.job_id] = entry
            await asyncio.sleep(RELAXED_INTERVAL_S)

    def _find_ended(self, since: float) -> list[RosterEntry]:
        """Return the entries of jobs that have started since a time, and ended."""
        roster = self._hub.roster.poller.latest
        if roster is None or roster.source == "none":
            return []
        self._recorded = {
            job_id: entry for job_id, entry in self._recorded.items() if job_id in roster.entries
        }
        return [
            entry
            for job_id, entry in roster.entries.items()
            if entry.is_terminal
            and last_start(entry) >= since
            and not is_same_end(entry, self._recorded.get(job_id))
        ]

    async def _is_recorded(self, entry: RosterEntry) -> bool:
        """Return whether the end of a job is recorded."""
        submitted_at = entry.submitted_at or 0.0
        unwritten = self._recorder.find_unwritten(entry.job_id, submitted_at)
        if unwritten is not None:
            return is_end_recorded(unwritten.run, entry)
        query = partial(queries.find_run, job_id=entry.job_id, submitted_at=submitted_at)
        try:
            run = await self._store.read(query)
        except HistoryUnavailableError as error:
            logger.debug("run not read job=%r error=%s", entry.job_id, error)
            return False
        return run is not None and is_end_recorded(run, entry)

    async def _record_end(self, job_id: str) -> bool:
        """Read a job, which records its state; return False if that must be tried again."""
        try:
            snapshot, subscription = await self._hub.subscribe_job(job_id, RELAXED_INTERVAL_S)
        except (JobNotFoundError, CorruptStateError) as error:
            # Its run ends as it was last seen.
            logger.debug("end not recorded job=%r error=%s", job_id, error)
            return True
        except MarianneStreamError as error:
            logger.debug("job not read job=%r error=%s", job_id, error)
            return False
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                while snapshot.state.is_terminal and not snapshot.end:
                    if not await subscription.queue.wait():
                        break
                    snapshot = subscription.queue.take()
        except TimeoutError:
            return False
        finally:
            subscription.close()
        await asyncio.sleep(REST_FACTOR * snapshot.state.cost_s)
        return has_known_run(snapshot.state) or submission_time(snapshot.state) is None


def select_last_state(database: sqlite3.Connection) -> tuple[float | None, list[str]]:
    """Return the time of the last recorded change, and the jobs whose runs were not seen to end."""
    return queries.select_last_change(database), queries.select_open_jobs(database)


def has_known_run(state: JobState) -> bool:
    """Return whether the run of a state is known: not while the history cannot be read."""
    return state.progress is not None and state.progress.times is not None


def last_start(entry: RosterEntry) -> float:
    """Return the time of the last submission, start or resume of a job; 0 if it is unknown."""
    return max(entry.submitted_at or 0.0, entry.started_at or 0.0)


def is_same_end(entry: RosterEntry, other: RosterEntry | None) -> bool:
    """Return whether two entries are of the same end of a job."""
    return other is not None and entry.is_same_run_and_status(other)


def is_end_recorded(run: RunRecord, entry: RosterEntry) -> bool:
    """Return whether the end in a roster entry is that which is recorded of the run."""
    if run.status not in TERMINAL_STATUSES or run.status != entry.status:
        return False
    return run.completed_at is None or run.completed_at >= (entry.started_at or 0.0)
