"""Registry of a simulated conductor: its jobs table in SQLite, in WAL mode.

A thread of its own holds the connection, and writes changes in order.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar, TypeVarTuple

from marianne_stream.demo.checkpoint_fields import JsonObject

ReturnT = TypeVar("ReturnT")
ArgsT = TypeVarTuple("ArgsT")

DELETE_JOB = "DELETE FROM jobs WHERE job_id = CAST(? AS TEXT)"
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


class RegistryWriter:
    """Writes rows in the background, shortly after `put` and `delete`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

        # The last connection to close removes the -wal file, unless it is read-only.
        self._wal_holder: sqlite3.Connection | None = None
        self._pending_rows: dict[str, JsonObject | None] = {}
        self._write_task: asyncio.Task[None] | None = None

    async def open(self) -> list[JsonObject]:
        """Open the file and return its rows, oldest submission first.

        Raises:
            sqlite3.Error: the file cannot be read or written.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="registry")
        pending, self._pending_rows = self._pending_rows, {}
        return await self._run_in_thread(self._open, pending)

    def put(self, row: JsonObject) -> None:
        """Write a row soon; a later row of the same job replaces it."""
        self._schedule(row["job_id"], row)

    def delete(self, job_id: str) -> None:
        """Delete a row soon."""
        self._schedule(job_id, None)

    async def flush(self) -> None:
        """Wait until all changes so far are in the file.

        Raises:
            sqlite3.Error: the file cannot be written.
        """
        while self._write_task is not None:
            await asyncio.shield(self._write_task)

    async def close(self, *, leave_wal: bool = False) -> None:
        """Close the file, and merge the -wal file into it, unless it is left as by a crash."""
        await self.flush()
        if self._thread is not None:
            thread = self._thread
            await self._run_in_thread(self._close, leave_wal)
            self._thread = None
            thread.shutdown()

    def _schedule(self, job_id: str, row: JsonObject | None) -> None:
        self._pending_rows[job_id] = row
        if self._write_task is None and self._thread is not None:
            self._write_task = asyncio.get_running_loop().create_task(self._write_changes())

    async def _write_changes(self) -> None:
        try:
            while self._pending_rows:
                changes, self._pending_rows = self._pending_rows, {}
                await self._run_in_thread(self._store, changes)
        finally:
            self._write_task = None

    async def _run_in_thread(self, function: Callable[[*ArgsT], ReturnT], *args: *ArgsT) -> ReturnT:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    def _open(self, pending: dict[str, JsonObject | None]) -> list[JsonObject]:
        self._connection = open_connection(self.path, "rwc")
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.executescript(SCHEMA)
        self._store(pending)
        self._wal_holder = open_connection(self.path, "ro")
        rows = self._wal_holder.execute("SELECT * FROM jobs ORDER BY submitted_at").fetchall()
        return [dict(row) for row in rows]

    def _store(self, pending: dict[str, JsonObject | None]) -> None:
        if self._connection is None:
            return
        with self._connection:
            for job_id, row in pending.items():
                if row is None:
                    self._connection.execute(
                        DELETE_JOB, [job_id.encode("utf-8", "surrogateescape")]
                    )
                else:
                    self._connection.execute(*make_upsert(row))

    def _close(self, leave_wal: bool) -> None:  # noqa: FBT001
        first, last = self._wal_holder, self._connection
        if leave_wal:
            first, last = last, first
        for connection in (first, last):
            if connection is not None:
                connection.close()
        self._wal_holder = self._connection = None


def open_connection(path: Path, mode: Literal["ro", "rwc"]) -> sqlite3.Connection:
    """Open a file for use in any thread; text that is not UTF-8 is kept."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    return connection


def make_upsert(row: JsonObject) -> tuple[str, list[object]]:
    """Return the statement that writes a row, and its values.

    Text is bound as bytes, since a lone surrogate has no UTF-8; the cast makes it text again.
    """
    placeholders = ("CAST(? AS TEXT)" if isinstance(value, str) else "?" for value in row.values())
    # The column names are constants of the demo, and the values are bound.
    into = f"INSERT OR REPLACE INTO jobs ({', '.join(row)})"
    statement = f"{into} VALUES ({', '.join(placeholders)})"
    return statement, [
        value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
        for value in row.values()
    ]
