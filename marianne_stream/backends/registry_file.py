"""File of the registry: its stamp, its URI, and the causes of read errors."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from marianne_stream.errors import StateUnreadableError


@dataclass(frozen=True, slots=True)
class FileStamp:
    """Identity and version of the registry's file: equal stamps mean that it was not written.

    Attributes:
        path: resolved path, since SQLite keeps the -wal beside the file itself.
        has_journal: True if a journal is beside it: a process writes, or was killed writing.
    """

    path: Path
    has_journal: bool
    device: int
    inode: int
    mtime_ns: int
    size_bytes: int

    @property
    def uri(self) -> str:
        """URI for SQLite. `mode=ro` also with `immutable`: the default mode creates the file."""
        return f"{self.path.as_uri()}?mode=ro{'' if self.has_journal else '&immutable=1'}"


def read_stamp(path: Path) -> FileStamp:
    """Return the stamp of the registry's file without opening it. Blocks.

    Raises:
        StateUnreadableError: the file is missing, not a regular file, or not accessible.
    """
    try:
        file = path.resolve(strict=True)
        found = file.stat()
        # A rollback journal exists for a moment after a conductor has created its registry.
        journalled = any(sibling_path(file, end).exists() for end in ("-wal", "-journal"))
    except FileNotFoundError as error:
        raise StateUnreadableError(f"there is no registry at {path}") from error
    except PermissionError as error:
        raise StateUnreadableError(
            f"the registry {path} is not accessible: no permission to search one of its folders"
        ) from error
    # RuntimeError: Python before 3.13 raises it for a loop of links.
    except (OSError, RuntimeError) as error:
        raise StateUnreadableError(f"the registry {path} is not accessible: {error}") from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise StateUnreadableError(f"the registry {path} is {kind}, expected an SQLite database")
    return FileStamp(file, journalled, found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def sibling_path(file: Path, suffix: str) -> Path:
    """Return the file beside a database with the same name and a suffix."""
    return file.with_name(file.name + suffix)


def make_read_error(error: Exception, stamp: FileStamp) -> StateUnreadableError:
    """Make an error with the missing permission, or else SQLite's message. Blocks."""
    reason = describe_missing_permission(stamp) or str(error)
    return StateUnreadableError(f"the registry {stamp.path} cannot be read: {reason}")


def describe_missing_permission(stamp: FileStamp) -> str | None:
    """Describe the permission that is missing to read the registry; None if none is. Blocks."""
    wal, shm = sibling_path(stamp.path, "-wal"), sibling_path(stamp.path, "-shm")
    for file in (stamp.path, wal, shm):
        if file.exists() and not os.access(file, os.R_OK):
            return f"no permission to read {file}"
    folder = stamp.path.parent
    if stamp.has_journal and not shm.exists() and not os.access(folder, os.W_OK):
        return f"no permission to write to the folder {folder}, and there is no {shm.name} in it"
    return None
