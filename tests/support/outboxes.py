"""Outboxes of notifications, and batches of the history that they take messages from."""

import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from marianne_stream.history.records import (
    EventRecord,
    RunRecord,
    SheetRecord,
    Transition,
    WriteBatch,
)
from marianne_stream.history.store import HistoryStore
from marianne_stream.notify.outbox import Outbox, OutboxMessage

RUN = "2026-11-23T22:14:15Z"
EPOCH = "e" * 16
TARGET = "json://user:hunter2@127.0.0.1:9/"


def make_batch(
    *statuses: str | tuple[int, str, int],
    job_id: str = "a",
    run: str = RUN,
    backfilled: bool = False,
    events: Iterable[EventRecord] = (),
) -> WriteBatch:
    """Return a batch with transitions of a run, its record and those of its sheets.

    Args:
        statuses: statuses of the job; or number, status and attempt of a sheet.
        job_id: the job.
        run: the run.
        backfilled: True if the transitions were not seen.
        events: events of the batch.
    """
    now = time.time()
    changes = [(0, one, None) if isinstance(one, str) else one for one in statuses]
    last = next((status for number, status, _ in reversed(changes) if not number), "running")
    record = RunRecord(
        *(job_id, run, now - 9, last, now - 9, None, 12, 4, None, 0.0, None, None, None, now)
    )
    sheets = [
        SheetRecord(
            *(job_id, run, number, status, attempt, now, None, True, False, None),
            *(None, "exit code 1" if status == "failed" else None, "cli", "1"),
        )
        for number, status, attempt in changes
        if number
    ]
    transitions = [
        Transition(job_id, run, number, now, status, attempt, backfilled)
        for number, status, attempt in changes
    ]
    return WriteBatch([record], sheets, transitions, list(events))


async def write(store: HistoryStore, *batches: WriteBatch) -> None:
    """Write batches into an open store."""
    for batch in batches:
        await store.write(batch, EPOCH)


async def read_keys(outbox: Outbox) -> list[str]:
    """Return the keys of the messages that wait, without the run."""
    return [short_key(message) for message in await read_waiting(outbox)]


async def read_waiting(outbox: Outbox) -> list[OutboxMessage]:
    """Return all messages that wait, oldest first."""
    query = (
        "SELECT id, key, rule, title, body FROM notifications WHERE state = 'waiting' ORDER BY id"
    )
    rows = await outbox._store.execute(lambda database: database.execute(query).fetchall())
    return [OutboxMessage(*row) for row in rows]


def short_key(message: OutboxMessage) -> str:
    """Return the key of a message without the run of the tests."""
    return message.key.replace(f"@{RUN}", "")


def read_rows(path: Path, columns: str, table: str = "notifications") -> list[tuple[object, ...]]:
    """Return columns of all rows of a history's table; none if there is no history yet."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return database.execute(f"SELECT {columns} FROM {table}").fetchall()
    except sqlite3.OperationalError:
        return []
