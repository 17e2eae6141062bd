"""Reader of the history, with a connection that cannot write and a thread of its own."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from marianne_stream.errors import HistoryClosedError, HistoryUnreadableError
from marianne_stream.history.database_thread import (
    STATEMENT_ERRORS,
    DatabaseThread,
    translate_error,
)
from marianne_stream.history.migrations import check_version

T = TypeVar("T")

# Limit of a read, with the reads before it. It is longer than the wait for a locked database.
READ_TIMEOUT_S = 3.0


class HistoryReader:
    """Reads one history, one query after another.

    Args:
        path: the file.

    Attributes:
        path: the same.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread: DatabaseThread | None = None
        self._is_closed = False

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Call a query in one transaction.

        Raises:
            HistoryClosedError: the reader was closed.
            HistoryUnreadableError: the file cannot be read right now.
            HistoryUnavailableError: it is no history, or another release wrote it.
        """
        if self._is_closed:
            raise HistoryClosedError(f"{self.path} was closed")
        if self._thread is None:
            self._thread = DatabaseThread("history-read", self.path, read_only=True)
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                return await self._thread.run(lambda database: read_consistently(database, query))
        except TimeoutError as error:
            raise HistoryUnreadableError(
                f"{self.path}: no answer within {READ_TIMEOUT_S:g} s"
            ) from error
        except STATEMENT_ERRORS as error:
            raise translate_error(self.path, error) from error

    async def close(self) -> None:
        """Close the file for good, after the reads that have begun."""
        self._is_closed = True
        if self._thread is not None:
            thread, self._thread = self._thread, None
            await thread.close()


def read_consistently(database: sqlite3.Connection, query: Callable[[sqlite3.Connection], T]) -> T:
    """Return the result of a query whose statements all see the same state of the database."""
    database.execute("BEGIN")
    try:
        # A newer release may have taken the file over since the last query.
        check_version(database)
        return query(database)
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")
