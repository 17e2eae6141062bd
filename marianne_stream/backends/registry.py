"""State from the conductor's registry: the SQLite database that it writes while it runs.

Every read opens the file, asks and closes it, so that a registry which is replaced by another is
noticed, and nothing keeps its write-ahead log from being checkpointed. Beside a `-wal` file it is
opened with `mode=ro`. With none, nobody is writing, and `immutable=1` reads it even where nothing
may be written; but immutable takes no lock, so the file is looked at again afterwards. This module
must not know whether the conductor is there.
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

# One read, from the first look at the file to the closed connection.
READ_TIMEOUT_S = 2.0

# One read and the reads that are before it in the queue.
QUEUE_TIMEOUT_S = 10.0

# How often a read begins again because the file changed, or its -wal came or went, under it.
MAX_ATTEMPTS = 3

# How many of its instructions SQLite runs before it asks again whether anybody waits: about 0.1 ms.
PROGRESS_HANDLER_STEPS = 10_000

REQUIRED_COLUMNS = ("job_id", "status")
ROSTER_COLUMNS = (
    *REQUIRED_COLUMNS,
    *("submitted_at", "started_at", "completed_at", "last_event_at"),
    *("total_sheets", "workspace", "error_message"),
)
JOB_COLUMNS = (*ROSTER_COLUMNS, "snapshot_path", "checkpoint_json")

# Checkpoints are looked into for so long in one read: the rest waits for the next.
DIGEST_BUDGET_S = 0.2

# The newest jobs of a registry; a conductor lists 1,000.
MAX_ROWS = 5000

T = TypeVar("T")
Query = Callable[[aiosqlite.Connection], Awaitable[T]]


class RegistryBackend:
    """The registry of a conductor, as a source of state.

    Reads go one after the other, each on a thread of its own that ends with it.

    Args:
        path: the database. It need not exist, and is never created.
        busy_timeout_s: how long a read waits for a lock that another process holds.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float = 0.5) -> None:
        self.path = path
        self._busy_timeout_s = busy_timeout_s
        # One at a time: closing an immutable connection drops the POSIX locks that another one of
        # this process has on the same file.
        self._read_lock = asyncio.Lock()
        # A read whose caller was cancelled closes its connection here.
        self._read_tasks: set[asyncio.Task[Any]] = set()
        # What the checkpoints of rows say, for as long as a row stays the same.
        self._digests: dict[str, tuple[object, CheckpointDigest]] = {}
        # The first end that was told for a run.
        self._first_ends: dict[str, tuple[object, float]] = {}

    async def read_roster(self) -> Roster:
        """Read every job in the registry, newest first.

        A row whose id or status is not text is no entry. Counts and ends are those of the
        checkpoints. Of many jobs that are new they come with the next reads. Cancelling is safe.

        Raises:
            StoreUnreadableError: the registry is missing, cannot be read, or is not one.
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
        """One job, whole. Cancelling is safe.

        The row's status is right over its checkpoint's, for good: so the state is settled.

        Args:
            job_id: the job.
            entry: not used: the row is the newest entry that there is.

        Raises:
            JobNotFoundError: the registry was read, and has no row for it.
            CorruptStateError: its row or its checkpoint is damaged.
            StoreUnreadableError: the registry is missing, cannot be read, or is not one.
        """
        row = await self._query_row(job_id, JOB_COLUMNS)
        if row is None:
            raise JobNotFoundError(job_id)
        told = self._first_ends.get(job_id)
        if told is not None and told[0] == row_run_key(row):
            row = {**row, "completed_at": told[1]}
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
        """Look into the checkpoints of rows that have changed, for a limited time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + DIGEST_BUDGET_S
        # SQLite calls it in its own thread. Text that is not UTF-8 is a damaged checkpoint.
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
        """Return an entry with what its checkpoint says, if that is known.

        The end is the first that was told for the run: a conductor that stops writes another.
        """
        known = self._digests.get(entry.job_id)
        if known is None or known[0] != row_digest_key(row):
            return replace(entry, completed_at=None)
        digest, run = known[1], row_run_key(row)
        end = digest.completed_at if entry.is_terminal else None
        told = self._first_ends.get(entry.job_id)
        if told is not None and told[0] == run:
            end = told[1]
        elif end is not None:
            self._first_ends[entry.job_id] = run, end
        return replace(
            entry,
            completed_at=end,
            completed_sheets=digest.completed_sheets,
            total_sheets=entry.total_sheets if digest.total_sheets is None else digest.total_sheets,
        )

    async def _query_row(self, job_id: str, wanted_columns: tuple[str, ...]) -> Row | None:
        async def ask(connection: aiosqlite.Connection) -> list[Row]:
            columns = await self._existing_columns(connection, wanted_columns)
            # As bytes: text that is not UTF-8 is a damaged checkpoint, and no error of SQLite.
            chosen = ", ".join(
                "CAST(checkpoint_json AS BLOB) AS checkpoint_json" if c == "checkpoint_json" else c
                for c in columns
            )
            query = f"SELECT {chosen} FROM jobs WHERE job_id = ?"  # noqa: S608 - the id is bound
            return await fetch_rows(connection, query, job_id)

        if not is_encodable(job_id):
            return None
        return next(iter(await self._read(ask)), None)

    async def _existing_columns(
        self, connection: aiosqlite.Connection, wanted_columns: tuple[str, ...]
    ) -> list[str]:
        """Those of the wanted columns that there are: another conductor's registry has others."""
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
        """Wait for a turn, and ask within the time limits."""
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
        """Ask until the file stays the same from before the question to behind the answer."""
        for _ in range(MAX_ATTEMPTS):
            seen = await asyncio.to_thread(read_stamp, self.path)
            try:
                answer = await self._run_query_task(seen, query)
            except (sqlite3.Error, StateUnreadableError) as error:
                if await self._is_unchanged(seen):
                    raise await asyncio.to_thread(make_read_error, error, seen) from error
            else:
                # With a -wal it comes from one transaction; without, nothing kept writers out.
                if seen.has_journal or await self._is_unchanged(seen):
                    return answer
        raise StateUnreadableError(
            f"the registry {self.path} changed each of {MAX_ATTEMPTS} times that it was read"
        )

    async def _is_unchanged(self, stamp: FileStamp) -> bool:
        return await asyncio.to_thread(read_stamp, self.path) == stamp

    async def _run_query_task(self, stamp: FileStamp, query: Query[T]) -> T:
        """Ask on a connection that a task of its own opens and closes, come what may."""
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
        # Whoever was cancelled does not hear of the failure, and it concerns nobody else.
        if not task.cancelled():
            task.exception()


async def run_query(
    connection: aiosqlite.Connection, query: Query[T], abandoned: threading.Event
) -> T:
    """Open a connection, ask, and close it; a query that nobody waits for is broken off."""
    async with connection:
        await connection.set_progress_handler(abandoned.is_set, PROGRESS_HANDLER_STEPS)
        connection.row_factory = sqlite3.Row
        # One name that is not UTF-8 must not hide all the others.
        connection.text_factory = lambda raw: raw.decode(errors="replace")
        return await query(connection)


async def fetch_rows(connection: aiosqlite.Connection, sql: str, *values: str) -> list[Row]:
    """What a query gives, by the names of the columns."""
    return [dict(row) for row in await connection.execute_fetchall(sql, values)]


def is_encodable(job_id: str) -> bool:
    """Whether SQLite can be asked for an id: one with half a surrogate pair in it has no UTF-8."""
    try:
        job_id.encode()
    except UnicodeEncodeError:
        return False
    return True
