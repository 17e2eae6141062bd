"""The registry's file: what it looked like at a moment, how to open it, and why that fails."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from marianne_stream.errors import StateUnreadableError


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What the registry's file looked like at one moment: equal for as long as nobody wrote it."""

    # With no link in it: SQLite keeps its -wal beside the file itself.
    path: Path
    # Whether a journal is beside it: somebody writes, or was killed at it.
    has_journal: bool
    device: int
    inode: int
    mtime_ns: int
    size_bytes: int

    @property
    def uri(self) -> str:
        """Where to open it. `mode=ro` beside immutable too: SQLite's default creates the file."""
        return f"{self.path.as_uri()}?mode=ro{'' if self.has_journal else '&immutable=1'}"


def read_stamp(path: Path) -> FileStamp:
    """Look at the registry's file without opening it. Blocks.

    Raises:
        StoreUnreadableError: it is missing, is not a regular file, or is out of reach.
    """
    try:
        file = path.resolve(strict=True)
        found = file.stat()
        # A rollback journal occurs for a moment, when a conductor has just created its registry.
        journalled = any(sibling_path(file, end).exists() for end in ("-wal", "-journal"))
    except FileNotFoundError as error:
        raise StateUnreadableError(f"there is no registry at {path}") from error
    except PermissionError as error:
        raise StateUnreadableError(
            f"the registry {path} is out of reach: no permission to search a folder on the way"
        ) from error
    # RuntimeError: Python before 3.13 says so of links that go in a circle.
    except (OSError, RuntimeError) as error:
        raise StateUnreadableError(f"the registry {path} is out of reach: {error}") from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise StateUnreadableError(f"the registry {path} is {kind}, expected an SQLite database")
    return FileStamp(file, journalled, found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def sibling_path(file: Path, suffix: str) -> Path:
    """The file that SQLite keeps beside a database under the same name and an ending."""
    return file.with_name(file.name + suffix)


def make_read_error(error: Exception, stamp: FileStamp) -> StateUnreadableError:
    """Why it cannot be read: the permission that is missing, else SQLite's words. Blocks."""
    if isinstance(error, StateUnreadableError):
        return error
    reason = describe_missing_permission(stamp) or str(error)
    return StateUnreadableError(f"the registry {stamp.path} cannot be read: {reason}")


def describe_missing_permission(stamp: FileStamp) -> str | None:
    """Which permission is missing to read the registry as it was tried, and on what. Blocks."""
    wal, shm = sibling_path(stamp.path, "-wal"), sibling_path(stamp.path, "-shm")
    for file in (stamp.path, wal, shm):
        if file.exists() and not os.access(file, os.R_OK):
            return f"no permission to read {file}"
    folder = stamp.path.parent
    if stamp.has_journal and not shm.exists() and not os.access(folder, os.W_OK):
        return f"no permission to write to the folder {folder}, and there is no {shm.name} in it"
    return None
