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
from typing import ClassVar

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
        not_found: class of the error if there is no such file.
        forbidden: class of the error if it may not be read.
    """

    not_found: ClassVar[type[LogNotFoundError]] = LogNotFoundError
    forbidden: ClassVar[type[LogForbiddenError]] = LogForbiddenError

    directory: str
    name: str
    subdirectories: tuple[str, ...] = ()
    is_conductor_log: bool = False

    @property
    def display_path(self) -> str:
        """Path below the directory, as clients see it."""
        return "/".join((*self.subdirectories, self.name))

    @property
    def is_rotated(self) -> bool:
        """True if rotated files, which have like names, belong to the log."""
        return True

    def check(self, file: "OwnedFd") -> None:
        """Check an open file of the log: the newest, or a rotated one. Blocks.

        Raises:
            LogForbiddenError: it may not be read.
        """


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
def translate_os_errors(log_path: LogPath, subject: str) -> Iterator[None]:
    """Turn errors of the operating system about a part of a path into those for clients."""
    try:
        yield
    except OSError as error:
        if error.errno in NOT_FOUND_ERRNOS and not is_symlink(error):
            raise log_path.not_found(f"{subject}: {error.strerror}") from error
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE):
            raise
        raise log_path.forbidden(f"{subject} may not be read: {error.strerror}") from error


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
        raise log_path.forbidden(
            f"expected an absolute path without '..', got {log_path.directory!r}"
        )
    with translate_os_errors(log_path, log_path.directory):
        folder = OwnedFd(os.open(path, DIRECTORY_FLAGS))
    for name in log_path.subdirectories:
        with translate_os_errors(log_path, f"{log_path.directory}: {name}"):
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


def open_log_file(log_path: LogPath, rotated_name: str = "") -> OwnedFd:
    """Open the file that is written now, or a rotated one; refuse a symbolic link.

    Raises:
        LogNotFoundError: the file does not exist.
        LogForbiddenError: the name is a link or not a regular file, or may not be read.
    """
    return open_regular_file(open_directory(log_path), log_path, rotated_name)


def open_regular_file(directory: OwnedFd, log_path: LogPath, rotated_name: str = "") -> OwnedFd:
    """Open a file of a log in its open folder; raises as `open_log_file` does."""
    name = rotated_name or log_path.name
    with translate_os_errors(log_path, name):
        file = OwnedFd(open_at(name, FILE_FLAGS, directory))
    if not stat.S_ISREG(os.fstat(file.fd).st_mode):
        raise log_path.forbidden(f"{name} is not a regular file")
    log_path.check(file)
    return file
