"""Store of browser sessions in SQLite, which the processes of one machine can share.

A restart signs nobody out, and a session that ends has ended in every process.
"""

import asyncio
import logging
import os
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Set as AbstractSet
from dataclasses import astuple, dataclass
from pathlib import Path

import aiosqlite
import msgspec

from marianne_stream.auth.tokens import digest_secret
from marianne_stream.common.repeated_logs import WarnOnce

logger = logging.getLogger(__name__)

DATABASE_FILENAME = "sessions.db"

SESSION_ID_BYTES = 32

# Beyond these, the sessions that expire first are dropped: first those of the same token, so that
# the bearer of a token signs out nobody else.
MAX_SESSIONS = 10_000
MAX_SESSIONS_PER_TOKEN = 1_000

# Time to wait for another process that writes.
BUSY_TIMEOUT_S = 2.0
BUSY_RETRY_S = 0.02

SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    digest TEXT PRIMARY KEY, token TEXT NOT NULL, expires_at REAL NOT NULL
)
"""
INSERT = "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)"
SELECT = "SELECT digest, token, expires_at FROM sessions WHERE digest = ?"
SELECT_VALID = """
SELECT digest FROM sessions
WHERE expires_at > ? AND digest IN (SELECT value FROM json_each(?))
"""
DELETE = "DELETE FROM sessions WHERE digest = ?"
PRUNE = """
DELETE FROM sessions WHERE expires_at <= :now OR digest IN (
    SELECT digest FROM (
        SELECT digest,
            row_number() OVER (PARTITION BY token ORDER BY expires_at DESC, rowid DESC) AS of_token,
            row_number() OVER (ORDER BY expires_at DESC, rowid DESC) AS of_all
        FROM sessions WHERE expires_at > :now
    ) WHERE of_token > :per_token OR of_all > :total
)
"""


@dataclass(frozen=True, slots=True)
class Session:
    """Session of a browser: digests of its id and its token, and its end in epoch seconds."""

    digest: str
    token: str
    expires_at: float


class SessionStore:
    """All sessions, by the hashes of their ids.

    What cannot be written to the database is kept in memory and written later. If it cannot be
    read, its sessions are invalid. Without a `data_dir` there is no database.
    """

    def __init__(self, data_dir: Path | None, *, max_age_s: float) -> None:
        self._path = data_dir / DATABASE_FILENAME if data_dir is not None else None
        self._max_age_s = max_age_s
        self._database: aiosqlite.Connection | None = None
        # Sessions that the database does not have yet, by digest; None for one to delete from it.
        self._unsaved: dict[str, Session | None] = {}
        self._save_lock = asyncio.Lock()
        self._warning = WarnOnce(logger)

    async def open(self) -> None:
        """Open the database, unless it is open.

        If that fails, log a warning and keep sessions in memory; `find_ended` tries again.
        """
        if self._path is None or self._database is not None:
            return
        try:
            self._database = await open_database(self._path)
        except (OSError, sqlite3.Error) as error:
            self._warning.warn("sessions kept in memory path=%s error=%s", self._path, error)
        else:
            self._warning.recover("sessions database opened path=%s", self._path)

    async def close(self) -> None:
        """Write what could not be written before, and close the database."""
        await self._save()
        database, self._database = self._database, None
        if database is not None:
            await database.close()

    async def get(self, session_id: str) -> Session | None:
        """Return the session with an id, or None if there is none or it has ended."""
        # The lookup is by the hash of a random id: its timing tells nothing about other ids.
        digest = digest_secret(session_id)
        is_unsaved = digest in self._unsaved
        session = self._unsaved[digest] if is_unsaved else await self._select(digest)
        return session if session is not None and session.expires_at > time.time() else None

    async def create(self, token_digest: str) -> str:
        """Open a session with a token, and return its id."""
        session_id = secrets.token_urlsafe(SESSION_ID_BYTES)
        session = Session(digest_secret(session_id), token_digest, time.time() + self._max_age_s)
        self._unsaved[session.digest] = session
        await self._save()
        return session_id

    async def revoke(self, session: Session) -> None:
        """End a session for good."""
        self._unsaved[session.digest] = None
        await self._save()

    async def find_ended(self, digests: AbstractSet[str]) -> AbstractSet[str]:
        """Return those of some sessions that have ended, here or in another process.

        Also opens the database and writes to it, if that was not possible before.
        """
        await self.open()
        await self._save()
        now = time.time()
        valid = {
            digest
            for digest in digests
            if (session := self._unsaved.get(digest)) is not None and session.expires_at > now
        }
        if saved := digests - self._unsaved.keys():
            parameters = (now, msgspec.json.encode(sorted(saved)).decode())
            valid.update(row[0] for row in await self._fetch(SELECT_VALID, parameters))
        return digests - valid

    async def _select(self, digest: str) -> Session | None:
        rows = await self._fetch(SELECT, (digest,))
        return Session(*rows[0]) if rows else None

    async def _fetch(self, query: str, parameters: tuple[object, ...]) -> list[sqlite3.Row]:
        """Return the rows of a query; none if the database cannot be read."""
        if self._database is None:
            return []
        try:
            return list(await self._database.execute_fetchall(query, parameters))
        except sqlite3.Error as error:
            self._warning.warn("sessions not readable path=%s error=%s", self._path, error)
            return []

    async def _save(self) -> None:
        """Write what the database does not have yet; keep what it cannot take."""
        if not self._unsaved:
            return
        async with self._save_lock:
            try:
                if self._database is not None:
                    await self._write(self._database)
                    self._warning.recover("sessions saved path=%s", self._path)
            except sqlite3.Error as error:
                self._warning.warn("sessions not saved path=%s error=%s", self._path, error)
            self._prune_unsaved()

    async def _write(self, database: aiosqlite.Connection) -> None:
        for digest in list(self._unsaved):
            session = self._unsaved[digest]
            if session is None:
                await database.execute(DELETE, (digest,))
            else:
                await database.execute(INSERT, astuple(session))
            # It may have been revoked while it was written.
            if self._unsaved[digest] is session:
                del self._unsaved[digest]
        limits = {"per_token": MAX_SESSIONS_PER_TOKEN, "total": MAX_SESSIONS}
        await database.execute(PRUNE, {"now": time.time(), **limits})

    def _prune_unsaved(self) -> None:
        """Drop the sessions that have expired, and the oldest of those above the limits."""
        now = time.time()
        kept_count, kept_by_token = 0, Counter[str]()
        sessions = filter(None, self._unsaved.values())
        for session in sorted(sessions, key=lambda one: -one.expires_at):
            if (
                session.expires_at <= now
                or kept_count == MAX_SESSIONS
                or kept_by_token[session.token] == MAX_SESSIONS_PER_TOKEN
            ):
                del self._unsaved[session.digest]
            else:
                kept_count += 1
                kept_by_token[session.token] += 1
        if self._database is None:
            # No other process has the sessions that have ended.
            self._unsaved = {i: session for i, session in self._unsaved.items() if session}


async def open_database(path: Path) -> aiosqlite.Connection:
    """Open the database of sessions, which only its owner can read; create it if it is missing.

    Raises:
        OSError: the file cannot be created.
        sqlite3.Error: the file is not a database, or cannot be written.
    """
    create_private_file(path)
    database = aiosqlite.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    await database
    try:
        await set_wal_mode(database)
        await database.execute(SCHEMA)
    except BaseException:
        await database.close()
        raise
    return database


async def set_wal_mode(database: aiosqlite.Connection) -> None:
    """Switch to write-ahead logging.

    SQLite's own timeout does not cover two processes that do so at once: one of them fails at once.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + BUSY_TIMEOUT_S
    while True:
        try:
            await database.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or loop.time() >= deadline:
                raise
        else:
            return
        await asyncio.sleep(BUSY_RETRY_S)


def create_private_file(path: Path) -> None:
    """Create a file with mode 0600 unless it exists, and the directory that it is in."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
