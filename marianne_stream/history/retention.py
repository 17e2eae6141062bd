"""Removal of records that are too old, or too many.

A job that takes more than its share loses its own records first: its oldest events, then its oldest
runs. If the history is still too large, the oldest events of all jobs are removed, then the oldest
runs. A run that has not ended is removed last, and never for its age. The number of the last event
that was removed is kept for each job: a client that resumes before it gets a `gap` first.
"""

import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass

from marianne_stream.history.records import JobRun
from marianne_stream.history.writes import transaction

# No job may take more than this share of the store.
MAX_JOB_SHARE = 0.25

# Once the store is too large, it is brought below this share, so that this is seldom necessary.
TARGET_SHARE = 0.9

logger = logging.getLogger(__name__)

# Approximate size of an event without its data and of other rows without their error messages, with
# their indexes, in bytes.
EVENT_BYTES = 100
ROW_BYTES = 150

# Events are in the order of their times, so only the oldest are examined.
OLD_EVENTS = """
SELECT max(seq) FROM (SELECT seq, seen_at FROM events ORDER BY seq LIMIT 10000) WHERE seen_at < ?
"""
EVENT_SIZES = """
SELECT coalesce(job_id, ''), sum(length(data) + :event_bytes) FROM events GROUP BY job_id
"""
# Events of a job from its newest back, with the size of all that are newer.
JOB_EVENTS = """
SELECT max(seq) FROM (
    SELECT seq, sum(length(data) + :event_bytes) OVER (ORDER BY seq DESC) AS newer
    FROM events WHERE job_id = :job_id
) WHERE newer > :allowed
"""
ALL_EVENTS = """
SELECT max(seq) FROM (
    SELECT seq, sum(length(data) + :event_bytes) OVER (ORDER BY seq DESC) AS newer FROM events
) WHERE newer > :allowed
"""
MARK_DROPPED = """
INSERT INTO dropped_events VALUES (?, ?)
ON CONFLICT (job_id) DO UPDATE SET last_seq = max(last_seq, excluded.last_seq)
"""
# An epoch whose events were all removed, unless it is the newest.
DELETE_EPOCHS = """
DELETE FROM epochs WHERE started_at < ? AND EXISTS (
    SELECT 1 FROM epochs AS later
    WHERE later.first_seq > epochs.first_seq AND later.first_seq <= ? + 1
)
"""
# Messages that wait are kept, also of jobs that were removed, unless they take more than a quarter.
NOTIFICATION_AGE_S = 7 * 24 * 3600.0
MAX_OUTBOX_SHARE = 0.25
DELETE_OLDEST_NOTIFICATIONS = """
DELETE FROM notifications WHERE id <= (
    SELECT id FROM (
        SELECT id, sum(length(title) + length(body) + :row_bytes) OVER (ORDER BY id DESC) AS size
        FROM notifications
    ) WHERE size > :max_bytes ORDER BY id DESC LIMIT 1
)
"""
DELETE_NOTIFICATIONS = "DELETE FROM notifications WHERE created_at < ? AND state != 'waiting'"
OLD_RUNS = "SELECT job_id, run FROM runs WHERE changed_at < ?"
OLDEST_RUNS = """
SELECT job_id, run, :row_bytes * (1 + (
    SELECT count(*) FROM transitions
    WHERE transitions.job_id = runs.job_id AND transitions.run = runs.run
)) + (
    SELECT coalesce(sum(:row_bytes + coalesce(length(error_message), 0)), 0) FROM sheets
    WHERE sheets.job_id = runs.job_id AND sheets.run = runs.run
) FROM runs ORDER BY changed_at
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a store: the age of its records in seconds, and its size in bytes."""

    max_age_s: float
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """Result of a removal: the size that is left, in bytes, and the runs that were removed."""

    size_bytes: int
    runs: frozenset[JobRun]


def prune(database: sqlite3.Connection, limits: Limits, open_runs: Container[JobRun]) -> Pruned:
    """Remove what exceeds the limits, the oldest first.

    Args:
        database: the database.
        limits: the limits.
        open_runs: runs that have not ended.
    """
    oldest = time.time() - limits.max_age_s
    with transaction(database):
        drop_events(database, *database.execute(OLD_EVENTS, (oldest,)).fetchone())
        old_runs = database.execute(OLD_RUNS, (oldest,)).fetchall()
        removed: list[JobRun] = [run for run in old_runs if run not in open_runs]
        for job_id, run in removed:
            delete_run(database, job_id, run)
        forget_removed(database, oldest)
        database.execute(DELETE_NOTIFICATIONS, (time.time() - NOTIFICATION_AGE_S,))
        drop_oldest_notifications(database, int(limits.max_bytes * MAX_OUTBOX_SHARE))
    if used_bytes(database) > limits.max_bytes:
        with transaction(database):
            removed += drop_large_jobs(database, int(limits.max_bytes * MAX_JOB_SHARE), open_runs)
        with transaction(database):
            removed += drop_oldest(database, int(limits.max_bytes * TARGET_SHARE), open_runs)
    return Pruned(used_bytes(database), frozenset(removed))


def forget_removed(database: sqlite3.Connection, oldest: float) -> None:
    """Remove what is kept of removed events once it says nothing more.

    Args:
        database: the database.
        oldest: time before which a cursor is no longer valid, in epoch seconds.
    """
    row = database.execute("SELECT last_seq FROM dropped_events WHERE job_id = ''").fetchone()
    if row is not None:
        database.execute("DELETE FROM dropped_events WHERE job_id != '' AND last_seq <= ?", row)
        database.execute(DELETE_EPOCHS, (oldest, *row))


def used_bytes(database: sqlite3.Connection) -> int:
    """Return the size of the pages in use, in bytes; free pages are used again."""
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    (free,) = database.execute("PRAGMA freelist_count").fetchone()
    (page_bytes,) = database.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * page_bytes)


def drop_oldest_notifications(database: sqlite3.Connection, max_bytes: int) -> None:
    """Delete the oldest messages of the outbox above a size; log how many are lost."""
    values = {"row_bytes": ROW_BYTES, "max_bytes": max_bytes}
    deleted = database.execute(DELETE_OLDEST_NOTIFICATIONS, values).rowcount
    if deleted > 0:
        logger.warning("notifications dropped count=%d max_bytes=%d", deleted, max_bytes)


def drop_large_jobs(
    database: sqlite3.Connection, allowed: int, open_runs: Container[JobRun]
) -> list[JobRun]:
    """Remove the oldest events, then the oldest runs, of the jobs that are larger than allowed.

    Returns:
        the job and name of each run that was removed.
    """
    event_bytes = select_event_bytes(database)
    runs = select_oldest_runs(database, open_runs)
    excess: Counter[str] = Counter(event_bytes)
    for job_id, _, size in runs:
        excess[job_id] += size
    for job_id in excess:
        excess[job_id] -= allowed
        if job_id and excess[job_id] > 0 and event_bytes.get(job_id):
            left = max(0, event_bytes[job_id] - excess[job_id])
            drop_job_events(database, job_id, left)
            excess[job_id] -= event_bytes[job_id] - left
    removed = []
    for job_id, run, size in runs:
        if excess[job_id] > 0:
            delete_run(database, job_id, run)
            removed.append((job_id, run))
            excess[job_id] -= size
    return removed


def drop_oldest(
    database: sqlite3.Connection, target: int, open_runs: Container[JobRun]
) -> list[JobRun]:
    """Remove the oldest events, then the oldest runs, until the store has a size.

    Returns:
        the job and name of each run that was removed.
    """
    excess = used_bytes(database) - target
    if excess <= 0:
        return []
    event_bytes = sum(select_event_bytes(database).values())
    allowed = max(0, event_bytes - excess)
    values = {"allowed": allowed, "event_bytes": EVENT_BYTES}
    drop_events(database, *database.execute(ALL_EVENTS, values).fetchone())
    removed: list[JobRun] = []
    if excess <= event_bytes:
        return removed
    for job_id, run, _ in select_oldest_runs(database, open_runs):
        if used_bytes(database) <= target:
            break
        delete_run(database, job_id, run)
        removed.append((job_id, run))
    return removed


def select_event_bytes(database: sqlite3.Connection) -> dict[str, int]:
    """Return the size of the events by job; "" stands for those of the whole host."""
    return dict(database.execute(EVENT_SIZES, {"event_bytes": EVENT_BYTES}).fetchall())


def select_oldest_runs(
    database: sqlite3.Connection, open_runs: Container[JobRun]
) -> list[tuple[str, str, int]]:
    """Return the job, name and size of all runs in the order in which they are removed.

    Those that have not changed for longest come first, and those that have not ended last.
    """
    runs = database.execute(OLDEST_RUNS, {"row_bytes": ROW_BYTES}).fetchall()
    return sorted(runs, key=lambda run: run[:2] in open_runs)


def drop_job_events(database: sqlite3.Connection, job_id: str, allowed: int) -> None:
    """Remove the oldest events of a job until the rest has a size."""
    values = {"job_id": job_id, "allowed": allowed, "event_bytes": EVENT_BYTES}
    (last_seq,) = database.execute(JOB_EVENTS, values).fetchone()
    database.execute(MARK_DROPPED, (job_id, last_seq))
    database.execute("DELETE FROM events WHERE job_id = ? AND seq <= ?", (job_id, last_seq))


def drop_events(database: sqlite3.Connection, last_seq: int | None) -> None:
    """Remove the events of all jobs up to a sequence number; None removes none."""
    if last_seq is not None:
        database.execute(MARK_DROPPED, ("", last_seq))
        database.execute("DELETE FROM events WHERE seq <= ?", (last_seq,))


def delete_run(database: sqlite3.Connection, job_id: str, run: str) -> None:
    """Remove a run with its sheets and transitions."""
    for table in ("transitions", "sheets", "runs"):
        database.execute(f"DELETE FROM {table} WHERE job_id = ? AND run = ?", (job_id, run))  # noqa: S608
