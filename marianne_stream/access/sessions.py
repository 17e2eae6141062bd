"""The sessions of browsers that have signed in: random ids, kept hashed, in a file.

A restart signs nobody out, and a session that has ended has ended for every process that shares the
file. It must not know what a cookie is.
"""

import fcntl
import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from marianne_stream.access.tokens import digest_of

logger = logging.getLogger(__name__)

ID_BYTES = 32

# Beyond it, those that end first make room.
MAX_SESSIONS = 10_000


class Session(msgspec.Struct, frozen=True):
    """A session.

    Attributes:
        token: the digest of the token that it was opened with.
        ends_at: when it ends by itself, in epoch seconds.
    """

    token: str
    ends_at: float


Known = dict[str, Session]


class Sessions:
    """All sessions, by the digests of their ids.

    Args:
        folder: where their file is; None keeps them in memory.
        max_age_s: how long one lasts.
    """

    def __init__(self, folder: Path | None, *, max_age_s: float) -> None:
        self._folder = folder
        self._max_age_s = max_age_s
        self._known: Known = {}
        # What tells one version of the file from the next.
        self._version: tuple[int, int, int] | None = None

    def find(self, session_id: str) -> tuple[str, Session] | None:
        """The session with an id, and the digest of that; None where there is none any more."""
        self.refresh()
        # A digest of a random id: looking it up tells nothing of another one.
        digest = digest_of(session_id)
        session = self._known.get(digest)
        if session is None or session.ends_at <= time.time():
            return None
        return digest, session

    def is_open(self, digest: str) -> bool:
        """Whether the session with this digest goes on."""
        session = self._known.get(digest)
        return session is not None and session.ends_at > time.time()

    def add(self, token: str) -> str:
        """Opens a session with the token of this digest, and gives its id."""
        session_id = secrets.token_urlsafe(ID_BYTES)
        with self._changing():
            if len(self._known) >= MAX_SESSIONS:
                first = sorted(self._known, key=lambda digest: self._known[digest].ends_at)
                for digest in first[: len(self._known) - MAX_SESSIONS + 1]:
                    del self._known[digest]
            ends_at = time.time() + self._max_age_s
            self._known[digest_of(session_id)] = Session(token, ends_at)
        return session_id

    def remove(self, session_id: str) -> None:
        """Ends a session, for good."""
        with self._changing():
            self._known.pop(digest_of(session_id), None)

    def refresh(self) -> None:
        """Reads the file where another process has written it."""
        if self._folder is None:
            return
        path = self._folder / "sessions.json"
        try:
            status = path.stat()
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if version == self._version:
                return
            self._known = msgspec.json.decode(path.read_bytes(), type=Known)
            self._version = version
        except FileNotFoundError:
            self._known, self._version = {}, None
        except (OSError, ValueError) as error:
            # Whoever was signed in signs in again: better than to let in who signed out.
            if self._known or self._version is not None:
                logger.warning("the sessions cannot be read, and nobody is signed in: %s", error)
            self._known, self._version = {}, None

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Holds the file for a change, and writes it whole."""
        if self._folder is None:
            yield
            return
        try:
            lock = os.open(self._folder / "sessions.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            logger.warning("sessions end with this process, they cannot be kept: %s", error)
            self._folder = None
            yield
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.refresh()
            yield
            now = time.time()
            self._known = {d: one for d, one in self._known.items() if one.ends_at > now}
            self._write()
        finally:
            os.close(lock)

    def _write(self) -> None:
        if self._folder is None:
            return
        path = self._folder / "sessions.json"
        made = self._folder / f".sessions-{secrets.token_hex(8)}"
        try:
            descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(self._known))
            made.replace(path)
            status = path.stat()
            self._version = (status.st_ino, status.st_mtime_ns, status.st_size)
        except OSError as error:
            made.unlink(missing_ok=True)
            logger.warning("sessions end with this process, they cannot be kept: %s", error)
            self._folder = None
