"""Statements that write the history. Each function is one transaction."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, fields

from marianne_stream.fanout.epochs import Epoch
from marianne_stream.fanout.replay_buffer import LOST_DATA
from marianne_stream.history.records import RunRecord, SheetRecord, Transition, WriteBatch

# A number is never given twice, also after all events were removed.
NEXT_SEQ = """
SELECT 1 + max(
    (SELECT coalesce(max(seq), 0) FROM events),
    (SELECT coalesce(max(last_seq), 0) FROM dropped_events)
)
"""
INSERT_EPOCH = "INSERT INTO epochs VALUES (?, ?, ?, ?)"
SELECT_EPOCH = "SELECT first_seq - first_number FROM epochs WHERE epoch = ?"
INSERT_EVENT = "INSERT INTO events VALUES (?, ?, ?, ?, ?)"

# The same change may have been recorded by an earlier process.
INSERT_TRANSITION = """
INSERT INTO transitions
SELECT :job_id, :run, :number, :seen_at, :status, :attempt, :late
WHERE NOT EXISTS (
    SELECT 1 FROM (
        SELECT status, attempt FROM transitions
        WHERE job_id = :job_id AND run = :run AND number = :number ORDER BY rowid DESC LIMIT 1
    ) WHERE status = :status AND attempt IS :attempt
)
"""


def make_upsert(table: str, record: type, key: tuple[str, ...]) -> str:
    """Return the statement that inserts a record or replaces it if it has changed."""
    names = [field.name for field in fields(record)]
    others = [name for name in names if name not in key]
    return (
        f"INSERT INTO {table} VALUES ({', '.join('?' * len(names))}) "  # noqa: S608
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET "
        + ", ".join(f"{name} = excluded.{name}" for name in others)
        + f" WHERE ({', '.join(others)}) IS NOT ({', '.join(f'excluded.{n}' for n in others)})"
    )


UPSERT_RUN = make_upsert("runs", RunRecord, ("job_id", "run"))
UPSERT_SHEET = make_upsert("sheets", SheetRecord, ("job_id", "run", "number"))


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Commit what is written in this block, or nothing of it."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def begin_epoch(database: sqlite3.Connection, epoch: str, last_number: int | None) -> Epoch:
    """Store an epoch, and a gap for what happened since the epoch before.

    Args:
        database: the database.
        epoch: the epoch.
        last_number: number of its last event until now, which the gap gets as well; None if the
            process numbers its events as the store does.
    """
    with transaction(database):
        (first_seq,) = database.execute(NEXT_SEQ).fetchone()
        has_earlier = database.execute("SELECT 1 FROM epochs").fetchone() is not None
        first_number = first_seq if last_number is None else last_number + (not has_earlier)
        if has_earlier and last_number == first_seq:
            # Equal numbers mean that the process has restored the events before.
            first_seq += 1
        if has_earlier:
            database.execute(INSERT_EVENT, (first_seq, None, "", LOST_DATA, time.time()))
        database.execute(INSERT_EPOCH, (epoch, first_number, first_seq, time.time()))
    return Epoch(epoch, first_number, first_seq, first_seq - (not has_earlier))


def write_batch(database: sqlite3.Connection, batch: WriteBatch, epoch: str) -> None:
    """Write a batch. Transitions that are stored already are left out."""
    with transaction(database):
        database.executemany(INSERT_TRANSITION, map(as_parameters, batch.transitions))
        database.executemany(UPSERT_RUN, map(astuple, batch.runs))
        database.executemany(UPSERT_SHEET, map(astuple, batch.sheets))
        if batch.events:
            (offset,) = database.execute(SELECT_EPOCH, (epoch,)).fetchone()
            database.executemany(
                INSERT_EVENT,
                (
                    (event.number + offset, event.job_id, event.event, event.data, event.seen_at)
                    for event in batch.events
                ),
            )


def as_parameters(transition: Transition) -> dict[str, object]:
    """Return the values of a transition by name."""
    return {field.name: getattr(transition, field.name) for field in fields(transition)}
