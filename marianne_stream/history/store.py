"""History store: one SQLite file for each conductor, written by one process at a time.

Reads and writes run in threads of their own, so neither waits for the other (write-ahead logging).
"""

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Callable, Container
from pathlib import Path
from typing import TypeVar

from marianne_stream.errors import HistoryLockedError, HistoryUnavailableError
from marianne_stream.fanout.epochs import Epoch
from marianne_stream.history import retention, writes
from marianne_stream.history.database_thread import (
    STATEMENT_ERRORS,
    DatabaseThread,
    translate_error,
)
from marianne_stream.history.history_reader import HistoryReader
from marianne_stream.history.migrations import migrate
from marianne_stream.history.records import JobRun, WriteBatch

T = TypeVar("T")


def history_path(data_dir: Path, source: Path) -> Path:
    """Return the path of the history of a conductor.

    Args:
        data_dir: directory of this server's data.
        source: path of the conductor's socket, or of what is read in its place.
    """
    digest = hashlib.sha256(os.fsencode(source.expanduser().absolute())).hexdigest()
    return data_dir / f"history-{digest[:12]}.db"


class HistoryStore:
    """The history of one conductor.

    Args:
        path: the file; its directory is created if it is missing.
        max_age_s: age at which records are removed.
        max_bytes: size above which the oldest records are removed.

    Attributes:
        path: the same.
        is_writable: True if this process holds the lock.
        size_bytes: size of the records at the last check.
        on_write: hook that adds to each batch that is written; None for none.
    """

    def __init__(self, path: Path, *, max_age_s: float, max_bytes: int) -> None:
        self.path = path
        self.is_writable = False
        self.size_bytes = 0
        self.on_write: writes.WriteHook | None = None
        self._limits = retention.Limits(max_age_s, max_bytes)
        self._reader = HistoryReader(path)
        self._writer: DatabaseThread | None = None
        self._lock_fd: int | None = None

    async def open(self) -> None:
        """Open the file for writing, and create it if it is missing.

        Raises:
            HistoryLockedError: another process writes it; it can be read all the same.
            HistoryBusyError: another program has locked the database.
            HistoryUnavailableError: it is no history or a newer one, or cannot be written.
        """
        try:
            create_private_file(self.path)
            self._lock_fd = lock_file(self.path.with_suffix(".lock"))
            self._writer = DatabaseThread("history-write", self.path, read_only=False)
            await self._writer.run(prepare)
            self.is_writable = True
        except (OSError, sqlite3.Error) as error:
            raise translate_error(self.path, error) from error
        finally:
            if not self.is_writable:
                await self.stop_writing()

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Call a query in one transaction, with a connection that cannot write.

        Raises:
            HistoryClosedError: the history was closed.
            HistoryUnreadableError: the file cannot be read right now.
            HistoryUnavailableError: it is no history, or another release wrote it.
        """
        return await self._reader.read(query)

    async def write(self, batch: WriteBatch, epoch: str) -> int:
        """Write a batch in one transaction, and return the number of records that have changed.

        Args:
            batch: what to write.
            epoch: the epoch of its events.

        Raises:
            HistoryBusyError: another program has locked the database.
            HistoryUnavailableError: it cannot be written.
        """
        return await self._write(
            lambda database: writes.write_batch(database, batch, epoch, self.on_write)
        )

    async def execute(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Call a function that may write, in one transaction; raises as `write` does."""
        return await self._write(lambda database: writes.execute(database, function))

    async def begin_epoch(self, epoch: str, last_number: int) -> Epoch:
        """Store the epoch of a process that has sent events; raises as `write` does.

        Args:
            epoch: the epoch.
            last_number: number of its last event until now.
        """
        return await self._write(lambda database: writes.begin_epoch(database, epoch, last_number))

    async def begin_restored_epoch(
        self, epoch: str, limit: int, max_bytes: int
    ) -> writes.RestoredEvents:
        """Store the epoch of a process that has sent no event; raises as `write` does.

        Args:
            epoch: the epoch.
            limit: largest number of earlier events that are returned.
            max_bytes: largest size of their data together, in bytes.
        """
        return await self._write(
            lambda database: writes.begin_restored_epoch(database, epoch, limit, max_bytes)
        )

    async def prune(self, open_runs: Container[JobRun] = ()) -> frozenset[JobRun]:
        """Remove what is too old or too much; raises as `write` does.

        Args:
            open_runs: runs that have not ended, which do not become too old.

        Returns:
            the runs that were removed.
        """
        pruned = await self._write(
            lambda database: retention.prune(database, self._limits, open_runs)
        )
        self.size_bytes = pruned.size_bytes
        return pruned.runs

    async def close(self) -> None:
        """Close the file for good, and let another process write it."""
        await asyncio.gather(self._reader.close(), self.stop_writing())

    async def stop_writing(self) -> None:
        """Let another process write the file; it can still be read."""
        self.is_writable = False
        if self._writer is not None:
            writer, self._writer = self._writer, None
            await writer.close()
        self._unlock()

    async def _write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        if self._writer is None:
            raise HistoryUnavailableError("the history is closed")
        try:
            return await self._writer.run(function)
        except STATEMENT_ERRORS as error:
            raise translate_error(self.path, error) from error

    def _unlock(self) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None


def prepare(database: sqlite3.Connection) -> None:
    """Set a new connection up for writing, and bring the schema up to date."""
    # First of all: the file of a newer release stays as it is.
    migrate(database)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=NORMAL")


def create_private_file(path: Path) -> None:
    """Create a file with mode 0600 unless it exists, and the directory that it is in.

    A file that exists is not opened: to close it would drop the locks that SQLite holds on it in
    this process (https://sqlite.org/howtocorrupt.html 2.2).
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def lock_file(path: Path) -> int:
    """Lock a file against other processes, and return its descriptor, whose end unlocks it.

    Raises:
        HistoryLockedError: another process has locked it.
        OSError: it cannot be created or locked.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if error.errno == errno.EWOULDBLOCK:
            raise HistoryLockedError("another server records this conductor") from error
        raise
    return fd
