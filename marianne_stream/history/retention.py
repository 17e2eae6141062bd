"""Removal of records that are too old, or too many.

Events are most of a history, so they are removed before runs. The number of the last event that
was removed is kept for each job: a client that resumes before it is told of a gap.
"""

import sqlite3
import time
from dataclasses import dataclass

from marianne_stream.history.writes import transaction

# No job may take more than this share of the store.
MAX_JOB_SHARE = 0.25

# Once the store is too large, it is brought below this share, so that this is seldom necessary.
TARGET_SHARE = 0.9

# Approximate size of an event without its data and of other rows, with their indexes, in bytes.
EVENT_BYTES = 100
ROW_BYTES = 250

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
ENDED = "status IN ('completed', 'failed', 'cancelled')"
OLD_RUNS = f"SELECT job_id, run FROM runs WHERE changed_at < ? AND {ENDED}"  # noqa: S608
OLDEST_RUNS = f"""
SELECT job_id, run, (
    SELECT count(*) FROM transitions
    WHERE transitions.job_id = runs.job_id AND transitions.run = runs.run
) + total_sheets + 1 FROM runs WHERE {ENDED} ORDER BY changed_at LIMIT 100
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a store: the age of its records in seconds, and its size in bytes."""

    max_age_s: float
    max_bytes: int


def prune(database: sqlite3.Connection, limits: Limits) -> int:
    """Remove what exceeds the limits, the oldest first.

    Returns:
        the size of the store, in bytes.
    """
    oldest = time.time() - limits.max_age_s
    with transaction(database):
        drop_events(database, *database.execute(OLD_EVENTS, (oldest,)).fetchone())
        for job_id, run in database.execute(OLD_RUNS, (oldest,)).fetchall():
            delete_run(database, job_id, run)
    if used_bytes(database) > limits.max_bytes:
        with transaction(database):
            drop_large_jobs(database, int(limits.max_bytes * MAX_JOB_SHARE))
        with transaction(database):
            drop_oldest(database, int(limits.max_bytes * TARGET_SHARE))
    return used_bytes(database)


def used_bytes(database: sqlite3.Connection) -> int:
    """Return the size of the pages in use, in bytes; free pages are used again."""
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    (free,) = database.execute("PRAGMA freelist_count").fetchone()
    (page_bytes,) = database.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * page_bytes)


def drop_large_jobs(database: sqlite3.Connection, allowed: int) -> None:
    """Remove the oldest events of the jobs whose events are larger than allowed."""
    sizes = database.execute(EVENT_SIZES, {"event_bytes": EVENT_BYTES}).fetchall()
    for job_id, size in sizes:
        if job_id and size > allowed:
            values = {"job_id": job_id, "allowed": allowed, "event_bytes": EVENT_BYTES}
            (last_seq,) = database.execute(JOB_EVENTS, values).fetchone()
            database.execute(MARK_DROPPED, (job_id, last_seq))
            database.execute("DELETE FROM events WHERE job_id = ? AND seq <= ?", (job_id, last_seq))


def drop_oldest(database: sqlite3.Connection, target: int) -> None:
    """Remove the oldest events, then the oldest ended runs, until the store has a size."""
    sizes = database.execute(EVENT_SIZES, {"event_bytes": EVENT_BYTES}).fetchall()
    event_bytes = sum(size for _, size in sizes)
    excess = used_bytes(database) - target
    if excess <= 0:
        return
    allowed = max(0, event_bytes - excess)
    values = {"allowed": allowed, "event_bytes": EVENT_BYTES}
    drop_events(database, *database.execute(ALL_EVENTS, values).fetchone())
    excess -= event_bytes - allowed
    for job_id, run, rows in database.execute(OLDEST_RUNS).fetchall():
        if excess <= 0:
            break
        delete_run(database, job_id, run)
        excess -= rows * ROW_BYTES


def drop_events(database: sqlite3.Connection, last_seq: int | None) -> None:
    """Remove the events of all jobs up to a sequence number; None removes none."""
    if last_seq is not None:
        database.execute(MARK_DROPPED, ("", last_seq))
        database.execute("DELETE FROM events WHERE seq <= ?", (last_seq,))


def delete_run(database: sqlite3.Connection, job_id: str, run: str) -> None:
    """Remove a run with its sheets and transitions."""
    for table in ("transitions", "sheets", "runs"):
        database.execute(f"DELETE FROM {table} WHERE job_id = ? AND run = ?", (job_id, run))  # noqa: S608
