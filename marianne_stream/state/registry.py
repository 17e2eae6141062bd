"""State from the conductor's registry: the SQLite database that it writes while it runs.

Every read opens the file, asks and closes it, so that a registry which is replaced by another is
noticed, and nothing keeps its write-ahead log from being checkpointed. Beside a `-wal` file it is
opened with `mode=ro`. With none, nobody is writing, and `immutable=1` reads it even where nothing
may be written; but immutable takes no lock, so the file is looked at again afterwards. This module
must not know whether the conductor is there.
"""

import asyncio
import math
import os
import sqlite3
import stat
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
import msgspec

from marianne_stream.errors import CorruptStateError, JobNotFoundError, StoreUnreadableError
from marianne_stream.models import JobState, Roster, RosterEntry, iso_time
from marianne_stream.state.checkpoint import decode, state_from, state_from_entry

# One read, from the first look at the file to the closed connection.
READ_LIMIT_S = 2.0

# One read and the reads that are before it in the queue.
TURN_LIMIT_S = 10.0

# How often a read begins again because the file changed, or its -wal came or went, under it.
ATTEMPTS = 3

# How many of its instructions SQLite runs before it asks again whether anybody waits: about 0.1 ms.
STEPS_BETWEEN_LOOKS = 10_000

# A time behind this one has no four-digit year, so ISO 8601 cannot write it.
LATEST_EPOCH_S = 253_402_300_800.0

REQUIRED = ("job_id", "status")
LIGHT = (*REQUIRED, "submitted_at", "started_at", "completed_at", "total_sheets", "workspace")
WHOLE = (*LIGHT, "error_message", "snapshot_path", "checkpoint_json")

# A row by the names of its columns. An older registry has fewer of them.
Row = Mapping[str, Any]
T = TypeVar("T")
Question = Callable[[aiosqlite.Connection], Awaitable[T]]


class Registry:
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
        self._turn = asyncio.Lock()
        # A read whose caller was cancelled closes its connection here.
        self._sessions: set[asyncio.Task[Any]] = set()

    async def roster(self) -> Roster:
        """Every job in the registry, newest first, without its checkpoint.

        A row whose id or status is not text is no entry. Cancelling is safe.

        Raises:
            StoreUnreadableError: the registry is missing, cannot be read, or is not one.
        """
        rows = await self._read(self._all_rows)
        entries = (entry_of(row) for row in rows)
        listed = {entry.job_id: entry for entry in entries if entry is not None}
        return Roster(entries=listed, source="registry", live=False)

    async def job(self, job_id: str, entry: RosterEntry | None) -> JobState:  # noqa: ARG002
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
        row = await self._row(job_id, WHOLE)
        if row is None:
            raise JobNotFoundError(job_id)
        return state_of(job_id, row)

    async def close(self) -> None:
        """Wait for the reads whose callers were cancelled.

        The registry can be read again afterwards.
        """
        if self._sessions:
            await asyncio.wait(self._sessions, timeout=READ_LIMIT_S)

    async def _all_rows(self, connection: aiosqlite.Connection) -> list[Row]:
        columns = await self._columns(connection, LIGHT)
        order = "submitted_at DESC, job_id" if "submitted_at" in columns else "job_id"
        # Of the columns only those are taken that are named in this module.
        query = f"SELECT {', '.join(columns)} FROM jobs ORDER BY {order}"  # noqa: S608 - no input
        return await rows_of(connection, query)

    async def _row(self, job_id: str, wanted: tuple[str, ...]) -> Row | None:
        async def ask(connection: aiosqlite.Connection) -> list[Row]:
            columns = await self._columns(connection, wanted)
            # As bytes: text that is not UTF-8 is a damaged checkpoint, and no error of SQLite.
            chosen = ", ".join(
                "CAST(checkpoint_json AS BLOB) AS checkpoint_json" if c == "checkpoint_json" else c
                for c in columns
            )
            query = f"SELECT {chosen} FROM jobs WHERE job_id = ?"  # noqa: S608 - the id is bound
            return await rows_of(connection, query, job_id)

        if not encodable(job_id):
            return None
        return next(iter(await self._read(ask)), None)

    async def _columns(
        self, connection: aiosqlite.Connection, wanted: tuple[str, ...]
    ) -> list[str]:
        """Those of the wanted columns that there are: another conductor's registry has others."""
        present = {row["name"] for row in await rows_of(connection, "PRAGMA table_info(jobs)")}
        if not present:
            raise StoreUnreadableError(f"the registry {self.path} has no table named jobs")
        for name in REQUIRED:
            if name not in present:
                raise StoreUnreadableError(
                    f"the table jobs of the registry {self.path} has no column named {name}"
                )
        return [name for name in wanted if name in present]

    async def _read(self, question: Question[T]) -> T:
        """Wait for a turn, and ask within the time limits."""
        try:
            async with asyncio.timeout(TURN_LIMIT_S), self._turn, asyncio.timeout(READ_LIMIT_S):
                return await self._read_steadily(question)
        except TimeoutError as error:
            raise StoreUnreadableError(
                f"the registry {self.path} was not read within its time limit"
            ) from error

    async def _read_steadily(self, question: Question[T]) -> T:
        """Ask until the file stays the same from before the question to behind the answer."""
        for _ in range(ATTEMPTS):
            seen = await asyncio.to_thread(look_at, self.path)
            try:
                answer = await self._ask(seen, question)
            except (sqlite3.Error, StoreUnreadableError) as error:
                if await self._still(seen):
                    raise await asyncio.to_thread(explained, error, seen) from error
            else:
                # With a -wal it comes from one transaction; without, nothing kept writers out.
                if seen.journalled or await self._still(seen):
                    return answer
        raise StoreUnreadableError(
            f"the registry {self.path} changed each of {ATTEMPTS} times that it was read"
        )

    async def _still(self, seen: "Sight") -> bool:
        return await asyncio.to_thread(look_at, self.path) == seen

    async def _ask(self, seen: "Sight", question: Question[T]) -> T:
        """Ask on a connection that a task of its own opens and closes, come what may."""
        if self._sessions:
            await asyncio.wait(self._sessions)
        connection = aiosqlite.connect(
            seen.uri, uri=True, timeout=self._busy_timeout_s, isolation_level=None
        )
        abandoned = threading.Event()
        session = asyncio.create_task(hold(connection, question, abandoned), name="registry read")
        self._sessions.add(session)
        session.add_done_callback(self._ended)
        try:
            await asyncio.wait((session,))
        except asyncio.CancelledError:
            abandoned.set()
            raise
        return session.result()

    def _ended(self, session: asyncio.Task[Any]) -> None:
        self._sessions.discard(session)
        # Whoever was cancelled does not hear of the failure, and it concerns nobody else.
        if not session.cancelled():
            session.exception()


@dataclass(frozen=True, slots=True)
class Sight:
    """What the registry's file looked like at one moment: equal for as long as nobody wrote it."""

    # With no link in it: SQLite keeps its -wal beside the file itself.
    file: Path
    # Whether a journal is beside it: somebody writes, or was killed at it.
    journalled: bool
    device: int
    inode: int
    mtime_ns: int
    size_bytes: int

    @property
    def uri(self) -> str:
        """Where to open it. `mode=ro` beside immutable too: SQLite's default creates the file."""
        return f"{self.file.as_uri()}?mode=ro{'' if self.journalled else '&immutable=1'}"


def look_at(path: Path) -> Sight:
    """Look at the registry's file without opening it. Blocks.

    Raises:
        StoreUnreadableError: it is missing, is not a regular file, or is out of reach.
    """
    try:
        file = path.resolve(strict=True)
        found = file.stat()
        # A rollback journal occurs for a moment, when a conductor has just created its registry.
        journalled = any(beside(file, end).exists() for end in ("-wal", "-journal"))
    except FileNotFoundError as error:
        raise StoreUnreadableError(f"there is no registry at {path}") from error
    except PermissionError as error:
        raise StoreUnreadableError(
            f"the registry {path} is out of reach: no permission to search a folder on the way"
        ) from error
    # RuntimeError: Python before 3.13 says so of links that go in a circle.
    except (OSError, RuntimeError) as error:
        raise StoreUnreadableError(f"the registry {path} is out of reach: {error}") from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise StoreUnreadableError(f"the registry {path} is {kind}, expected an SQLite database")
    return Sight(file, journalled, found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def beside(file: Path, end: str) -> Path:
    """The file that SQLite keeps beside a database under the same name and an ending."""
    return file.with_name(file.name + end)


def explained(error: Exception, seen: Sight) -> StoreUnreadableError:
    """Why it cannot be read: the permission that is missing, else SQLite's words. Blocks."""
    if isinstance(error, StoreUnreadableError):
        return error
    reason = missing_permission(seen) or str(error)
    return StoreUnreadableError(f"the registry {seen.file} cannot be read: {reason}")


def missing_permission(seen: Sight) -> str | None:
    """Which permission is missing to read the registry as it was tried, and on what. Blocks."""
    wal, shm = beside(seen.file, "-wal"), beside(seen.file, "-shm")
    for file in (seen.file, wal, shm):
        if file.exists() and not os.access(file, os.R_OK):
            return f"no permission to read {file}"
    folder = seen.file.parent
    if seen.journalled and not shm.exists() and not os.access(folder, os.W_OK):
        return f"no permission to write to the folder {folder}, and there is no {shm.name} in it"
    return None


async def hold(
    connection: aiosqlite.Connection, question: Question[T], abandoned: threading.Event
) -> T:
    """Open a connection, ask, and close it; a query that nobody waits for is broken off."""
    async with connection:
        await connection.set_progress_handler(abandoned.is_set, STEPS_BETWEEN_LOOKS)
        connection.row_factory = sqlite3.Row
        # One name that is not UTF-8 must not hide all the others.
        connection.text_factory = lambda raw: raw.decode(errors="replace")
        return await question(connection)


async def rows_of(connection: aiosqlite.Connection, query: str, *values: str) -> list[Row]:
    """What a query gives, by the names of the columns."""
    return [dict(row) for row in await connection.execute_fetchall(query, values)]


def entry_of(row: Row) -> RosterEntry | None:
    """A row as an entry of the roster; None where its id or its status is not text.

    SQLite keeps any type in any column, so what is not of the expected one counts as left out.
    """
    job_id, status = text(row["job_id"]), text(row["status"])
    if job_id is None or status is None:
        return None
    total_sheets = row.get("total_sheets")
    entry = RosterEntry(
        job_id=job_id,
        status=status,
        submitted_at=epoch(row.get("submitted_at")),
        started_at=epoch(row.get("started_at")),
        total_sheets=total_sheets if isinstance(total_sheets, int) and total_sheets >= 0 else None,
        workspace=text(row.get("workspace")),
    )
    # The row of a job that runs again may still hold when it ended before.
    return replace(entry, completed_at=epoch(row.get("completed_at"))) if entry.terminal else entry


def state_of(job_id: str, row: Row) -> JobState:
    """A row with its checkpoint as the state of a job.

    Raises:
        CorruptStateError: the row has no status, or its checkpoint cannot be decoded.
    """
    entry = entry_of(row)
    if entry is None:
        raise CorruptStateError(f"the registry's row of the job {job_id!r} has no status")
    state = state_from_checkpoint(entry, row)
    return replace(
        state,
        job_id=entry.job_id,
        error_message=state.error_message or text(row.get("error_message")),
        completed_at=state.completed_at or iso_time(entry.completed_at),
        snapshot_path=text(row.get("snapshot_path")),
    )


def state_from_checkpoint(entry: RosterEntry, row: Row) -> JobState:
    """The state as the row's checkpoint has it, or, where there is none, as the entry has it.

    Raises:
        CorruptStateError: the checkpoint cannot be decoded.
    """
    raw = row.get("checkpoint_json")
    if raw is None:
        return state_from_entry(entry, source="registry", live=False)
    try:
        checkpoint = decode(bytes(raw))
        # The job's own message comes before that of a sheet, wherever it is kept.
        message = checkpoint.error_message or text(row.get("error_message"))
        checkpoint = msgspec.structs.replace(checkpoint, error_message=message)
        return state_from(checkpoint, entry, source="registry", live=False, settled=True)
    except (ValueError, OverflowError, OSError, RecursionError) as error:
        raise CorruptStateError(
            f"the registry's checkpoint of the job {entry.job_id!r} cannot be decoded: {error}"
        ) from error


def text(value: object) -> str | None:
    """A value that is text; None for any other."""
    return value if isinstance(value, str) else None


def epoch(value: object) -> float | None:
    """A value that is a time in epoch seconds; None for any other."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if 0 <= value < LATEST_EPOCH_S else None


def encodable(job_id: str) -> bool:
    """Whether SQLite can be asked for an id: one with half a surrogate pair in it has no UTF-8."""
    try:
        job_id.encode()
    except UnicodeEncodeError:
        return False
    return True
