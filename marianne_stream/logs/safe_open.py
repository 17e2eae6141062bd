"""Safe opening of regular files in a log's folder.

The folder, folders below it, and the file must not be symbolic links; links above are followed.

A name is looked up once, and the opened file is the one that is read: between a check and an open,
another process could replace it by a link.
"""

import errno
import os
import stat
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath

from marianne_stream.errors import LogForbiddenError, LogNotFoundError

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# O_NONBLOCK: opening a FIFO does not wait for a writer.
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY

NOT_FOUND_ERRNOS = {errno.ENOENT, errno.ENOTDIR}


@dataclass(frozen=True, slots=True)
class LogPath:
    """Path of a log.

    Attributes:
        directory: absolute path. Links are followed above its last part only.
        name: name of the file.
        subdirectories: names of folders below the directory, outermost first.
        is_conductor_log: whether it is the conductor's own log, which holds lines of all jobs.
    """

    directory: str
    name: str
    subdirectories: tuple[str, ...] = ()
    is_conductor_log: bool = False

    @property
    def display_path(self) -> str:
        """Path below the directory, as clients see it."""
        return "/".join((*self.subdirectories, self.name))


class OwnedFd:
    """File descriptor that is closed with the last reference to it.

    A thread that still reads holds a reference, so the number is not reused meanwhile.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        weakref.finalize(self, os.close, fd)

    @property
    def proc_path(self) -> str:
        """Path that leads to this very file, whatever its name is now (proc(5))."""
        return f"/proc/self/fd/{self.fd}"


@contextmanager
def translate_os_errors(subject: str) -> Iterator[None]:
    """Turn errors of the operating system about a path into those for clients."""
    try:
        yield
    except OSError as error:
        if error.errno in NOT_FOUND_ERRNOS and not is_symlink(error):
            raise LogNotFoundError(f"{subject}: {error.strerror}") from error
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE):
            raise
        raise LogForbiddenError(f"{subject} may not be read: {error.strerror}") from error


def is_symlink(error: OSError) -> bool:
    """Return whether an ENOTDIR error is about a link, which O_DIRECTORY reports so."""
    if error.errno != errno.ENOTDIR or error.filename is None:
        return False
    try:
        return stat.S_ISLNK(os.lstat(error.filename).st_mode)
    except OSError:
        return False


def open_directory(log_path: LogPath) -> OwnedFd:
    """Open the folder of a log; refuse a symbolic link as its last part or below it.

    Raises:
        LogNotFoundError: the folder does not exist.
        LogForbiddenError: the path is not absolute, contains `..` or a link, or may not be read.
    """
    path = PurePath(log_path.directory)
    if not path.is_absolute() or ".." in path.parts or "\0" in log_path.directory:
        raise LogForbiddenError(
            f"expected an absolute path without '..', got {log_path.directory!r}"
        )
    with translate_os_errors(log_path.directory):
        folder = OwnedFd(os.open(log_path.directory, DIRECTORY_FLAGS))
    for name in log_path.subdirectories:
        with translate_os_errors(f"{log_path.directory}: {name}"):
            folder = OwnedFd(open_at(name, DIRECTORY_FLAGS, folder))
    return folder


def open_at(name: str, flags: int, directory: OwnedFd) -> int:
    """Open a name in an open folder."""
    try:
        return os.open(name, flags, dir_fd=directory.fd)
    except OSError as error:
        # The error has only the name; `is_symlink` needs the path.
        error.filename = f"{directory.proc_path}/{name}"
        raise


def open_regular_file(directory: OwnedFd, name: str) -> OwnedFd:
    """Open a regular file in an open folder; refuse a symbolic link.

    Raises:
        LogNotFoundError: the file does not exist.
        LogForbiddenError: the name is a link or not a regular file, or may not be read.
    """
    with translate_os_errors(name):
        file = OwnedFd(open_at(name, FILE_FLAGS, directory))
    if not stat.S_ISREG(os.fstat(file.fd).st_mode):
        raise LogForbiddenError(f"{name} is not a regular file")
    return file
