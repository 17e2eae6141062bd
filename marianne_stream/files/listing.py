"""List of the files of a workspace. Blocks: call it in a thread."""

import fnmatch
import heapq
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, islice
from operator import attrgetter
from typing import Literal, NamedTuple

import msgspec

from marianne_stream.errors import JobFileForbiddenError, JobFileNotFoundError
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

LINKED_WORKSPACE = "The workspace is a link, or this server may not read it."

Sort = Literal["change", "name"]

MAX_ENTRIES = 20_000
MAX_DEPTH = 32

# Limit of a path (PATH_MAX of Linux), and of the mean of a list that is full, in characters.
MAX_PATH_CHARS = 4096
MAX_MEAN_CHARS = 250

# Time after which a list ends with what it has.
TIME_LIMIT_S = 1.0

# Number of names between two looks at the clock.
NAMES_PER_CHECK = 256


class ListedFile(msgspec.Struct, frozen=True, order=True, gc=False):
    """File, or folder whose content is not listed.

    Lists are long: a struct takes a fifth of the time of a tuple, and no garbage collection.

    Attributes:
        modified_ns: time of the last change in nanoseconds of the epoch.
        path: path below the workspace; bytes that are not UTF-8 are lone surrogates.
        size_bytes: its size; None for a folder.
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
        self._has_path_glob = query.glob is not None and "/" in query.glob
        # Its stars are atomic groups: no name makes it slow.
        self._matches = (
            re.compile(fnmatch.translate(query.glob)).match if query.glob is not None else None
        )
        self._deadline_s = time.monotonic() + TIME_LIMIT_S
        self._name_count = 0

    def iter_files(self, folder: OwnedFd, prefix: str = "", level: int = 1) -> Iterator[ListedFile]:
        """Yield what is in an open folder and below it. `prefix` is its path with a slash."""
        entries = self._scan(folder, prefix, level)
        if self._query.sort == "name":
            # One more than is wanted shows that there are more.
            entries = iter(heapq.nsmallest(self._query.limit + 1, entries, key=attrgetter("name")))
        for entry in entries:
            path = prefix + entry.name
            if not self._is_entered(entry, level):
                if (file := read_entry(entry, path)) is not None:
                    yield file
            elif not self.is_stopped:
                try:
                    subfolder = OwnedFd(open_at(entry.name, DIRECTORY_FLAGS, folder))
                except OSError:
                    # It was removed or replaced meanwhile, or may not be read.
                    continue
                yield from self.iter_files(subfolder, f"{path}/", level + 1)

    def _scan(self, folder: OwnedFd, prefix: str, level: int) -> Iterator["os.DirEntry[str]"]:
        """Yield the folders to enter, and the files and folders to list."""
        hidden, excludes, matches = self._query.hidden, self._rules.excludes, self._matches
        prefix_to_match = prefix if self._has_path_glob else ""
        max_chars = MAX_PATH_CHARS - len(prefix)
        with os.scandir(folder.fd) as entries:
            for entry in entries:
                self._name_count += 1
                if self._name_count % NAMES_PER_CHECK == 0:
                    # Ends a call whose client has left.
                    consume_budget(0)
                    self.is_stopped |= time.monotonic() > self._deadline_s
                if self.is_stopped:
                    return
                name = entry.name
                if (name.startswith(".") and not hidden) or excludes(name):
                    continue
                if len(name) <= max_chars and (
                    matches is None
                    or self._is_entered(entry, level)
                    or matches(prefix_to_match + name)
                ):
                    yield entry

    def _is_entered(self, entry: "os.DirEntry[str]", level: int) -> bool:
        return level < self._query.depth and entry.is_dir(follow_symlinks=False)


def read_entry(entry: "os.DirEntry[str]", path: str) -> ListedFile | None:
    """Return a regular file or a folder; None if it is neither, or is gone."""
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    if stat.S_ISREG(status.st_mode):
        return ListedFile(status.st_mtime_ns, path, status.st_size)
    is_folder = stat.S_ISDIR(status.st_mode)
    return ListedFile(status.st_mtime_ns, path, None) if is_folder else None


def list_files(workspace: LogPath, rules: FileRules, query: ListQuery) -> FileList:
    """Return the files of a workspace; a folder only if its content is too deep to be listed.

    Args:
        workspace: path whose directory is the workspace.
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
    except JobFileForbiddenError as error:
        raise JobFileForbiddenError(str(error), detail=LINKED_WORKSPACE) from error
    rules.check_folder(folder)
    walk = Walk(rules, query)
    files = walk.iter_files(folder)
    if query.sort == "name":
        found = list(islice(files, query.limit))
        has_more = next(files, None) is not None
    else:
        found, has_more = select_newest(files, query.limit)
    max_chars = max(MAX_PATH_CHARS, query.limit * MAX_MEAN_CHARS)
    count = sum(size <= max_chars for size in accumulate(len(file.path) for file in found))
    return FileList(found[:count], has_more or walk.is_stopped or count < len(found))


def select_newest(files: Iterator[ListedFile], limit: int) -> tuple[list[ListedFile], bool]:
    """Return the files that changed last, and whether there are more; holds no more of them."""
    newest: list[ListedFile] = []
    has_more = False
    for file in files:
        if len(newest) < limit:
            heapq.heappush(newest, file)
        else:
            has_more = True
            heapq.heappushpop(newest, file)
    # Files of the same time stay in the order of their paths.
    newest.sort(key=attrgetter("path"))
    newest.sort(key=attrgetter("modified_ns"), reverse=True)
    return newest, has_more
