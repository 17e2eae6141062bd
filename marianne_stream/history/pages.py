"""Responses about recorded runs and events, read from the store."""

import sqlite3
from dataclasses import asdict
from functools import partial

import msgspec

from marianne_stream.errors import RunNotFoundError
from marianne_stream.history import queries
from marianne_stream.history.records import RecordedRun, RunRecord, SheetRecord
from marianne_stream.history.store import HistoryStore
from marianne_stream.schemas.history_schemas import (
    EndedRun,
    RunData,
    RunPage,
    RunSheetData,
    StalledSheet,
    TransitionData,
)
from marianne_stream.wire.job_patterns import JobPatterns

# Largest number of ended runs, and of stalled sheets, in a summary.
MAX_SUMMARY_ITEMS = 500

# Name of the newest run of a job in addresses.
LATEST_RUN = "latest"


async def read_run_page(
    store: HistoryStore, job_id: str, limit: int, before: str | None
) -> RunPage:
    """Return recorded runs of a job, newest first.

    Args:
        store: the history.
        job_id: the job.
        limit: largest number of runs.
        before: name of a run, to continue before it; None for the newest.

    Raises:
        HistoryUnavailableError: the store cannot be read.
    """
    runs = await store.read(partial(select_page, job_id=job_id, limit=limit + 1, before=before))
    page = runs[:limit]
    return RunPage(
        job_id=job_id,
        runs=tuple(make_run_data(run) for run in page),
        next=page[-1].run.run if len(runs) > limit else None,
    )


async def read_run(store: HistoryStore, job_id: str, run: str) -> RunData:
    """Return a recorded run of a job with its transitions.

    Args:
        store: the history.
        job_id: the job.
        run: name of the run, or LATEST_RUN.

    Raises:
        HistoryUnavailableError: the store cannot be read.
        RunNotFoundError: it was not recorded.
    """
    recorded = await store.read(partial(find_named_run, job_id=job_id, run=run))
    if recorded is None:
        raise RunNotFoundError(detail=f"No run {run!r} of {job_id!r} was recorded.")
    transitions = tuple(
        TransitionData(
            number=each.number,
            status=each.status,
            at=each.seen_at,
            attempt=each.attempt,
            late=bool(each.late),
        )
        for each in recorded.transitions
    )
    return make_run_data(recorded).model_copy(update={"transitions": transitions})


async def read_event_page(
    store: HistoryStore, job_id: str, limit: int, before: int | None
) -> bytes:
    """Return recorded events of a job, newest first, as the JSON of an EventPage.

    Args:
        store: the history.
        job_id: the job.
        limit: largest number of events.
        before: position to continue before, as `next` of a page gave it; None for the newest.

    Raises:
        HistoryUnavailableError: the store cannot be read.
    """
    events = await store.read(
        partial(queries.select_events_before, job_id=job_id, before=before, limit=limit + 1)
    )
    page = events[:limit]
    return msgspec.json.encode(
        {
            "job_id": job_id,
            "events": [msgspec.Raw(event.data) for event in page],
            "next": str(page[-1].seq) if len(events) > limit else None,
        }
    )


async def read_ended_runs(
    store: HistoryStore, since: float, job_scope: JobPatterns
) -> tuple[list[EndedRun], bool]:
    """Return the runs that have ended since a time, and whether these are all.

    Raises HistoryUnavailableError if the store cannot be read.
    """
    records = await store.read(
        partial(queries.select_ended_runs, since=since, limit=10 * MAX_SUMMARY_ITEMS)
    )
    found = [record for record in records if job_scope(record.job_id)]
    return [make_ended_run(record) for record in found[:MAX_SUMMARY_ITEMS]], (
        len(found) <= MAX_SUMMARY_ITEMS and len(records) < 10 * MAX_SUMMARY_ITEMS
    )


async def read_stalled_sheets(
    store: HistoryStore, since: float, job_scope: JobPatterns
) -> tuple[list[StalledSheet], bool]:
    """Return the sheets that have stalled since a time, and whether these are all.

    Raises HistoryUnavailableError if the store cannot be read.
    """
    rows = await store.read(
        partial(queries.select_stalled, since=since, limit=10 * MAX_SUMMARY_ITEMS)
    )
    found = [
        StalledSheet(job_id=job_id, sheet=sheet, at=at)
        for job_id, sheet, at in rows
        if job_scope(job_id)
    ]
    return found[:MAX_SUMMARY_ITEMS], (
        len(found) <= MAX_SUMMARY_ITEMS and len(rows) < 10 * MAX_SUMMARY_ITEMS
    )


def select_page(
    database: sqlite3.Connection, job_id: str, limit: int, before: str | None
) -> list[RecordedRun]:
    """Return runs of a job with their sheets, newest first."""
    runs = queries.select_runs(database, job_id, limit, before)
    return [RecordedRun(run, queries.select_sheets(database, job_id, run.run)) for run in runs]


def find_named_run(database: sqlite3.Connection, job_id: str, run: str) -> RecordedRun | None:
    """Return a run by its name, or the newest for LATEST_RUN; None if there is none."""
    if run == LATEST_RUN:
        newest = queries.select_runs(database, job_id, 1)
        if not newest:
            return None
        run = newest[0].run
    return queries.select_run(database, job_id, run)


def make_run_data(recorded: RecordedRun) -> RunData:
    """Convert a recorded run, without its transitions."""
    fields = asdict(recorded.run)
    for internal in ("submitted_at", "changed_at"):
        del fields[internal]
    return RunData(**fields, sheets=tuple(map(make_run_sheet, recorded.sheets.values())))


def make_run_sheet(record: SheetRecord) -> RunSheetData:
    """Convert a recorded sheet."""
    fields = asdict(record)
    for key in ("job_id", "run"):
        del fields[key]
    return RunSheetData(**fields)


def make_ended_run(record: RunRecord) -> EndedRun:
    """Convert a run that has ended."""
    duration_s = None
    if record.started_at is not None and record.completed_at is not None:
        duration_s = round(record.completed_at - record.started_at, 3)
    return EndedRun(
        job_id=record.job_id,
        run=record.run,
        status=record.status,
        started_at=record.started_at,
        completed_at=record.completed_at,
        duration_s=duration_s,
        error_message=record.error_message,
    )
