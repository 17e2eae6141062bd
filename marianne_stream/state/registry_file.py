"""The registry's file: what it looked like at a moment, how to open it, and why that fails."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from marianne_stream.errors import StoreUnreadableError


@dataclass(frozen=True, slots=True)
class Sight:
    """What the registry's file looked like at one moment: equal for as long as nobody wrote it."""

    # With no link in it: SQLite keeps its -wal beside the file itself.
    file: Path
    # Whether a journal is beside it: somebody writes, or was killed at it.
    journalled: bool
    device: int
    inode: int
    mtime_ns: int
    size_bytes: int

    @property
    def uri(self) -> str:
        """Where to open it. `mode=ro` beside immutable too: SQLite's default creates the file."""
        return f"{self.file.as_uri()}?mode=ro{'' if self.journalled else '&immutable=1'}"


def look_at(path: Path) -> Sight:
    """Look at the registry's file without opening it. Blocks.

    Raises:
        StoreUnreadableError: it is missing, is not a regular file, or is out of reach.
    """
    try:
        file = path.resolve(strict=True)
        found = file.stat()
        # A rollback journal occurs for a moment, when a conductor has just created its registry.
        journalled = any(beside(file, end).exists() for end in ("-wal", "-journal"))
    except FileNotFoundError as error:
        raise StoreUnreadableError(f"there is no registry at {path}") from error
    except PermissionError as error:
        raise StoreUnreadableError(
            f"the registry {path} is out of reach: no permission to search a folder on the way"
        ) from error
    # RuntimeError: Python before 3.13 says so of links that go in a circle.
    except (OSError, RuntimeError) as error:
        raise StoreUnreadableError(f"the registry {path} is out of reach: {error}") from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise StoreUnreadableError(f"the registry {path} is {kind}, expected an SQLite database")
    return Sight(file, journalled, found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def beside(file: Path, end: str) -> Path:
    """The file that SQLite keeps beside a database under the same name and an ending."""
    return file.with_name(file.name + end)


def explained(error: Exception, seen: Sight) -> StoreUnreadableError:
    """Why it cannot be read: the permission that is missing, else SQLite's words. Blocks."""
    if isinstance(error, StoreUnreadableError):
        return error
    reason = missing_permission(seen) or str(error)
    return StoreUnreadableError(f"the registry {seen.file} cannot be read: {reason}")


def missing_permission(seen: Sight) -> str | None:
    """Which permission is missing to read the registry as it was tried, and on what. Blocks."""
    wal, shm = beside(seen.file, "-wal"), beside(seen.file, "-shm")
    for file in (seen.file, wal, shm):
        if file.exists() and not os.access(file, os.R_OK):
            return f"no permission to read {file}"
    folder = seen.file.parent
    if seen.journalled and not shm.exists() and not os.access(folder, os.W_OK):
        return f"no permission to write to the folder {folder}, and there is no {shm.name} in it"
    return None
