"""Thread for the statements of one connection to the history's database."""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from marianne_stream.common.daemon_thread import DaemonThread
from marianne_stream.errors import (
    HistoryBusyError,
    HistoryUnavailableError,
    HistoryUnreadableError,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Time to wait for a process that copies or inspects the file.
BUSY_TIMEOUT_S = 2.0

# Time to wait for a file system that does not answer; then the thread is left to itself.
CLOSE_TIMEOUT_S = 3.0

# Errors of statements: the file cannot be used, or a value does not fit SQLite's types.
STATEMENT_ERRORS = (sqlite3.Error, OverflowError, ValueError, TypeError)


class DatabaseThread:
    """A connection to SQLite and the only thread that uses it. It connects with the first call.

    Args:
        name: name of the thread.
        path: the file.
        read_only: True if no call writes.
    """

    def __init__(self, name: str, path: Path, *, read_only: bool) -> None:
        self._path = path
        self._read_only = read_only
        self._connection: sqlite3.Connection | None = None
        self._thread = DaemonThread(name)

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Call a function with the connection, after all earlier calls.

        If this is cancelled before the call begins, the call is left out.

        Raises:
            sqlite3.Error: there is no connection, or as the function does.
        """
        return await asyncio.wrap_future(self._thread.submit(lambda: function(self._connect())))

    async def close(self) -> None:
        """Wait for the earlier calls for a limited time, and close the connection."""
        closing = asyncio.wrap_future(self._thread.submit(self._disconnect))
        self._thread.close()
        done, _ = await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT_S)
        if done:
            closing.result()
        else:
            logger.warning("history not closed path=%s timeout=%gs", self._path, CLOSE_TIMEOUT_S)

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            mode = "mode=rwc"
            if self._read_only:
                mode = "immutable=1" if is_unchangeable(self._path) else "mode=ro"
            uri = f"{self._path.absolute().as_uri()}?{mode}"
            self._connection = sqlite3.connect(
                uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
            )
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def is_unchangeable(path: Path) -> bool:
    """Return whether a file is complete and in a directory that cannot be written.

    SQLite cannot lock such a file while it is read.
    """
    return not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists()


def translate_error(path: Path, error: Exception) -> HistoryUnavailableError:
    """Return the error of the history for the error of a statement or of the file."""
    message = f"{path}: {error}"
    if isinstance(error, sqlite3.Error) and is_busy(error):
        return HistoryBusyError(message)
    # Errors of the environment, not of the content: EIO, EMFILE, permissions.
    is_file = os.path.isfile(path)  # noqa: PTH113 - raises no PermissionError
    if isinstance(error, sqlite3.OperationalError) and is_file:
        return HistoryUnreadableError(message)
    return HistoryUnavailableError(message)


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether a statement failed because another program has locked the database."""
    # The low byte is the kind of the error (https://sqlite.org/rescode.html).
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_BUSY
