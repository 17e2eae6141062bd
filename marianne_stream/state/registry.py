"""State from the conductor's registry: the SQLite database that it writes while it runs.

Every read opens the file, asks and closes it, so that a registry which is replaced by another is
noticed, and nothing keeps its write-ahead log from being checkpointed. Beside a `-wal` file it is
opened with `mode=ro`. With none, nobody is writing, and `immutable=1` reads it even where nothing
may be written; but immutable takes no lock, so the file is looked at again afterwards. This module
must not know whether the conductor is there.
"""

import asyncio
import itertools
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from marianne_stream.errors import JobNotFoundError, StoreUnreadableError
from marianne_stream.models import JobState, Roster, RosterEntry
from marianne_stream.state.registry_file import Sight, explained, look_at
from marianne_stream.state.registry_rows import (
    CheckpointDigest,
    Row,
    digest_json,
    digest_key,
    entry_of,
    make_digest,
    state_of,
)

# One read, from the first look at the file to the closed connection.
READ_LIMIT_S = 2.0

# One read and the reads that are before it in the queue.
TURN_LIMIT_S = 10.0

# How often a read begins again because the file changed, or its -wal came or went, under it.
ATTEMPTS = 3

# How many of its instructions SQLite runs before it asks again whether anybody waits: about 0.1 ms.
STEPS_BETWEEN_LOOKS = 10_000

REQUIRED = ("job_id", "status")
LIGHT = (
    *REQUIRED,
    *("submitted_at", "started_at", "completed_at", "last_event_at"),
    *("total_sheets", "workspace", "error_message"),
)
WHOLE = (*LIGHT, "snapshot_path", "checkpoint_json")

# Checkpoints are looked into for so long in one read, a few at a time: the rest waits for the next.
DIGEST_LIMIT_S = 0.2
DIGEST_BATCH = 20

T = TypeVar("T")
Question = Callable[[aiosqlite.Connection], Awaitable[T]]

# By job: the key for which a digest holds, and the digest.
Digests = dict[str, tuple[object, CheckpointDigest]]


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
        # What the checkpoints of rows say, for as long as a row is of the same run.
        self._digests: dict[str, tuple[object, CheckpointDigest]] = {}

    async def roster(self) -> Roster:
        """Read every job in the registry, newest first.

        A row whose id or status is not text is no entry. Counts and ends are those of the
        checkpoints. Of many jobs that are new they come with the next reads. Cancelling is safe.

        Raises:
            StoreUnreadableError: the registry is missing, cannot be read, or is not one.
        """
        rows, digests = await self._read(self._all_rows)
        self._digests.update(digests)
        listed = {}
        for row in rows:
            entry = entry_of(row)
            if entry is not None:
                listed[entry.job_id] = self._with_digest(entry, row)
        self._digests = {i: known for i, known in self._digests.items() if i in listed}
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
        known = self._digests.get(job_id)
        if known is not None and known[0] == digest_key(row):
            # The end that was told first: a conductor that stops writes another over it.
            row = {**row, "completed_at": known[1].completed_at}
        return state_of(job_id, row)

    async def close(self) -> None:
        """Wait for the reads whose callers were cancelled.

        The registry can be read again afterwards.
        """
        if self._sessions:
            await asyncio.wait(self._sessions, timeout=READ_LIMIT_S)

    async def _all_rows(self, connection: aiosqlite.Connection) -> tuple[list[Row], Digests]:
        columns = await self._columns(connection, WHOLE)
        chosen = ", ".join(name for name in columns if name in LIGHT)
        order = "submitted_at DESC, job_id" if "submitted_at" in columns else "job_id"
        # Of the columns only those are taken that are named in this module.
        query = f"SELECT {chosen} FROM jobs ORDER BY {order}"  # noqa: S608 - no input
        rows = await rows_of(connection, query)
        if "checkpoint_json" not in columns:
            return rows, {}
        return rows, await self._new_digests(connection, rows)

    async def _new_digests(self, connection: aiosqlite.Connection, rows: list[Row]) -> Digests:
        """Look into the checkpoints of rows that are new or of another run, for a limited time."""
        new = {}
        for row in rows:
            known = self._digests.get(str(row["job_id"]))
            if known is None or known[0] != digest_key(row):
                new[str(row["job_id"])] = row
        found: Digests = {}
        loop = asyncio.get_running_loop()
        until = loop.time() + DIGEST_LIMIT_S
        await connection.create_function("checkpoint_digest", 1, digest_json, deterministic=True)
        ids = iter(new)
        while (batch := list(itertools.islice(ids, DIGEST_BATCH))) and loop.time() < until:
            marks = ", ".join("?" * len(batch))
            # The function gets bytes: text that is not UTF-8 is a damaged checkpoint.
            query = (
                "SELECT job_id, checkpoint_digest(CAST(checkpoint_json AS BLOB)) AS digest"  # noqa: S608
                f" FROM jobs WHERE job_id IN ({marks})"
            )
            for answer in await rows_of(connection, query, *batch):
                row = new[answer["job_id"]]
                found[answer["job_id"]] = digest_key(row), make_digest(row, answer["digest"])
        return found

    def _with_digest(self, entry: RosterEntry, row: Row) -> RosterEntry:
        """Return an entry with what its checkpoint says, if that is known."""
        known = self._digests.get(entry.job_id)
        if known is None or known[0] != digest_key(row):
            return replace(entry, completed_at=None)
        digest = known[1]
        return replace(
            entry,
            completed_at=digest.completed_at if entry.terminal else None,
            completed_sheets=digest.completed_sheets,
            total_sheets=entry.total_sheets if digest.total_sheets is None else digest.total_sheets,
        )

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

    async def _still(self, seen: Sight) -> bool:
        return await asyncio.to_thread(look_at, self.path) == seen

    async def _ask(self, seen: Sight, question: Question[T]) -> T:
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


def encodable(job_id: str) -> bool:
    """Whether SQLite can be asked for an id: one with half a surrogate pair in it has no UTF-8."""
    try:
        job_id.encode()
    except UnicodeEncodeError:
        return False
    return True
