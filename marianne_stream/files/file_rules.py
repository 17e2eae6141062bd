"""Rules for the files of workspaces: names and places that are never served.

A job chooses its workspace, and writes what is in it. Neither may make the secrets of this server
or of a user readable. The rules look at the path of a file that is already open: a name that is
replaced by a link meanwhile changes nothing.
"""

import fnmatch
import os
import pwd
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from itertools import chain, islice
from pathlib import Path

from marianne_stream.errors import JobFileForbiddenError
from marianne_stream.logs.safe_open import OwnedFd

# Secrets of users: never served, whatever the setting `files_exclude` is.
SECRET_NAMES = (".ssh", ".gnupg", ".aws", ".netrc")

# They show processes, with their memory and passwords, and the kernel.
KERNEL_FOLDERS = ("/proc", "/sys")

# Limit of the names in a protected folder that are compared with a file that has several names.
MAX_PROTECTED_NAMES = 10_000

# Name of a removed file that is still open (proc(5)).
REMOVED_SUFFIX = " (deleted)"


class FileRules:
    """Rules for the files of all workspaces. Methods that check block: call them in a thread.

    Args:
        excluded_names: patterns of names, as of `fnmatch`, whatever the case. What is in a folder
            with such a name is excluded, too.
        find_protected: returns this server's own files and folders, and the conductor's. It may
            block.
    """

    def __init__(
        self, excluded_names: Iterable[str], find_protected: Callable[[], Iterable[Path]]
    ) -> None:
        patterns = (*SECRET_NAMES, *excluded_names)
        self._excluded = re.compile("|".join(fnmatch.translate(p.casefold()) for p in patterns))
        self._find_protected = find_protected

    def excludes(self, name: str) -> bool:
        """Return whether a name of a file or folder below a workspace is excluded."""
        return self._excluded.match(name.casefold()) is not None

    def check_folder(self, folder: OwnedFd) -> None:
        """Check the open folder of a workspace.

        Raises:
            JobFileForbiddenError: its files are not served; `detail` has the reason.
        """
        self._check_workspace(resolve_path(folder))

    def check_file(self, file: OwnedFd, *, depth: int) -> None:
        """Check an open file of a workspace.

        Args:
            file: the file.
            depth: number of folders and files between the workspace and it, at least 1.

        Raises:
            JobFileForbiddenError: it is not served; `detail` has the reason.
        """
        parts = resolve_path(file).split("/")
        self._check_workspace("/".join(parts[:-depth]) or "/")
        if any(map(self.excludes, parts[-depth:])):
            raise JobFileForbiddenError(
                detail="Files of this name are not served: see files_exclude in the settings."
            )
        status = os.fstat(file.fd)
        if status.st_nlink > 1 and (status.st_dev, status.st_ino) in self._find_protected_files():
            raise make_workspace_error("has another name of a file that is never served")

    def _check_workspace(self, workspace: str) -> None:
        """Raise JobFileForbiddenError unless the files of a folder may be served."""
        if workspace == "/" or workspace in self._homes:
            raise make_workspace_error("is a home folder or /")
        if any(map(self.excludes, workspace.split("/"))):
            raise make_workspace_error("lies in a folder that is never served")
        for path in self._protected_paths():
            if path == workspace or path.startswith(f"{workspace}/"):
                raise make_workspace_error("contains files of the server or of a user")
            if workspace.startswith(f"{path}/"):
                raise make_workspace_error("lies in a folder that is never served")

    def _protected_paths(self) -> Iterator[str]:
        yield from KERNEL_FOLDERS
        for path in self._find_protected():
            yield os.path.realpath(path)
        for home in self._homes:
            for name in SECRET_NAMES:
                yield f"{home.rstrip('/')}/{name}"

    def _find_protected_files(self) -> frozenset[tuple[int, int]]:
        """Return devices and inodes of the protected files, and of those in protected folders."""
        return frozenset(
            key
            for path in self._protected_paths()
            if path not in KERNEL_FOLDERS
            for key in islice(iter_file_keys(path), MAX_PROTECTED_NAMES)
        )

    @cached_property
    def _homes(self) -> frozenset[str]:
        """Home folders of the users of this machine. Asking for them may take long."""
        homes = {user.pw_dir for user in pwd.getpwall()} | {os.environ.get("HOME", "")}
        return frozenset(os.path.realpath(home) for home in homes if home.startswith("/"))


def resolve_path(file: OwnedFd) -> str:
    """Return the path of an open file or folder, without links.

    Raises:
        JobFileForbiddenError: this system does not tell it.
    """
    try:
        path = os.readlink(file.proc_path)  # noqa: PTH115 - the target may be no path
    except OSError as error:
        raise JobFileForbiddenError(f"{file.proc_path}: {error}") from error
    return path.removesuffix(REMOVED_SUFFIX)


def iter_file_keys(path: str) -> Iterator[tuple[int, int]]:
    """Yield device and inode of a file, or of the files below a folder; nothing if it is missing.

    What this server may not read is left out: it does not serve it.
    """
    below = (Path(folder) / name for folder, _, files in os.walk(path) for name in files)
    for name in chain([Path(path)], below):
        with suppress(OSError):
            status = name.stat()
            yield status.st_dev, status.st_ino


def check_no_overlap(workspace: str, others: Iterable[str]) -> None:
    """Check that a workspace neither contains nor lies in one of others. Blocks.

    Raises:
        JobFileForbiddenError: it does, or is the same.
    """
    path = os.path.realpath(workspace)
    for other in map(os.path.realpath, others):
        if os.path.commonpath((path, other)) in (path, other):
            raise make_workspace_error("is shared with a job that this token may not see")


def make_workspace_error(reason: str) -> JobFileForbiddenError:
    """Make the error for a workspace, or for one of its files, from the end of a sentence."""
    return JobFileForbiddenError(detail=f"No file is served, because the workspace {reason}.")
