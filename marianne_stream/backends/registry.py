"""Backend for the conductor's registry: the SQLite database that it writes while it runs.

Every read opens the file, queries and closes it: so a replaced registry is noticed, and the
conductor can always checkpoint its write-ahead log. With a `-wal` file the database is opened with
`mode=ro`. Without one no process writes, and `immutable=1` reads it even in a read-only folder;
but immutable takes no lock, so the file's stamp is compared afterwards.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from marianne_stream.backends.registry_file import FileStamp, make_read_error, read_stamp
from marianne_stream.backends.registry_rows import (
    CheckpointDigest,
    Row,
    encode_checkpoint_digest,
    make_entry_from_row,
    make_row_digest,
    make_state_from_row,
    row_digest_key,
    row_run_key,
    text_or_none,
)
from marianne_stream.errors import JobNotFoundError, StateUnreadableError
from marianne_stream.models import JobState, Roster, RosterEntry

# Limit of one read, from the file's stamp to the closed connection.
READ_TIMEOUT_S = 2.0

# Limit of one read including the reads before it in the queue.
QUEUE_TIMEOUT_S = 10.0

# Tries of a read during which the file changes, or its -wal appears or disappears.
MAX_ATTEMPTS = 3

# SQLite checks after this many instructions if the caller has gone: about 0.1 ms.
PROGRESS_HANDLER_STEPS = 10_000

REQUIRED_COLUMNS = ("job_id", "status")
ROSTER_COLUMNS = (
    *REQUIRED_COLUMNS,
    *("submitted_at", "started_at", "completed_at", "last_event_at"),
    *("total_sheets", "workspace", "error_message"),
)
JOB_COLUMNS = (*ROSTER_COLUMNS, "snapshot_path", "checkpoint_json")

# Time for digests of checkpoints in one read; the rest waits for the next.
DIGEST_BUDGET_S = 0.2

# Limit of the newest jobs that are read; a conductor lists 1,000.
MAX_ROWS = 5000

T = TypeVar("T")
Query = Callable[[aiosqlite.Connection], Awaitable[T]]


class RegistryBackend:
    """Reads jobs from a conductor's registry.

    Reads run one at a time, each on a thread of its own.

    Args:
        path: the database. It need not exist, and is never created.
        busy_timeout_s: longest wait for a lock of another process, in seconds.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float = 0.5) -> None:
        self.path = path
        self._busy_timeout_s = busy_timeout_s
        # Closing an immutable connection drops the POSIX locks of this process's other
        # connections to the same file.
        self._read_lock = asyncio.Lock()
        # Reads, including those whose callers were cancelled, until their connections are closed.
        self._read_tasks: set[asyncio.Task[Any]] = set()
        # Digests of checkpoints, each valid until its row changes.
        self._digests: dict[str, tuple[object, CheckpointDigest]] = {}
        # The first end that was read for a run.
        self._first_ends: dict[str, tuple[object, float]] = {}

    async def read_roster(self) -> Roster:
        """Return every job in the registry, newest first. Cancelling is safe.

        A row whose id or status is not text is skipped. Counts and ends come from the
        checkpoints; those of many new jobs come with the next reads.

        Raises:
            StateUnreadableError: the registry is missing, unreadable, or not a registry.
        """
        rows = await self._read(self._query_rows)
        listed = {}
        for row in rows:
            entry = make_entry_from_row(row)
            if entry is not None:
                listed[entry.job_id] = self._apply_digest(entry, row)
        for kept in (self._digests, self._first_ends):
            for job_id in kept.keys() - listed.keys():
                del kept[job_id]
        return Roster(entries=listed, source="registry", live=False)

    async def read_job(self, job_id: str, entry: RosterEntry | None) -> JobState:  # noqa: ARG002
        """Return the full state of a job. Cancelling is safe.

        The row's status overrides its checkpoint's, so the state is consistent. The entry is not
        used: the row is as new.

        Raises:
            JobNotFoundError: the registry has no row for the job.
            StateUnavailableError: the registry cannot be read, or the row is damaged.
        """
        row = await self._query_row(job_id, JOB_COLUMNS)
        if row is None:
            raise JobNotFoundError(job_id)
        first_end = self._first_ends.get(job_id)
        if first_end is not None and first_end[0] == row_run_key(row):
            row = {**row, "completed_at": first_end[1]}
        return await asyncio.to_thread(make_state_from_row, job_id, row)

    async def close(self) -> None:
        """Wait for the reads whose callers were cancelled.

        The registry can be read again afterwards.
        """
        if self._read_tasks:
            await asyncio.wait(self._read_tasks, timeout=READ_TIMEOUT_S)

    async def _query_rows(self, connection: aiosqlite.Connection) -> list[Row]:
        columns = await self._existing_columns(connection, JOB_COLUMNS)
        chosen = ", ".join(name for name in columns if name in ROSTER_COLUMNS)
        order = "submitted_at DESC, job_id" if "submitted_at" in columns else "job_id"
        # Of the columns only those are taken that are named in this module.
        query = f"SELECT {chosen} FROM jobs ORDER BY {order} LIMIT {MAX_ROWS}"  # noqa: S608
        rows = await fetch_rows(connection, query)
        if "checkpoint_json" in columns:
            await self._update_digests(connection, rows)
        return rows

    async def _update_digests(self, connection: aiosqlite.Connection, rows: list[Row]) -> None:
        """Decode the checkpoints of rows that have changed, for a limited time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + DIGEST_BUDGET_S
        # Called in SQLite's thread. Text that is not UTF-8 is a damaged checkpoint.
        await connection.create_function(
            "checkpoint_digest", 1, encode_checkpoint_digest, deterministic=True
        )
        query = (
            "SELECT checkpoint_digest(CAST(checkpoint_json AS BLOB)) AS digest"
            " FROM jobs WHERE job_id = ?"
        )
        for row in rows:
            job_id, key = text_or_none(row["job_id"]), row_digest_key(row)
            known = self._digests.get(job_id) if job_id is not None else None
            if (
                job_id is None
                or not is_encodable(job_id)
                or (known is not None and known[0] == key)
            ):
                continue
            if loop.time() >= until:
                return
            for answer in await fetch_rows(connection, query, job_id):
                self._digests[job_id] = key, make_row_digest(row, answer["digest"])

    def _apply_digest(self, entry: RosterEntry, row: Row) -> RosterEntry:
        """Return an entry with the facts of its checkpoint, if they are known.

        The first end of a run is kept: a conductor that stops writes another one over it.
        """
        known = self._digests.get(entry.job_id)
        if known is None or known[0] != row_digest_key(row):
            return replace(entry, completed_at=None)
        digest, run = known[1], row_run_key(row)
        end = digest.completed_at if entry.is_terminal else None
        first_end = self._first_ends.get(entry.job_id)
        if first_end is not None and first_end[0] == run:
            end = first_end[1]
        elif end is not None:
            self._first_ends[entry.job_id] = run, end
        return replace(
            entry,
            completed_at=end,
            completed_sheets=digest.completed_sheets,
            total_sheets=entry.total_sheets if digest.total_sheets is None else digest.total_sheets,
        )

    async def _query_row(self, job_id: str, wanted_columns: tuple[str, ...]) -> Row | None:
        async def query_columns(connection: aiosqlite.Connection) -> list[Row]:
            columns = await self._existing_columns(connection, wanted_columns)
            # As bytes, so that text that is not UTF-8 is a damaged checkpoint, not an SQLite error.
            chosen = ", ".join(
                "CAST(checkpoint_json AS BLOB) AS checkpoint_json" if c == "checkpoint_json" else c
                for c in columns
            )
            query = f"SELECT {chosen} FROM jobs WHERE job_id = ?"  # noqa: S608 - the id is bound
            return await fetch_rows(connection, query, job_id)

        if not is_encodable(job_id):
            return None
        return next(iter(await self._read(query_columns)), None)

    async def _existing_columns(
        self, connection: aiosqlite.Connection, wanted_columns: tuple[str, ...]
    ) -> list[str]:
        """Return the wanted columns that exist: registries of other versions have others."""
        present = {row["name"] for row in await fetch_rows(connection, "PRAGMA table_info(jobs)")}
        if not present:
            raise StateUnreadableError(f"the registry {self.path} has no table named jobs")
        for name in REQUIRED_COLUMNS:
            if name not in present:
                raise StateUnreadableError(
                    f"the table jobs of the registry {self.path} has no column named {name}"
                )
        return [name for name in wanted_columns if name in present]

    async def _read(self, query: Query[T]) -> T:
        """Run a query in its turn and within the time limits."""
        try:
            async with (
                asyncio.timeout(QUEUE_TIMEOUT_S),
                self._read_lock,
                asyncio.timeout(READ_TIMEOUT_S),
            ):
                return await self._read_consistently(query)
        except TimeoutError as error:
            raise StateUnreadableError(
                f"the registry {self.path} was not read within its time limit"
            ) from error

    async def _read_consistently(self, query: Query[T]) -> T:
        """Run a query until the file stays the same before and after it."""
        for _ in range(MAX_ATTEMPTS):
            seen = await asyncio.to_thread(read_stamp, self.path)
            try:
                answer = await self._run_query_task(seen, query)
            except (sqlite3.Error, StateUnreadableError) as error:
                if await self._is_unchanged(seen):
                    raise await asyncio.to_thread(make_read_error, error, seen) from error
            else:
                # A read with a -wal is one transaction; without one, writers are not locked out.
                if seen.has_journal or await self._is_unchanged(seen):
                    return answer
        raise StateUnreadableError(
            f"the registry {self.path} changed during each of {MAX_ATTEMPTS} reads"
        )

    async def _is_unchanged(self, stamp: FileStamp) -> bool:
        return await asyncio.to_thread(read_stamp, self.path) == stamp

    async def _run_query_task(self, stamp: FileStamp, query: Query[T]) -> T:
        """Run a query in a task of its own, which always closes its connection."""
        if self._read_tasks:
            await asyncio.wait(self._read_tasks)
        connection = aiosqlite.connect(
            stamp.uri, uri=True, timeout=self._busy_timeout_s, isolation_level=None
        )
        abandoned = threading.Event()
        session = asyncio.create_task(run_query(connection, query, abandoned), name="registry read")
        self._read_tasks.add(session)
        session.add_done_callback(self._on_read_done)
        try:
            await asyncio.wait((session,))
        except asyncio.CancelledError:
            abandoned.set()
            raise
        return session.result()

    def _on_read_done(self, task: asyncio.Task[Any]) -> None:
        self._read_tasks.discard(task)
        # Mark the exception as retrieved: the caller may have been cancelled.
        if not task.cancelled():
            task.exception()


async def run_query(
    connection: aiosqlite.Connection, query: Query[T], abandoned: threading.Event
) -> T:
    """Open a connection, query, and close it; interrupt a query whose caller has gone."""
    async with connection:
        await connection.set_progress_handler(abandoned.is_set, PROGRESS_HANDLER_STEPS)
        connection.row_factory = sqlite3.Row
        # A name that is not UTF-8 must not hide the others.
        connection.text_factory = lambda raw: raw.decode(errors="replace")
        return await query(connection)


async def fetch_rows(connection: aiosqlite.Connection, sql: str, *values: str) -> list[Row]:
    """Return the rows of a query, by column name."""
    return [dict(row) for row in await connection.execute_fetchall(sql, values)]


def is_encodable(job_id: str) -> bool:
    """Return True if an id can be sent to SQLite: a lone surrogate has no UTF-8."""
    try:
        job_id.encode()
    except UnicodeEncodeError:
        return False
    return True
