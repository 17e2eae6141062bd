"""The registry on disk: the jobs table that a conductor writes while it runs (SQLite, WAL mode).

It knows rows. It must not know what a row means, nor block the event loop: one thread of its own
holds the connection, and takes what changed in the order of the changes.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, TypeVarTuple
from urllib.parse import quote

from marianne_stream.demo.checkpoint import Fields

Result = TypeVar("Result")
Given = TypeVarTuple("Given")

DELETE = "DELETE FROM jobs WHERE job_id = CAST(? AS TEXT)"
SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    job_id TEXT PRIMARY KEY,
    config_path TEXT NOT NULL,
    workspace TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'queued',
    pid INTEGER,
    submitted_at REAL NOT NULL,
    started_at REAL,
    completed_at REAL,
    error_message TEXT,
    current_sheet INTEGER,
    total_sheets INTEGER,
    last_event_at REAL,
    log_path TEXT,
    snapshot_path TEXT,
    checkpoint_json TEXT,
    hook_config_json TEXT,
    hook_results_json TEXT
);
CREATE INDEX IF NOT EXISTS idx_jobs_status ON jobs (status);
CREATE INDEX IF NOT EXISTS idx_jobs_submitted ON jobs (submitted_at DESC);
"""


class Registry:
    """Keeps the rows of a file in step with `put` and `delete`, a moment behind them.

    Args:
        path: the SQLite file; created when it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread: ThreadPoolExecutor | None = None
        self._writer: sqlite3.Connection | None = None

        # The last connection to close empties and removes the -wal file, unless it is read-only.
        self._keeper: sqlite3.Connection | None = None
        self._changes: dict[str, Fields | None] = {}
        self._write: asyncio.Task[None] | None = None

    async def open(self) -> list[Fields]:
        """Open the file and give its rows, oldest submission first.

        Raises:
            sqlite3.Error: it cannot be read or written.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="registry")
        missed, self._changes = self._changes, {}
        return await self._in_thread(self._open, missed)

    def put(self, row: Fields) -> None:
        """Write a job's row soon; a later one for the same job replaces it."""
        self._change(row["job_id"], row)

    def delete(self, job_id: str) -> None:
        """Remove a job's row soon."""
        self._change(job_id, None)

    async def flush(self) -> None:
        """Wait until everything put and deleted so far is in the file.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        while self._write is not None:
            await asyncio.shield(self._write)

    async def close(self) -> None:
        """Close the file well: the -wal file is emptied into it, and is gone."""
        await self._end(leave_wal=False)

    async def abandon(self) -> None:
        """Leave the file as a crash leaves it: what was written stays, in the -wal file."""
        await self._end(leave_wal=True)

    def _change(self, job_id: str, row: Fields | None) -> None:
        self._changes[job_id] = row
        if self._write is None and self._thread is not None:
            self._write = asyncio.get_running_loop().create_task(self._write_changes())

    async def _write_changes(self) -> None:
        try:
            while self._changes:
                changes, self._changes = self._changes, {}
                await self._in_thread(self._store, changes)
        finally:
            self._write = None

    async def _end(self, *, leave_wal: bool) -> None:
        await self.flush()
        if self._thread is not None:
            thread = self._thread
            await self._in_thread(self._close, leave_wal)
            self._thread = None
            thread.shutdown()

    async def _in_thread(self, function: Callable[[*Given], Result], *given: *Given) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *given)

    def _open(self, missed: dict[str, Fields | None]) -> list[Fields]:
        self._writer = connect(f"file:{uri_path(self.path)}?mode=rwc")
        self._writer.execute("PRAGMA journal_mode=WAL")
        self._writer.executescript(SCHEMA)
        self._store(missed)
        self._keeper = connect(f"file:{uri_path(self.path)}?mode=ro")
        rows = self._keeper.execute("SELECT * FROM jobs ORDER BY submitted_at").fetchall()
        return [dict(row) for row in rows]

    def _store(self, changes: dict[str, Fields | None]) -> None:
        if self._writer is None:
            return
        with self._writer:
            for job_id, row in changes.items():
                if row is None:
                    self._writer.execute(DELETE, [job_id.encode("utf-8", "surrogateescape")])
                else:
                    self._writer.execute(*upsert(row))

    def _close(self, leave_wal: bool) -> None:  # noqa: FBT001
        first, last = self._keeper, self._writer
        if leave_wal:
            first, last = last, first
        for connection in (first, last):
            if connection is not None:
                connection.close()
        self._keeper = self._writer = None


def connect(uri: str) -> sqlite3.Connection:
    """Open a file by its URI, for use in whichever thread; text that is not UTF-8 is kept."""
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    return connection


def uri_path(path: Path) -> str:
    """Give a path as a part of an SQLite URI."""
    return quote(os.fsencode(path))


def upsert(row: Fields) -> tuple[str, list[object]]:
    """Give the statement that writes a row, and its values.

    Text goes as bytes, since a lone surrogate has no UTF-8; the cast makes it text again.
    """
    places = ("CAST(? AS TEXT)" if isinstance(value, str) else "?" for value in row.values())
    # The names of the columns are the demo's own, and the values are bound.
    into = f"INSERT OR REPLACE INTO jobs ({', '.join(row)})"
    statement = f"{into} VALUES ({', '.join(places)})"
    return statement, [
        value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
        for value in row.values()
    ]
