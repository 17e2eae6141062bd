"""Recorded runs as the hub's watchers need them."""

import logging
import sqlite3
from collections.abc import Collection
from functools import partial

from marianne_stream.errors import HistoryUnavailableError
from marianne_stream.history import queries
from marianne_stream.history.history_reader import HistoryReader
from marianne_stream.history.pending import UnwrittenRun
from marianne_stream.history.recorder import Recorder
from marianne_stream.history.records import RunRecord, SheetRecord
from marianne_stream.jobs.run_times import KnownRun, submission_time, worked_s
from marianne_stream.jobs.waiting import find_waiting_sheet, find_waiting_status
from marianne_stream.models import (
    ACTIVE_SHEET_STATUSES,
    TERMINAL_STATUSES,
    JobState,
    RunTimes,
    Sheet,
)

logger = logging.getLogger(__name__)


class KnownRuns:
    """Returns what was recorded of runs.

    Args:
        reader: reader of the history.
        recorder: the recorder, whose records reach it some time later.
    """

    def __init__(self, reader: HistoryReader, recorder: Recorder) -> None:
        self._reader = reader
        self._recorder = recorder

    async def load(self, state: JobState) -> KnownRun | None:
        """Return what was recorded of the run of a state; None if it cannot be read at the moment.

        Once recording has ended for good, it counts as nothing.
        """
        submitted_at = submission_time(state)
        if submitted_at is None:
            return KnownRun()
        query = partial(
            load_known_run,
            job_id=state.job_id,
            submitted_at=submitted_at,
            total_sheets=state.total_sheets,
            unwritten=self._recorder.find_unwritten(state.job_id, submitted_at),
        )
        try:
            return await self._reader.read(query)
        except HistoryUnavailableError as error:
            logger.debug("run not loaded job=%r error=%s", state.job_id, error)
            return KnownRun() if self._recorder.has_failed else None


def load_known_run(
    database: sqlite3.Connection,
    job_id: str,
    submitted_at: float,
    total_sheets: int,
    unwritten: UnwrittenRun | None,
) -> KnownRun:
    """Return what was recorded of a run, and how long the last completed one has worked.

    Args:
        database: the database.
        job_id: the job.
        submitted_at: time of the run's submission.
        total_sheets: number of its sheets.
        unwritten: what is newer and was not in the database; None if there is nothing.
    """
    previous_s = None
    previous = queries.find_completed_run(database, job_id, total_sheets)
    if previous is not None and previous.completed_at is not None:
        times = RunTimes(
            previous.run,
            previous.submitted_at,
            previous.started_at,
            previous.completed_at,
            previous.waited_s,
        )
        previous_s = worked_s(times, previous.completed_at)
    run = queries.find_run(database, job_id, submitted_at)
    sheets = {}
    changed_at = None
    if run is not None:
        changed_at = queries.find_last_change(database, job_id, run.run)
        stored = queries.select_sheets(database, job_id, run.run)
        sheets = {number: make_sheet(record) for number, record in stored.items()}
    if unwritten is not None:
        run = unwritten.run
        sheets.update(unwritten.sheets)
        # This process has seen its last change.
        changed_at = None
    if run is None:
        return KnownRun(previous_s=previous_s)
    known_times = make_run_times(run, sheets.values())
    return KnownRun(known_times, sheets, previous_s, run.status, changed_at)


def make_run_times(run: RunRecord, sheets: Collection[Sheet]) -> RunTimes:
    """Return the times of a recorded run, whose waits count until its end or last change."""
    waits = find_waiting_status(run.status) is not None or find_waiting_sheet(sheets) is not None
    is_at_work = any(sheet.status in ACTIVE_SHEET_STATUSES for sheet in sheets)
    is_waiting = run.status in TERMINAL_STATUSES or (waits and not is_at_work)
    waiting_since = run.completed_at or run.changed_at
    if run.started_at is None:
        waiting_since = run.submitted_at
    return RunTimes(
        run=run.run,
        submitted_at=run.submitted_at,
        started_at=run.started_at,
        completed_at=run.completed_at,
        waited_s=run.waited_s,
        waiting_since=waiting_since if is_waiting else None,
    )


def make_sheet(record: SheetRecord) -> Sheet:
    """Return a recorded sheet as it was last known."""
    return Sheet(
        number=record.number,
        status=record.status,
        attempt=record.attempt,
        started_at=record.started_at,
        completed_at=record.completed_at,
        observed=bool(record.observed),
        estimated=bool(record.estimated),
        work_s=record.work_s,
    )
