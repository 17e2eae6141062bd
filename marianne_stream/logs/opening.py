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

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# Without O_NONBLOCK, opening a fifo waits for its writer.
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY

ABSENT = {errno.ENOENT, errno.ENOTDIR}


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Where a log lies.

    Attributes:
        folder: an absolute path; above its last part links are followed, from there on none.
        below: names of folders inside it, from the outside in.
        name: the file's name.
        of_conductor: whether it is the conductor's own log, which other jobs write as well.
    """

    folder: str
    name: str
    below: tuple[str, ...] = ()
    of_conductor: bool = False

    @property
    def shown(self) -> str:
        """The file as a client reads of it: without the path of the folder."""
        return "/".join((*self.below, self.name))


class Descriptor:
    """An open file or folder that is closed with the last reference to it.

    A thread that still reads holds one, so that its number is not given to another file meanwhile.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        weakref.finalize(self, os.close, number)

    @property
    def path(self) -> str:
        """A path that leads to this very file, whatever has become of its name (proc(5))."""
        return f"/proc/self/fd/{self.number}"


@contextmanager
def as_answer(what: str) -> Iterator[None]:
    """Turns what the operating system says into what a client is told."""
    try:
        yield
    except OSError as error:
        if error.errno in ABSENT and not is_link(error):
            raise LogNotFoundError(f"{what}: {error.strerror}") from error
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE):
            raise
        raise LogForbiddenError(f"{what} may not be read: {error.strerror}") from error


def is_link(error: OSError) -> bool:
    """Whether something is there, and is a link: O_DIRECTORY calls that no directory."""
    if error.errno != errno.ENOTDIR or error.filename is None:
        return False
    try:
        return stat.S_ISLNK(os.lstat(error.filename).st_mode)
    except OSError:
        return False


def open_folder(place: LogPlace) -> Descriptor:
    """Opens the folder that a log lies in.

    Raises:
        LogNotFoundError: it is not there.
        LogForbiddenError: it is a link, has `..` in its path, or may not be read.
    """
    path = PurePath(place.folder)
    if not path.is_absolute() or ".." in path.parts or "\0" in place.folder:
        raise LogForbiddenError(f"{place.folder!r} is no absolute path without '..'")
    with as_answer(place.folder):
        folder = Descriptor(os.open(place.folder, FOLDER_FLAGS))
    for name in place.below:
        with as_answer(f"{place.folder}: {name}"):
            folder = Descriptor(open_below(name, FOLDER_FLAGS, folder))
    return folder


def open_below(name: str, flags: int, folder: Descriptor) -> int:
    """Opens something in an open folder."""
    try:
        return os.open(name, flags, dir_fd=folder.number)
    except OSError as error:
        # Only the name is in the error: a link is looked for in the right folder.
        error.filename = f"{folder.path}/{name}"
        raise


def open_file(folder: Descriptor, name: str) -> Descriptor:
    """Opens a regular file in an open folder.

    Raises:
        LogNotFoundError: it is not there.
        LogForbiddenError: it is a link or no regular file, or may not be read.
    """
    with as_answer(name):
        file = Descriptor(open_below(name, FILE_FLAGS, folder))
    if not stat.S_ISREG(os.fstat(file.number).st_mode):
        raise LogForbiddenError(f"{name} is no regular file")
    return file
