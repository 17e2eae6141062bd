"""Backend for a folder of JSON checkpoints, one file for each job.

Marianne writes each file under a temporary name and renames it. Only regular files are read, never
through links, and an unreadable file concerns its job alone.
"""

import errno
import logging
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from marianne_stream.backends.checkpoint import (
    Checkpoint,
    CheckpointId,
    decode_checkpoint,
    make_state,
    to_epoch_s,
)
from marianne_stream.backends.reader_thread import READ_TIMEOUT_S, ReaderThread
from marianne_stream.errors import CorruptStateError, JobNotFoundError, StateUnreadableError
from marianne_stream.models import JobState, Roster, RosterEntry
from marianne_stream.wire import json_text

logger = logging.getLogger(__name__)

# The conductor's largest message, and so the largest checkpoint.
MAX_FILE_BYTES = 16 * 1024 * 1024

# A file that changed this shortly before it was read can change again and keep its time: file
# systems count in ticks of up to 10 ms.
MTIME_GRANULARITY_NS = 50_000_000


@dataclass(frozen=True, slots=True)
class CachedFile:
    """Result of the last read of a file.

    Attributes:
        stamp: inode, modification time in nanoseconds, and size in bytes.
        entry: None if the file has no checkpoint of the job in its name.
        is_stable: True if the same stamp means the same content, or the same error.
    """

    stamp: tuple[int, int, int]
    entry: RosterEntry | None
    is_stable: bool


class CheckpointDirBackend:
    """Reads jobs from a folder of checkpoints, which need not exist and is never created."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Used in the thread only.
        self._cached_files: dict[str, CachedFile] = {}
        self._thread = ReaderThread(
            "checkpoints", f"the folder of checkpoints {folder}", queue_timeout_s=READ_TIMEOUT_S
        )

    async def read_roster(self) -> Roster:
        """Return every job in the folder, newest first, as `Backend.read_roster` does.

        An unreadable file is left out. A checkpoint has no submission time; the time of its
        creation stands for it.
        """
        entries = await self._thread.run(self._list_entries)
        entries.sort(key=lambda entry: entry.submitted_at or 0.0, reverse=True)
        listed = {entry.job_id: entry for entry in entries}
        return Roster(entries=listed, source="json", live=False)

    async def read_job(self, job_id: str, entry: RosterEntry | None) -> JobState:  # noqa: ARG002
        """Return the full state of a job, as `Backend.read_job` does.

        Several ids have one file name; the id in the file decides. The entry is not used: the file
        is as new.
        """

        def find(_abandoned: threading.Event) -> JobState:
            with open_dir(self.folder) as folder_fd:
                return load_checkpoint(folder_fd, checkpoint_file_name(job_id))[1]

        try:
            state = await self._thread.run(find)
        except FileNotFoundError as error:
            raise JobNotFoundError(job_id) from error
        # A file with an empty stem begins with a dot, like temporary files.
        if state.job_id != job_id or not job_id:
            raise JobNotFoundError(job_id)
        return state

    async def read_checkpoint(self, job_id: str) -> bytes:
        """Return the content of a job's file, as `Backend.read_checkpoint` does."""
        name = checkpoint_file_name(job_id)

        def find(_abandoned: threading.Event) -> tuple[bytes, str]:
            with open_dir(self.folder) as folder_fd, translate_errors(name):
                content = read_file(folder_fd, name)
                return content, json_text.decode(content, CheckpointId).job_id

        try:
            content, found_id = await self._thread.run(find)
        except FileNotFoundError as error:
            raise JobNotFoundError(job_id) from error
        if found_id != job_id:
            raise JobNotFoundError(job_id)
        return content

    async def close(self) -> None:
        """Let the thread end. The folder can be read again afterwards."""
        self._thread.close()

    def _list_entries(self, _abandoned: threading.Event) -> list[RosterEntry]:
        """Return the entries of all files; unchanged files are not read again."""
        present = set()
        try:
            with open_dir(self.folder) as folder_fd, os.scandir(folder_fd) as files:
                for file in files:
                    if file.name.endswith(".json") and not file.name.startswith("."):
                        present.add(file.name)
                        self._update_cached_file(folder_fd, file)
        except OSError as error:
            raise StateUnreadableError(
                f"the folder of checkpoints {self.folder} cannot be listed: {error.strerror}"
            ) from error
        for name in self._cached_files.keys() - present:
            del self._cached_files[name]
        return [known.entry for known in self._cached_files.values() if known.entry is not None]

    def _update_cached_file(self, folder_fd: int, file: "os.DirEntry[str]") -> None:
        """Read a file unless its stamp is known. Log each failure once for each stamp."""
        known = self._cached_files.pop(file.name, None)
        entry = None
        try:
            found = file.stat(follow_symlinks=False)
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
            if known is not None and known.stamp == stamp and known.is_stable:
                self._cached_files[file.name] = known
                return
            is_stable = abs(time.time_ns() - found.st_mtime_ns) > MTIME_GRANULARITY_NS
            entry = read_entry(folder_fd, file.name)
        except FileNotFoundError:
            # It was removed since the folder was listed.
            return
        except CorruptStateError as error:
            if known is None or known.stamp != stamp:
                logger.warning("checkpoint skipped folder=%s error=%s", self.folder, error)
            # Permissions and system limits change without a new stamp.
            is_stable = is_stable and not isinstance(error.__cause__, OSError)
        self._cached_files[file.name] = CachedFile(stamp, entry, is_stable)


def checkpoint_file_name(job_id: str) -> str:
    """Return the file name of a job, as Marianne makes it: letters, digits, `-` and `_` stay."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in job_id) + ".json"


@contextmanager
def open_dir(folder: Path) -> Iterator[int]:
    """Open the folder, out of which no relative name leads, or raise StateUnreadableError."""
    try:
        folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StateUnreadableError(
            f"the folder of checkpoints {folder} cannot be read: {error.strerror}"
        ) from error
    try:
        yield folder_fd
    finally:
        os.close(folder_fd)


def read_entry(folder_fd: int, name: str) -> RosterEntry:
    """Return the roster entry of the job in a file.

    Raises:
        FileNotFoundError: there is no such file.
        CorruptStateError: the file is unreadable, or its job has another file name.
    """
    checkpoint, state = load_checkpoint(folder_fd, name)
    if checkpoint_file_name(state.job_id) != name:
        raise CorruptStateError(f"{name!r} contains the checkpoint of job {state.job_id!r}")
    return RosterEntry(
        job_id=state.job_id,
        status=state.status,
        submitted_at=to_epoch_s(checkpoint.submitted_at or checkpoint.created_at),
        started_at=to_epoch_s(checkpoint.started_at),
        completed_sheets=state.completed_sheets,
        total_sheets=state.total_sheets,
        workspace=state.workspace,
        completed_at=to_epoch_s(checkpoint.completed_at) if state.is_terminal else None,
    )


def load_checkpoint(folder_fd: int, name: str) -> tuple[Checkpoint, JobState]:
    """Decode a file of the folder. Its status is final: there is no other source of it.

    Raises:
        FileNotFoundError: there is no such file.
        CorruptStateError: it cannot be read or decoded.
    """
    with translate_errors(name):
        checkpoint = decode_checkpoint(read_file(folder_fd, name))
        return checkpoint, make_state(
            checkpoint, None, source="json", live=False, trust_status=True
        )


@contextmanager
def translate_errors(name: str) -> Iterator[None]:
    """Translate the errors of an unreadable file into the errors of `load_checkpoint`."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise FileNotFoundError(name) from error
        raise CorruptStateError(f"{name!r} cannot be read: {error.strerror}") from error
    except (ValueError, OverflowError, RecursionError) as error:
        raise CorruptStateError(f"{name!r} is not a checkpoint: {error}") from error


def read_file(folder_fd: int, name: str) -> bytes:
    """Read a regular file of the folder without following links.

    Raises:
        OSError: it cannot be opened or read.
        CorruptStateError: it is not a regular file, or is larger than a checkpoint can be.
    """
    # Without O_NONBLOCK, opening a named pipe waits for a writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(name, flags, dir_fd=folder_fd)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise CorruptStateError(f"{name!r} is not a regular file")
        if found.st_size > MAX_FILE_BYTES:
            raise CorruptStateError(
                f"{name!r} has {found.st_size} bytes, expected at most {MAX_FILE_BYTES}"
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            # A file that grows meanwhile is cut off, and does not decode.
            return file.read(MAX_FILE_BYTES)
    finally:
        os.close(descriptor)
