"""List of the files of a workspace. Blocks: call it in a thread."""

import fnmatch
import heapq
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Literal, NamedTuple

from marianne_stream.errors import JobFileNotFoundError
from marianne_stream.files.file_rules import FileRules
from marianne_stream.logs.read_budget import consume_budget
from marianne_stream.logs.safe_open import (
    DIRECTORY_FLAGS,
    LogPath,
    OwnedFd,
    open_at,
    open_directory,
)

NO_WORKSPACE = "This job has no workspace, or it does not exist any more."

Sort = Literal["change", "name"]

MAX_ENTRIES = 20_000
MAX_DEPTH = 32

# Time after which a list ends with what it has.
TIME_LIMIT_S = 1.0

# Number of names between two looks at the clock.
NAMES_PER_CHECK = 256


class ListedFile(NamedTuple):
    """File, or folder whose content is not listed. `size_bytes` is None for a folder.

    Attributes:
        modified_ns: time of the last change in nanoseconds of the epoch.
        path: path below the workspace; bytes that are not UTF-8 are lone surrogates.
        size_bytes: size.
    """

    modified_ns: int
    path: str
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Query for a list.

    Attributes:
        sort: `change`: the last change first; `name`: by name, folder by folder.
        depth: number of levels: 1 for what is directly in the workspace.
        hidden: whether names that begin with a dot are listed.
        limit: largest number of entries.
        glob: pattern of `fnmatch` for paths below the workspace, or for names if it has no slash;
            None for all.
    """

    sort: Sort = "change"
    depth: int = MAX_DEPTH
    hidden: bool = False
    limit: int = MAX_ENTRIES
    glob: str | None = None


class FileList(NamedTuple):
    """Files in order; `is_truncated` if there are more of them."""

    files: list[ListedFile]
    is_truncated: bool


class Walk:
    """Walk through a workspace, which follows no link and ends in time.

    Attributes:
        is_stopped: True if it has ended before it had seen everything.
    """

    def __init__(self, rules: FileRules, query: ListQuery) -> None:
        self.is_stopped = False
        self._rules = rules
        self._query = query
        self._is_sorted = query.sort == "name"
        self._has_path_glob = query.glob is not None and "/" in query.glob
        # Its stars are atomic groups: no name makes it slow.
        self._matches = re.compile(fnmatch.translate(query.glob or "*")).match
        self._deadline_s = time.monotonic() + TIME_LIMIT_S
        self._name_count = 0

    def iter_files(self, folder: OwnedFd, prefix: str = "", level: int = 1) -> Iterator[ListedFile]:
        """Yield what is in an open folder and below it. `prefix` is its path with a slash."""
        for entry in self._read_folder(folder):
            path = prefix + entry.name
            if level < self._query.depth and entry.is_dir(follow_symlinks=False):
                try:
                    subfolder = OwnedFd(open_at(entry.name, DIRECTORY_FLAGS, folder))
                except OSError:
                    # It was removed or replaced meanwhile, or may not be read.
                    continue
                yield from self.iter_files(subfolder, f"{path}/", level + 1)
            elif self._matches(path if self._has_path_glob else entry.name):
                yield from make_listed_files(entry, path)
            if self.is_stopped:
                return

    def _read_folder(self, folder: OwnedFd) -> Iterable["os.DirEntry[str]"]:
        """Return the entries of a folder that are not excluded, in order if that is wanted."""
        names = self._scan(folder)
        return sorted(names, key=attrgetter("name")) if self._is_sorted else names

    def _scan(self, folder: OwnedFd) -> Iterator["os.DirEntry[str]"]:
        hidden, excludes = self._query.hidden, self._rules.excludes
        with os.scandir(folder.fd) as entries:
            for entry in entries:
                self._name_count += 1
                if self._name_count % NAMES_PER_CHECK == 0:
                    # Ends a call whose client has left.
                    consume_budget(0)
                    if time.monotonic() > self._deadline_s:
                        self.is_stopped = True
                        return
                name = entry.name
                if (hidden or not name.startswith(".")) and not excludes(name):
                    yield entry


def list_files(workspace: LogPath, rules: FileRules, query: ListQuery) -> FileList:
    """Return the files of a workspace; a folder only if its content is too deep to be listed.

    Args:
        workspace: path of any file of the workspace, whose folder it is.
        rules: rules for its files.
        query: what to list.

    Raises:
        JobFileNotFoundError: the workspace does not exist.
        JobFileForbiddenError: the files of the workspace are not served.
    """
    try:
        folder = open_directory(workspace)
    except JobFileNotFoundError as error:
        raise JobFileNotFoundError(detail=NO_WORKSPACE) from error
    rules.check_folder(folder)
    walk = Walk(rules, query)
    files = walk.iter_files(folder)
    if query.sort == "name":
        found = list(islice(files, query.limit))
        has_more = next(files, None) is not None
        return FileList(found, has_more or walk.is_stopped)
    newest: list[ListedFile] = []
    has_more = False
    for file in files:
        if len(newest) < query.limit:
            heapq.heappush(newest, file)
        else:
            has_more = True
            heapq.heappushpop(newest, file)
    newest.sort(key=lambda file: (-file.modified_ns, file.path))
    return FileList(newest, has_more or walk.is_stopped)


def make_listed_files(entry: "os.DirEntry[str]", path: str) -> tuple[ListedFile, ...]:
    """Return a regular file or a folder; nothing if it is neither, or is gone."""
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return ()
    if stat.S_ISREG(status.st_mode):
        return (ListedFile(status.st_mtime_ns, path, status.st_size),)
    return (ListedFile(status.st_mtime_ns, path, None),) if stat.S_ISDIR(status.st_mode) else ()
