"""Queries of the history. Each takes a connection, and is called in the thread of the reader."""

import heapq
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeVar

import msgspec

from marianne_stream.fanout.epochs import Epoch
from marianne_stream.history.records import RecordedRun, RunRecord, SheetRecord, Transition

T = TypeVar("T")

# A submission's times in two answers of the conductor differ by less than this.
SAME_RUN_S = 1.0

# The largest integer of SQLite.
MAX_NUMBER = 2**63 - 1

# Largest number of transitions on a page of a run: the last of its sheets.
MAX_PAGE_TRANSITIONS = 5_000

# Largest number of rows that are read to find those of the jobs of a client.
MAX_SCANNED_ROWS = 20_000

# Limits of a read of events, which is repeated until all are read.
MAX_PAGE_EVENTS = 500
MAX_PAGE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of the store; `job_id` is None for a gap."""

    seq: int
    job_id: str | None
    event: str
    data: bytes
    seen_at: float


@dataclass(frozen=True, slots=True)
class StalledRecord:
    """A sheet that has stalled; `sheet` is None for an event that is not of this server."""

    job_id: str
    sheet: int | None
    at: float


class StalledEvent(msgspec.Struct, frozen=True):
    """The fields of an event about a stalled sheet; this server marks its own as observed."""

    sheet_num: int
    observed: bool = False


@dataclass(frozen=True, slots=True)
class DroppedEvents:
    """Sequence numbers of the last events that were removed: of all jobs, and of single ones."""

    of_all: int
    by_job: dict[str, int]


def select_runs(
    database: sqlite3.Connection, job_id: str, limit: int, before: str | None = None
) -> list[RunRecord]:
    """Return the runs of a job, newest first.

    Args:
        database: the database.
        job_id: the job.
        limit: largest number of runs.
        before: run before which they begin; None for the newest.
    """
    rows = database.execute(
        "SELECT * FROM runs WHERE job_id = :job_id AND (:before IS NULL OR run < :before) "
        "ORDER BY run DESC LIMIT :limit",
        {"job_id": job_id, "before": before, "limit": limit},
    )
    return [RunRecord(*row) for row in rows]


def select_run(
    database: sqlite3.Connection, job_id: str, run: str, after: int, limit: int
) -> tuple[RecordedRun, bool] | None:
    """Return a run with a page of its sheets, and the transitions of these.

    The first page has those of the job itself, too.

    Args:
        database: the database.
        job_id: the job.
        run: name of the run.
        after: number of the sheet behind which the page begins; 0 for the first page.
        limit: largest number of sheets.

    Returns:
        the run, and True if it has more sheets; None if the run is not stored.
    """
    key = (job_id, run)
    row = database.execute("SELECT * FROM runs WHERE job_id = ? AND run = ?", key).fetchone()
    if row is None:
        return None
    rows = database.execute(
        "SELECT * FROM sheets WHERE job_id = ? AND run = ? AND number > ? ORDER BY number LIMIT ?",
        (*key, after, limit + 1),
    )
    sheets = [SheetRecord(*row) for row in rows]
    has_more = len(sheets) > limit
    del sheets[limit:]
    first = after + 1 if after else 0
    last = sheets[-1].number if has_more else MAX_NUMBER
    transitions = database.execute(
        "SELECT * FROM transitions WHERE job_id = ? AND run = ? AND number BETWEEN ? AND ? "
        "ORDER BY seen_at DESC, rowid DESC LIMIT ?",
        (*key, first, last, MAX_PAGE_TRANSITIONS),
    ).fetchall()
    recorded = RecordedRun(
        RunRecord(*row),
        {sheet.number: sheet for sheet in sheets},
        tuple(Transition(*row) for row in reversed(transitions)),
    )
    return recorded, has_more


def select_run_name(database: sqlite3.Connection, job_id: str, run: str | None) -> str | None:
    """Return the name of a run if it is stored; for None, that of the newest."""
    (name,) = database.execute(
        "SELECT max(run) FROM runs WHERE job_id = :job_id AND (:run IS NULL OR run = :run)",
        {"job_id": job_id, "run": run},
    ).fetchone()
    return str(name) if name is not None else None


def select_sheet(
    database: sqlite3.Connection, job_id: str, run: str, number: int
) -> SheetRecord | None:
    """Return a sheet of a run; None if it is not stored."""
    row = database.execute(
        "SELECT * FROM sheets WHERE job_id = ? AND run = ? AND number = ?", (job_id, run, number)
    ).fetchone()
    return SheetRecord(*row) if row is not None else None


def select_sheets(database: sqlite3.Connection, job_id: str, run: str) -> dict[int, SheetRecord]:
    """Return the sheets of a run by their numbers."""
    rows = database.execute(
        "SELECT * FROM sheets WHERE job_id = ? AND run = ? ORDER BY number", (job_id, run)
    )
    return {record.number: record for record in (SheetRecord(*row) for row in rows)}


def find_run(database: sqlite3.Connection, job_id: str, submitted_at: float) -> RunRecord | None:
    """Return the run of a job that was submitted at a time; None if it is not stored."""
    row = database.execute(
        "SELECT * FROM runs WHERE job_id = :job_id AND abs(submitted_at - :at) < :same_run_s "
        "ORDER BY abs(submitted_at - :at) LIMIT 1",
        {"job_id": job_id, "at": submitted_at, "same_run_s": SAME_RUN_S},
    ).fetchone()
    return RunRecord(*row) if row is not None else None


def find_last_change(database: sqlite3.Connection, job_id: str, run: str) -> float | None:
    """Return the time of the last transition of a run; None if that happened unseen."""
    row = database.execute(
        "SELECT seen_at, backfilled FROM transitions WHERE job_id = ? AND run = ? "
        "ORDER BY seen_at DESC, rowid DESC LIMIT 1",
        (job_id, run),
    ).fetchone()
    return row[0] if row is not None and not row[1] else None


def find_completed_run(
    database: sqlite3.Connection, job_id: str, total_sheets: int
) -> RunRecord | None:
    """Return the last completed run of a job with a number of sheets; None if there is none."""
    row = database.execute(
        "SELECT * FROM runs WHERE job_id = ? AND status = 'completed' AND total_sheets = ? "
        "AND started_at IS NOT NULL AND completed_at IS NOT NULL ORDER BY run DESC LIMIT 1",
        (job_id, total_sheets),
    ).fetchone()
    return RunRecord(*row) if row is not None else None


def select_open_jobs(database: sqlite3.Connection) -> list[str]:
    """Return the jobs whose newest run was not seen to end."""
    rows = database.execute(
        "SELECT job_id FROM runs WHERE (job_id, run) IN "
        "(SELECT job_id, max(run) FROM runs GROUP BY job_id) "
        "AND status NOT IN ('completed', 'failed', 'cancelled')"
    )
    return [job_id for (job_id,) in rows]


def select_last_change(database: sqlite3.Connection) -> float | None:
    """Return the time of the last recorded change of a run; None if there is none."""
    changed_at: float | None
    (changed_at,) = database.execute("SELECT max(changed_at) FROM runs").fetchone()
    return changed_at


def select_ended_runs(
    database: sqlite3.Connection, since: float, limit: int, is_selected: Callable[[str], bool]
) -> tuple[list[RunRecord], bool]:
    """Return the runs that have ended since a time, the last first, and whether these are all.

    A run whose end is unknown has ended when its status was recorded.

    Args:
        database: the database.
        since: the time, in epoch seconds.
        limit: largest number of runs.
        is_selected: returns whether the runs of a job are wanted.
    """
    rows = database.execute(
        "SELECT * FROM runs WHERE changed_at >= :since "
        "AND coalesce(completed_at, changed_at) >= :since "
        "AND status IN ('completed', 'failed', 'cancelled') "
        "ORDER BY coalesce(completed_at, changed_at) DESC LIMIT :limit",
        {"since": since, "limit": MAX_SCANNED_ROWS},
    )
    records = (RunRecord(*row) for row in rows)
    return take_selected(records, limit, lambda record: is_selected(record.job_id))


def select_stalled(
    database: sqlite3.Connection, since: float, limit: int, is_selected: Callable[[str], bool]
) -> tuple[list[StalledRecord], bool]:
    """Return the sheets that have stalled since a time; takes and returns as `select_ended_runs`.

    An event of this name that the conductor has sent, not this server, is left out.
    """
    rows = database.execute(
        "SELECT job_id, data, seen_at FROM events "
        "WHERE event = 'sheet.stalled' AND seen_at >= ? ORDER BY seen_at DESC LIMIT ?",
        (since, MAX_SCANNED_ROWS),
    )
    records = (StalledRecord(job_id, find_stalled_sheet(data), at) for job_id, data, at in rows)
    return take_selected(
        records, limit, lambda record: record.sheet is not None and is_selected(record.job_id)
    )


def find_stalled_sheet(data: bytes) -> int | None:
    """Return the sheet of an event of this server; None for an event of the conductor."""
    try:
        event = msgspec.json.decode(data, type=StalledEvent)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return event.sheet_num if event.observed else None


def take_selected(
    records: Iterable[T], limit: int, is_selected: Callable[[T], bool]
) -> tuple[list[T], bool]:
    """Return the first selected records up to a limit, and whether these are all.

    They may not be if there were MAX_SCANNED_ROWS records.
    """
    found: list[T] = []
    scanned = 0
    for record in records:
        scanned += 1
        if is_selected(record):
            if len(found) == limit:
                return found, False
            found.append(record)
    return found, scanned < MAX_SCANNED_ROWS


def select_epochs(database: sqlite3.Connection) -> list[Epoch]:
    """Return all epochs, oldest first."""
    rows = database.execute(
        "SELECT epoch, first_number, first_seq, coalesce("
        "lead(first_seq) OVER (ORDER BY first_seq, started_at) - 1, "
        "(SELECT max(seq) FROM events), first_seq - 1), is_restored "
        "FROM epochs ORDER BY first_seq, started_at"
    )
    return [
        Epoch(epoch, first_number, first_seq, last_seq, bool(is_restored))
        for epoch, first_number, first_seq, last_seq, is_restored in rows
    ]


def select_dropped(database: sqlite3.Connection) -> DroppedEvents:
    """Return what was removed of the events."""
    dropped = dict(database.execute("SELECT job_id, last_seq FROM dropped_events").fetchall())
    return DroppedEvents(dropped.pop("", 0), dropped)


def select_newest_events(
    database: sqlite3.Connection, limit: int, max_bytes: int
) -> list[StoredEvent]:
    """Return the newest events of all jobs, oldest first.

    Args:
        database: the database.
        limit: largest number of events.
        max_bytes: largest size of their data together, in bytes.
    """
    found: list[StoredEvent] = []
    for row in database.execute("SELECT * FROM events ORDER BY seq DESC LIMIT ?", (limit,)):
        event = StoredEvent(*row)
        max_bytes -= len(event.data)
        if max_bytes < 0:
            break
        found.append(event)
    return found[::-1]


def select_events_after(
    database: sqlite3.Connection, seq: int, job_ids: Sequence[str]
) -> tuple[list[StoredEvent], int]:
    """Return the next events after a sequence number: one, or more up to the limits of a page.

    Args:
        database: the database.
        seq: sequence number behind which they begin.
        job_ids: jobs whose events are returned, with all gaps; empty for all jobs.

    Returns:
        the events, and the sequence number up to which they are complete.
    """
    (last_seq,) = database.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
    events: list[StoredEvent] = []
    size = 0
    for row in find_event_rows(database, seq, last_seq, job_ids):
        events.append(event := StoredEvent(*row))
        size += len(event.data)
        if size > MAX_PAGE_BYTES or len(events) == MAX_PAGE_EVENTS:
            return events, event.seq
    return events, max(seq, last_seq)


def select_events_before(
    database: sqlite3.Connection, job_id: str, before: int | None, limit: int
) -> tuple[list[StoredEvent], bool]:
    """Return the newest events of a job before a sequence number, newest first; no gaps.

    Args:
        database: the database.
        job_id: the job.
        before: sequence number before which they end; None for the newest.
        limit: largest number of events; they end earlier above MAX_PAGE_BYTES.

    Returns:
        the events, and True if there are older ones.
    """
    rows = database.execute(
        "SELECT * FROM events WHERE job_id = :job_id AND (:before IS NULL OR seq < :before) "
        "ORDER BY seq DESC LIMIT :limit",
        {"job_id": job_id, "before": before, "limit": limit + 1},
    )
    events: list[StoredEvent] = []
    size = 0
    for row in rows:
        event = StoredEvent(*row)
        size += len(event.data)
        if len(events) == limit or (events and size > MAX_PAGE_BYTES):
            return events, True
        events.append(event)
    return events, False


def find_event_rows(
    database: sqlite3.Connection, seq: int, last_seq: int, job_ids: Sequence[str]
) -> Iterable[tuple[Any, ...]]:
    """Return the events of some jobs, with all gaps, or of all jobs, in order.

    Events after `last_seq` are left out: each query would see others of them.
    """
    limits = (seq, last_seq, MAX_PAGE_EVENTS)
    if not job_ids:
        return database.execute(
            "SELECT * FROM events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?", limits
        )
    # Each query reads the index of its job in order; one for all would sort all of their events.
    query = "SELECT * FROM events WHERE job_id IS ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
    rows = (database.execute(query, (job_id, *limits)) for job_id in (None, *set(job_ids)))
    return heapq.merge(*rows, key=itemgetter(0))
