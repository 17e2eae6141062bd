"""Statements that write the history. Each function is one transaction."""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TypeVar

from marianne_stream.fanout.epochs import Epoch
from marianne_stream.fanout.replay_buffer import LOST_DATA
from marianne_stream.history import queries
from marianne_stream.history.queries import StoredEvent
from marianne_stream.history.records import EventRecord, RunRecord, SheetRecord, WriteBatch

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Called in the transaction that has written a batch, with the row of the last transition before,
# and the events of the batch. It may write, too.
WriteHook = Callable[[sqlite3.Connection, int, Sequence[EventRecord]], None]

# A number is never given twice, also after all events were removed.
NEXT_SEQ = """
SELECT 1 + max(
    (SELECT coalesce(max(seq), 0) FROM events),
    (SELECT coalesce(max(last_seq), 0) FROM dropped_events)
)
"""
LAST_TRANSITION = "SELECT coalesce(max(rowid), 0) FROM transitions"
INSERT_EPOCH = "INSERT INTO epochs VALUES (?, ?, ?, ?, ?)"
SELECT_EPOCH = "SELECT first_seq - first_number FROM epochs WHERE epoch = ?"
INSERT_EVENT = "INSERT INTO events VALUES (?, ?, ?, ?, ?)"

# The parameters are the fields of a Transition, which an earlier process may have recorded. A
# conductor that restarts counts the attempts of completed sheets anew, and may report fewer.
INSERT_TRANSITION = """
INSERT INTO transitions
SELECT :job_id, :run, :number, :seen_at, :status, :attempt, :backfilled
WHERE NOT EXISTS (
    SELECT 1 FROM (
        SELECT status, attempt FROM transitions
        WHERE job_id = :job_id AND run = :run AND number = :number ORDER BY rowid DESC LIMIT 1
    ) WHERE status = :status AND (
        attempt IS :attempt
        OR status = 'completed' AND coalesce(attempt, 1) >= coalesce(:attempt, 1)
    )
)
"""

# If nothing else has changed, a record is not written again: its age counts from the last change.
NO_CHANGE = "changed_at"


def make_upsert(table: str, names: tuple[str, ...], key: tuple[str, ...]) -> str:
    """Return the statement that inserts a record, or replaces it if it has changed.

    Args:
        table: the table.
        names: its columns in order.
        key: those of its primary key.
    """
    others = [name for name in names if name not in key]
    compared = [name for name in others if name != NO_CHANGE]
    return (
        f"INSERT INTO {table} VALUES ({', '.join('?' * len(names))}) "  # noqa: S608
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET "
        + ", ".join(f"{name} = excluded.{name}" for name in others)
        + f" WHERE ({', '.join(compared)}) IS NOT ({', '.join(f'excluded.{n}' for n in compared)})"
    )


RUN_COLUMNS = tuple(field.name for field in fields(RunRecord))
SHEET_COLUMNS = tuple(field.name for field in fields(SheetRecord))
UPSERT_RUN = make_upsert("runs", RUN_COLUMNS, ("job_id", "run"))
UPSERT_SHEET = make_upsert("sheets", SHEET_COLUMNS, ("job_id", "run", "number"))


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


@dataclass(frozen=True, slots=True)
class RestoredEvents:
    """The epoch of a process that restores the stored events, all epochs, and these events."""

    epoch: Epoch
    epochs: Sequence[Epoch]
    events: Sequence[StoredEvent]


def begin_epoch(database: sqlite3.Connection, epoch: str, last_number: int) -> Epoch:
    """Store the epoch of a process that has sent events, and a gap for those before.

    Args:
        database: the database.
        epoch: the epoch.
        last_number: number of its last event until now, which the gap gets as well.
    """
    with transaction(database):
        return insert_epoch(database, epoch, last_number)


def begin_restored_epoch(
    database: sqlite3.Connection, epoch: str, limit: int, max_bytes: int
) -> RestoredEvents:
    """Store the epoch of a process that has sent no event, and return the events before.

    Args:
        database: the database.
        epoch: the epoch.
        limit: largest number of events.
        max_bytes: largest size of their data together, in bytes.
    """
    with transaction(database):
        return RestoredEvents(
            insert_epoch(database, epoch, None),
            queries.select_epochs(database),
            queries.select_newest_events(database, limit, max_bytes),
        )


def insert_epoch(database: sqlite3.Connection, epoch: str, last_number: int | None) -> Epoch:
    """Insert an epoch, and a gap for what happened since the epoch before.

    Args:
        database: the database.
        epoch: the epoch.
        last_number: number of its last event until now; None if it numbers all events as the store
            does.
    """
    (first_seq,) = database.execute(NEXT_SEQ).fetchone()
    has_earlier = database.execute("SELECT 1 FROM epochs").fetchone() is not None
    is_restored = last_number is None
    first_number = first_seq if last_number is None else last_number + (not has_earlier)
    now = time.time()
    if has_earlier:
        database.execute(INSERT_EVENT, (first_seq, None, "", LOST_DATA, now))
    database.execute(INSERT_EPOCH, (epoch, first_number, first_seq, is_restored, now))
    return Epoch(epoch, first_number, first_seq, first_seq - (not has_earlier), is_restored)


def execute(database: sqlite3.Connection, function: Callable[[sqlite3.Connection], T]) -> T:
    """Return the result of a function that is called in a transaction."""
    with transaction(database):
        return function(database)


def write_batch(
    database: sqlite3.Connection,
    batch: WriteBatch,
    epoch: str,
    hook: WriteHook | None = None,
) -> int:
    """Write a batch, and return the number of records that were new or have changed.

    Transitions that are stored already are left out.
    """
    before = database.total_changes
    with transaction(database):
        (last_rowid,) = database.execute(LAST_TRANSITION).fetchone()
        database.executemany(INSERT_TRANSITION, (each._asdict() for each in batch.transitions))
        database.executemany(UPSERT_RUN, map(attrgetter(*RUN_COLUMNS), batch.runs))
        database.executemany(UPSERT_SHEET, map(attrgetter(*SHEET_COLUMNS), batch.sheets))
        if batch.events:
            (offset,) = database.execute(SELECT_EPOCH, (epoch,)).fetchone()
            database.executemany(
                INSERT_EVENT,
                (
                    (event.number + offset, event.job_id, event.event, event.data, event.seen_at)
                    for event in batch.events
                ),
            )
        changed = database.total_changes - before
        if hook is not None:
            call_hook(database, hook, last_rowid, batch.events)
    return changed


def call_hook(
    database: sqlite3.Connection, hook: WriteHook, last_rowid: int, events: Sequence[EventRecord]
) -> None:
    """Call a hook; if it fails, undo what it has written, and nothing else."""
    database.execute("SAVEPOINT hook")
    try:
        hook(database, last_rowid, events)
    except Exception:
        # Some errors of the disk end the transaction.
        if not database.in_transaction:
            raise
        logger.exception("notifications not stored")
        database.execute("ROLLBACK TO hook")
    database.execute("RELEASE hook")
