"""Changes of jobs that rules may tell, among what a batch has added to the history."""

import sqlite3
import time
from collections.abc import Iterable, Iterator

from marianne_stream.conductor_models import STALLED_EVENT
from marianne_stream.history import queries
from marianne_stream.history.records import EventRecord, SheetRecord
from marianne_stream.notify.message import JobChange, Notification, make_notification
from marianne_stream.notify.rules import Kind

# Kinds of changes by the status that a job, or a sheet, takes.
JOB_KINDS: dict[str, Kind] = {
    "failed": "failed",
    "completed": "completed",
    "cancelled": "cancelled",
    "paused": "paused",
    "paused_at_chain": "waiting_for_person",
}
SHEET_KINDS: dict[str, Kind] = {"failed": "sheet_failed", "fermata": "waiting_for_person"}

# The run must have been seen not ended: before this batch, unless the change itself was seen.
SELECT_CHANGES = f"""
SELECT job_id, run, number, status, coalesce(attempt, 1), (
    SELECT count(*) FROM transitions AS same
    WHERE same.job_id = new.job_id AND same.run = new.run AND same.number = new.number
    AND same.status = new.status AND coalesce(same.attempt, 1) = coalesce(new.attempt, 1)
    AND same.rowid <= new.rowid
) FROM transitions AS new
WHERE rowid > :last_rowid AND (
    number = 0 AND status IN {tuple(JOB_KINDS)} OR number > 0 AND status IN {tuple(SHEET_KINDS)}
) AND EXISTS (
    SELECT 1 FROM transitions AS seen
    WHERE seen.job_id = new.job_id AND seen.run = new.run AND seen.number = 0
    AND seen.status NOT IN ('completed', 'failed', 'cancelled')
    AND seen.rowid <= CASE WHEN new.backfilled THEN :last_rowid ELSE new.rowid END
) ORDER BY rowid
"""  # noqa: S608 - of constants
SELECT_FAILED_SHEET = """
SELECT * FROM sheets WHERE job_id = ? AND run = ? AND status = 'failed' ORDER BY number LIMIT 1
"""


def find_changes(
    database: sqlite3.Connection, last_rowid: int, events: Iterable[EventRecord]
) -> Iterator[JobChange]:
    """Yield the changes of a batch that has been written; see `WriteHook`."""
    found = database.execute(SELECT_CHANGES, {"last_rowid": last_rowid}).fetchall()
    for job_id, run, number, status, attempt, repeat in found:
        kind = (SHEET_KINDS if number else JOB_KINDS)[status]
        yield JobChange(kind, job_id, run, number or None, attempt, repeat)
    for event in events:
        if event.event == STALLED_EVENT and event.job_id:
            yield from find_stalled(database, event.job_id, event.data)


def find_stalled(database: sqlite3.Connection, job_id: str, data: bytes) -> Iterator[JobChange]:
    """Yield the change of a sheet that has stalled; none for an event of the conductor."""
    number = queries.find_stalled_sheet(data)
    run = queries.select_run_name(database, job_id, None)
    if number is not None and run is not None:
        sheet = queries.select_sheet(database, job_id, run, number)
        attempt = (sheet.attempt if sheet is not None else None) or 1
        # Told once for each attempt: after a restart, the server finds the same stall again.
        yield JobChange("stalled", job_id, run, number, attempt)


def describe_change(
    database: sqlite3.Connection, change: JobChange, public_url: str | None
) -> Notification | None:
    """Return the message about a change; None if its run is not stored."""
    key, number = (change.job_id, change.run), change.sheet
    found = queries.select_run(database, *key, after=(number or 1) - 1, limit=1)
    if found is None:
        return None
    recorded, _ = found
    sheet = recorded.sheets.get(number) if number is not None else None
    if change.kind == "failed" and (row := database.execute(SELECT_FAILED_SHEET, key).fetchone()):
        sheet = SheetRecord(*row)
    return make_notification(change, recorded.run, sheet, public_url, now=time.time())
