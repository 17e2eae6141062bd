"""Responses about recorded runs and events, read from the store."""

import sqlite3
from dataclasses import asdict
from functools import partial

import msgspec

from marianne_stream.errors import RunNotFoundError, SheetNotFoundError
from marianne_stream.history import queries
from marianne_stream.history.records import RecordedRun, RunRecord, SheetRecord
from marianne_stream.history.store import HistoryStore
from marianne_stream.schemas.history_schemas import (
    EndedRun,
    RunData,
    RunPage,
    RunSheetData,
    RunSummary,
    StalledSheet,
    TransitionData,
)
from marianne_stream.wire.job_patterns import JobPatterns

# Largest number of ended runs, and of stalled sheets, in a summary.
MAX_SUMMARY_ITEMS = 500

# Largest number of sheets on a page of a run: about 1 MB.
MAX_PAGE_SHEETS = 1_000

# Characters of an error in a list.
MAX_LISTED_ERROR_CHARS = 300

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
    query = partial(queries.select_runs, job_id=job_id, limit=limit + 1, before=before)
    runs = await store.read(query)
    page = runs[:limit]
    return RunPage(
        job_id=job_id,
        runs=tuple(make_run_summary(run) for run in page),
        next=page[-1].run if len(runs) > limit else None,
    )


async def read_run(
    store: HistoryStore, job_id: str, run: str, *, after: int = 0, limit: int = MAX_PAGE_SHEETS
) -> bytes:
    """Return a recorded run of a job, with a page of its sheets, as the JSON of a RunData.

    Args:
        store: the history.
        job_id: the job.
        run: name of the run, or LATEST_RUN.
        after: number of the sheet behind which the page begins; 0 for the first page.
        limit: largest number of sheets.

    Raises:
        HistoryUnavailableError: the store cannot be read.
        RunNotFoundError: it was not recorded.
    """

    def read(database: sqlite3.Connection) -> bytes:
        name = find_run_name(database, job_id, run)
        found = queries.select_run(database, job_id, name, after, limit)
        if found is None:
            raise make_run_error(job_id, run)
        recorded, has_more = found
        return make_run_data(recorded, has_more=has_more).json_bytes()

    # Encoded there as well: several threads at once would delay the event loop.
    return await store.read(read)


async def read_run_sheet(store: HistoryStore, job_id: str, run: str, number: int) -> SheetRecord:
    """Return a sheet of a recorded run; raises as `read_run` does.

    Raises:
        SheetNotFoundError: the run has no such sheet.
    """

    def find(database: sqlite3.Connection) -> SheetRecord:
        name = find_run_name(database, job_id, run)
        sheet = queries.select_sheet(database, job_id, name, number)
        if sheet is None:
            raise SheetNotFoundError(detail=f"Run {name} of {job_id!r} has no sheet {number}.")
        return sheet

    return await store.read(find)


async def read_event_page(
    store: HistoryStore, job_id: str, limit: int, before: int | None
) -> tuple[bytes, int]:
    """Return recorded events of a job, newest first, as the JSON of an EventPage; and how many.

    Args:
        store: the history.
        job_id: the job.
        limit: largest number of events.
        before: position to continue before, as `next` of a page gave it; None for the newest.

    Raises:
        HistoryUnavailableError: the store cannot be read.
    """
    events, has_more = await store.read(
        partial(queries.select_events_before, job_id=job_id, before=before, limit=limit)
    )
    page = {
        "job_id": job_id,
        "events": [msgspec.Raw(event.data) for event in events],
        "next": str(events[-1].seq) if has_more else None,
    }
    return msgspec.json.encode(page), len(events)


async def read_summary(
    store: HistoryStore, since: float, job_scope: JobPatterns
) -> tuple[tuple[EndedRun, ...], tuple[StalledSheet, ...], bool]:
    """Return the runs that have ended and the sheets that have stalled, and whether these are all.

    Args:
        store: the history.
        since: time in epoch seconds; what happened before is left out.
        job_scope: the jobs that the client may see.

    Raises:
        HistoryUnavailableError: the store cannot be read.
    """
    limits = (since, MAX_SUMMARY_ITEMS, job_scope)
    (ended, has_all_ended), (stalled, has_all_stalled) = await store.read(
        lambda database: (
            queries.select_ended_runs(database, *limits),
            queries.select_stalled(database, *limits),
        )
    )
    return (
        tuple(map(make_ended_run, ended)),
        tuple(StalledSheet(**asdict(record)) for record in stalled),
        has_all_ended and has_all_stalled,
    )


def find_run_name(database: sqlite3.Connection, job_id: str, run: str) -> str:
    """Return the name of a recorded run, which may be LATEST_RUN; raise RunNotFoundError."""
    found = queries.select_run_name(database, job_id, None if run == LATEST_RUN else run)
    if found is None:
        raise make_run_error(job_id, run)
    return found


def make_run_error(job_id: str, run: str) -> RunNotFoundError:
    """Return the error about a run that was not recorded."""
    return RunNotFoundError(detail=f"No run {run!r} of {job_id!r} was recorded.")


def make_run_summary(record: RunRecord) -> RunSummary:
    """Convert a run for a list."""
    summary = RunSummary.model_validate(record, from_attributes=True)
    return summary.model_copy(update={"error_message": cut_error(record.error_message)})


def cut_error(message: str | None) -> str | None:
    """Return the beginning of an error for a list."""
    return None if message is None else message[:MAX_LISTED_ERROR_CHARS]


def make_run_data(recorded: RecordedRun, *, has_more: bool) -> RunData:
    """Convert a run with some of its sheets, and give the number to continue after."""
    run = RunSummary.model_validate(recorded.run, from_attributes=True)
    return RunData(
        **dict(run),
        sheets=tuple(
            RunSheetData.model_validate(sheet, from_attributes=True)
            for sheet in recorded.sheets.values()
        ),
        transitions=tuple(
            TransitionData(
                number=each.number,
                status=each.status,
                at=each.seen_at,
                attempt=each.attempt,
                backfilled=each.backfilled,
            )
            for each in recorded.transitions
        ),
        next=str(max(recorded.sheets)) if has_more else None,
    )


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
        error_message=cut_error(record.error_message),
    )
