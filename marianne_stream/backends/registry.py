"""Backend for the conductor's registry: the SQLite database that it writes while it runs.

Every read opens the file, queries and closes it: so a replaced registry is noticed, and the
conductor can always checkpoint its write-ahead log. With a `-wal` file the database is opened with
`mode=ro`. Without one no process writes, and `immutable=1` reads it even in a read-only folder;
but immutable takes no lock, so the file's stamp is compared afterwards.

Reads run one at a time: closing an immutable connection drops the POSIX locks of this process's
other connections to the same file.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from marianne_stream.backends.reader_thread import ReaderThread
from marianne_stream.backends.registry_file import FileStamp, make_read_error, read_stamp
from marianne_stream.backends.registry_rows import (
    CheckpointDigest,
    Row,
    digest_row_checkpoint,
    make_entry_from_row,
    make_state_from_row,
    row_digest_key,
    row_run_key,
    text_or_none,
)
from marianne_stream.errors import JobNotFoundError, StateUnreadableError
from marianne_stream.models import JobState, Roster, RosterEntry

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
JOB_COLUMNS = (*ROSTER_COLUMNS, "snapshot_path", "hook_results_json", "checkpoint_json")

# As bytes, so that text that is not UTF-8 is a damaged checkpoint, not an SQLite error.
CHECKPOINT = "CAST(checkpoint_json AS BLOB) AS checkpoint_json"

# Time for digests of checkpoints in one read; the rest waits for the next.
DIGEST_BUDGET_S = 0.2

# Limit of the newest jobs that are read; a conductor lists 1,000.
MAX_ROWS = 5000

T = TypeVar("T")
Query = Callable[[sqlite3.Connection], T]


class RegistryBackend:
    """Reads jobs from a conductor's registry.

    Args:
        find_path: returns the path of the database, which need not exist and is never created.
            Called in a thread before each read; it may raise StateUnreadableError.
        busy_timeout_s: longest wait for a lock of another process, in seconds.
    """

    def __init__(self, find_path: Callable[[], Path], *, busy_timeout_s: float = 0.5) -> None:
        self.find_path = find_path
        self._busy_timeout_s = busy_timeout_s
        self._thread = ReaderThread("registry", "the registry", queue_timeout_s=QUEUE_TIMEOUT_S)
        # Used in the thread only. Digests of checkpoints, each valid until its row changes.
        self._digests: dict[str, tuple[object, CheckpointDigest]] = {}
        # The first end that was read for a run.
        self._first_ends: dict[str, tuple[object, float]] = {}

    async def read_roster(self) -> Roster:
        """Return every job in the registry, newest first, as `Backend.read_roster` does.

        A row whose id or status is not text is skipped. Counts and ends come from the checkpoints;
        those of many new jobs come with the next reads.
        """
        entries = await self._thread.run(self._read_entries)
        return Roster(entries=entries, source="registry", live=False)

    async def read_job(self, job_id: str, entry: RosterEntry | None) -> JobState:  # noqa: ARG002
        """Return the full state of a job, as `Backend.read_job` does.

        The row's status overrides its checkpoint's, so the state is consistent. The entry is not
        used: the row is as new.
        """
        return await self._thread.run(partial(self._read_state, job_id))

    async def read_checkpoint(self, job_id: str) -> bytes:
        """Return the checkpoint in a job's row, as `Backend.read_checkpoint` does."""
        row = await self._thread.run(partial(self._read_row, job_id))
        return row.get("checkpoint_json") or b"{}"

    async def close(self) -> None:
        """Let the thread end. The registry can be read again afterwards."""
        self._thread.close()

    def _read_entries(self, abandoned: threading.Event) -> dict[str, RosterEntry]:
        listed = {}
        for row in self._read(self._query_rows, abandoned):
            entry = make_entry_from_row(row)
            if entry is not None:
                listed[entry.job_id] = self._apply_digest(entry, row)
        for kept in (self._digests, self._first_ends):
            for job_id in kept.keys() - listed.keys():
                del kept[job_id]
        return listed

    def _read_row(self, job_id: str, abandoned: threading.Event) -> Row:
        rows = self._read(partial(query_job, job_id), abandoned) if is_encodable(job_id) else []
        if not rows:
            raise JobNotFoundError(job_id)
        return rows[0]

    def _read_state(self, job_id: str, abandoned: threading.Event) -> JobState:
        row, first_end = self._read_row(job_id, abandoned), self._first_ends.get(job_id)
        if first_end is not None and first_end[0] == row_run_key(row):
            row = {**row, "completed_at": first_end[1]}
        return make_state_from_row(job_id, row)

    def _read(self, query: Query[T], abandoned: threading.Event) -> T:
        """Run a query until the file stays the same before and after it."""
        path = self.find_path()
        self._thread.subject = f"the registry {path}"
        for _ in range(MAX_ATTEMPTS):
            seen = read_stamp(path)
            try:
                answer = self._run_query(seen, query, abandoned)
            except sqlite3.Error as error:
                if read_stamp(path) == seen:
                    raise make_read_error(error, seen) from error
            else:
                # A read with a -wal is one transaction; without one, writers are not locked out.
                if seen.has_journal or read_stamp(path) == seen:
                    return answer
        raise StateUnreadableError(
            f"the registry {path} changed during each of {MAX_ATTEMPTS} reads"
        )

    def _run_query(self, stamp: FileStamp, query: Query[T], abandoned: threading.Event) -> T:
        with open_database(stamp, self._busy_timeout_s, abandoned) as connection:
            return query(connection)

    def _query_rows(self, connection: sqlite3.Connection) -> list[Row]:
        columns = find_columns(connection)
        chosen = ", ".join(name for name in columns if name in ROSTER_COLUMNS)
        order = "submitted_at DESC, job_id" if "submitted_at" in columns else "job_id"
        # Of the columns only those are taken that are named in this module.
        query = f"SELECT {chosen} FROM jobs ORDER BY {order} LIMIT {MAX_ROWS}"  # noqa: S608
        rows = fetch_rows(connection, query)
        if "checkpoint_json" in columns:
            self._update_digests(connection, rows)
        return rows

    def _update_digests(self, connection: sqlite3.Connection, rows: list[Row]) -> None:
        """Decode the checkpoints of rows that have changed, for a limited time."""
        until = time.monotonic() + DIGEST_BUDGET_S
        query = f"SELECT {CHECKPOINT} FROM jobs WHERE job_id = ?"  # noqa: S608 - a constant
        for row in rows:
            job_id, key = text_or_none(row["job_id"]), row_digest_key(row)
            if job_id is None or not is_encodable(job_id):
                continue
            known = self._digests.get(job_id)
            if known is not None and known[0] == key:
                continue
            if time.monotonic() >= until:
                return
            for found in fetch_rows(connection, query, job_id):
                self._digests[job_id] = key, digest_row_checkpoint({**row, **found})

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
            error_message=entry.error_message
            or (digest.error_message if entry.status == "failed" else None),
        )


@contextmanager
def open_database(
    stamp: FileStamp, busy_timeout_s: float, abandoned: threading.Event
) -> Iterator[sqlite3.Connection]:
    """Open the registry; a query is interrupted once `abandoned` is set."""
    opened = sqlite3.connect(stamp.uri, uri=True, timeout=busy_timeout_s, isolation_level=None)
    with closing(opened) as connection:
        connection.set_progress_handler(abandoned.is_set, PROGRESS_HANDLER_STEPS)
        connection.row_factory = sqlite3.Row
        # A name that is not UTF-8 must not hide the others.
        connection.text_factory = lambda raw: raw.decode(errors="replace")
        yield connection


def query_job(job_id: str, connection: sqlite3.Connection) -> list[Row]:
    """Return the row of a job, if there is one."""
    columns = (CHECKPOINT if c == "checkpoint_json" else c for c in find_columns(connection))
    query = f"SELECT {', '.join(columns)} FROM jobs WHERE job_id = ?"  # noqa: S608 - the id is bound
    return fetch_rows(connection, query, job_id)


def find_columns(connection: sqlite3.Connection) -> list[str]:
    """Return the known columns that exist; raise DatabaseError if a required one is missing."""
    present = {row["name"] for row in fetch_rows(connection, "PRAGMA table_info(jobs)")}
    if not present:
        raise sqlite3.DatabaseError("it has no table named jobs")
    for name in REQUIRED_COLUMNS:
        if name not in present:
            raise sqlite3.DatabaseError(f"its table jobs has no column named {name}")
    return [name for name in JOB_COLUMNS if name in present]


def fetch_rows(connection: sqlite3.Connection, sql: str, *values: str) -> list[Row]:
    """Return the rows of a query, by column name."""
    return [dict(row) for row in connection.execute(sql, values)]


def is_encodable(job_id: str) -> bool:
    """Return True if an id can be sent to SQLite: a lone surrogate has no UTF-8."""
    try:
        job_id.encode()
    except UnicodeEncodeError:
        return False
    return True
