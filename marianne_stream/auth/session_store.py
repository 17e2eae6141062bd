"""The sessions of browsers that have signed in: random ids, kept hashed, in a file.

A restart signs nobody out, and a session that has ended has ended for every process that shares the
file. It must not know what a cookie is.
"""

import fcntl
import logging
import os
import secrets
import time
from collections import Counter
from pathlib import Path

import msgspec

from marianne_stream.auth.tokens import digest_secret

logger = logging.getLogger(__name__)

SESSION_ID_BYTES = 32

LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC

# Beyond it, those that end first make room: those of the same token first, so that who has one
# for a few jobs signs out nobody else.
MAX_SESSIONS = 10_000
MAX_SESSIONS_PER_TOKEN = 1_000


class Session(msgspec.Struct, frozen=True):
    """A session.

    Attributes:
        token: the digest of the token that it was opened with.
        ends_at: when it ends by itself, in epoch seconds.
    """

    token: str
    ends_at: float


SessionMap = dict[str, Session]


class SessionStore:
    """All sessions, by the digests of their ids.

    Args:
        folder: where their file is; None keeps them in memory.
        max_age_s: how long one lasts.
    """

    def __init__(self, folder: Path | None, *, max_age_s: float) -> None:
        self._folder = folder
        self._max_age_s = max_age_s
        self._stored: SessionMap = {}
        # What tells one version of the file from the next.
        self._file_version: tuple[int, int, int] | None = None
        # What is not in the file yet: it holds all the same.
        self._pending_added: SessionMap = {}
        self._pending_removed: set[str] = set()
        self._is_write_failing = False

    def get(self, session_id: str) -> tuple[str, Session] | None:
        """The session with an id, and the digest of that; None where there is none any more."""
        self._read()
        # A digest of a random id: looking it up tells nothing of another one.
        digest = digest_secret(session_id)
        session = self._get_valid(digest)
        return (digest, session) if session is not None else None

    def is_valid(self, digest: str) -> bool:
        """Whether the session with this digest goes on."""
        return self._get_valid(digest) is not None

    def create(self, token_digest: str) -> str:
        """Opens a session with the token of this digest, and gives its id."""
        session_id = secrets.token_urlsafe(SESSION_ID_BYTES)
        self._pending_added[digest_secret(session_id)] = Session(
            token_digest, time.time() + self._max_age_s
        )
        # Where they cannot be written, they stay here.
        self._pending_added = prune(self._pending_added)
        self._write()
        return session_id

    def revoke(self, session_id: str) -> None:
        """Ends a session, for good."""
        digest = digest_secret(session_id)
        self._pending_added.pop(digest, None)
        self._pending_removed.add(digest)
        self._write()

    def sync(self) -> None:
        """Writes what could not be written before, and reads what others have."""
        if self._pending_added or self._pending_removed:
            self._write()
        self._read()

    def _get_valid(self, digest: str) -> Session | None:
        if digest in self._pending_removed:
            return None
        session = self._pending_added.get(digest) or self._stored.get(digest)
        return session if session is not None and session.ends_at > time.time() else None

    def _read(self) -> None:
        """Reads the file where it is another than before."""
        if self._folder is None:
            return
        path = self._folder / "sessions.json"
        try:
            status = path.stat()
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if version != self._file_version:
                self._stored = msgspec.json.decode(path.read_bytes(), type=SessionMap)
                self._file_version = version
        except FileNotFoundError:
            self._stored, self._file_version = {}, None
        except (OSError, ValueError) as error:
            # Whoever was signed in signs in again: better than to let in who signed out.
            if self._stored:
                logger.warning("the sessions cannot be read, and nobody is signed in: %s", error)
            self._stored, self._file_version = {}, None

    def _write(self) -> None:
        """Brings the file up to date; what cannot be written is kept, and written later."""
        if self._folder is None:
            return
        try:
            lock = os.open(self._folder / "sessions.lock", LOCK_FLAGS, 0o600)
            try:
                # Another process holds it for a moment; a second later it will not.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._read()
                self._replace(self._folder / "sessions.json")
            finally:
                os.close(lock)
        except BlockingIOError:
            return
        except OSError as error:
            if not self._is_write_failing:
                logger.warning("sessions cannot be kept, they end with this process: %s", error)
            self._is_write_failing = True
            return
        self._is_write_failing = False
        self._pending_added.clear()
        self._pending_removed.clear()

    def _replace(self, path: Path) -> None:
        """Writes all sessions that go on into a file, in the place of the one there was."""
        known = {**self._stored, **self._pending_added}
        for digest in self._pending_removed:
            known.pop(digest, None)
        made = path.with_name(f".sessions-{secrets.token_hex(8)}")
        try:
            descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(prune(known)))
            made.replace(path)
        finally:
            made.unlink(missing_ok=True)
        self._file_version = None
        self._read()


def prune(sessions: SessionMap) -> SessionMap:
    """Sessions that go on; where there are too many, without those that end first."""
    now = time.time()
    of_one: Counter[str] = Counter()
    kept: SessionMap = {}
    for digest, session in sorted(sessions.items(), key=lambda pair: -pair[1].ends_at):
        if session.ends_at <= now or len(kept) == MAX_SESSIONS:
            break
        of_one[session.token] += 1
        if of_one[session.token] <= MAX_SESSIONS_PER_TOKEN:
            kept[digest] = session
    return kept
