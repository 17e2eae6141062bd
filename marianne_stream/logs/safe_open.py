"""Opens a regular file inside a folder, through no link, and what lies beside it.

A name is looked up once, and what was opened is what is read: between a check and an open, others
may put a link in its place. It must not know whose files they are.
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

# Without O_NONBLOCK, opening a fifo waits for its writer.
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY

NOT_FOUND_ERRNOS = {errno.ENOENT, errno.ENOTDIR}


@dataclass(frozen=True, slots=True)
class LogPath:
    """Where a log lies.

    Attributes:
        directory: an absolute path; above its last part links are followed, from there on none.
        subdirectories: names of folders inside it, from the outside in.
        name: the file's name.
        is_conductor_log: whether it is the conductor's own log, which other jobs write as well.
    """

    directory: str
    name: str
    subdirectories: tuple[str, ...] = ()
    is_conductor_log: bool = False

    @property
    def display_path(self) -> str:
        """The file as a client reads of it: without the path of the folder."""
        return "/".join((*self.subdirectories, self.name))


class OwnedFd:
    """An open file or folder that is closed with the last reference to it.

    A thread that still reads holds one, so that its number is not given to another file meanwhile.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        weakref.finalize(self, os.close, fd)

    @property
    def proc_path(self) -> str:
        """A path that leads to this very file, whatever has become of its name (proc(5))."""
        return f"/proc/self/fd/{self.fd}"


@contextmanager
def translate_os_errors(subject: str) -> Iterator[None]:
    """Turns what the operating system says into what a client is told."""
    try:
        yield
    except OSError as error:
        if error.errno in NOT_FOUND_ERRNOS and not is_symlink(error):
            raise LogNotFoundError(f"{subject}: {error.strerror}") from error
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE):
            raise
        raise LogForbiddenError(f"{subject} may not be read: {error.strerror}") from error


def is_symlink(error: OSError) -> bool:
    """Whether something is there, and is a link: O_DIRECTORY calls that no directory."""
    if error.errno != errno.ENOTDIR or error.filename is None:
        return False
    try:
        return stat.S_ISLNK(os.lstat(error.filename).st_mode)
    except OSError:
        return False


def open_directory(log_path: LogPath) -> OwnedFd:
    """Opens the folder that a log lies in.

    Raises:
        LogNotFoundError: it is not there.
        LogForbiddenError: it is a link, has `..` in its path, or may not be read.
    """
    path = PurePath(log_path.directory)
    if not path.is_absolute() or ".." in path.parts or "\0" in log_path.directory:
        raise LogForbiddenError(f"{log_path.directory!r} is no absolute path without '..'")
    with translate_os_errors(log_path.directory):
        folder = OwnedFd(os.open(log_path.directory, DIRECTORY_FLAGS))
    for name in log_path.subdirectories:
        with translate_os_errors(f"{log_path.directory}: {name}"):
            folder = OwnedFd(open_at(name, DIRECTORY_FLAGS, folder))
    return folder


def open_at(name: str, flags: int, directory: OwnedFd) -> int:
    """Opens something in an open folder."""
    try:
        return os.open(name, flags, dir_fd=directory.fd)
    except OSError as error:
        # Only the name is in the error: a link is looked for in the right folder.
        error.filename = f"{directory.proc_path}/{name}"
        raise


def open_regular_file(directory: OwnedFd, name: str) -> OwnedFd:
    """Opens a regular file in an open folder.

    Raises:
        LogNotFoundError: it is not there.
        LogForbiddenError: it is a link or no regular file, or may not be read.
    """
    with translate_os_errors(name):
        file = OwnedFd(open_at(name, FILE_FLAGS, directory))
    if not stat.S_ISREG(os.fstat(file.fd).st_mode):
        raise LogForbiddenError(f"{name} is no regular file")
    return file
