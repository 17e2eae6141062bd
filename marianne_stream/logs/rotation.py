"""All files of one log, from the oldest rotated one to the one that is written now.

Rotation renames them while they are read, so they are told apart by content and time and never by
their numbers. Everything here blocks: it belongs in a thread.
"""

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from marianne_stream.errors import LogForbiddenError, LogNotFoundError
from marianne_stream.logs.decompression import DamagedFileError
from marianne_stream.logs.log_file import LogFile, TextLimitError, make_log_file
from marianne_stream.logs.safe_open import LogPath, OwnedFd, open_directory, open_regular_file
from marianne_stream.wire.cursors import LogCursor

# Behind the whole name: `.1`, `.2.gz`, `-20261124` of logrotate's dateext, and `.2026-11-28_05` of
# Python's TimedRotatingFileHandler. Before its last part, as logrotate's `extension` has it:
# `marianne-20261128.log`, `marianne.1.log.xz`.
SUFFIX_PATTERN = r"[.-][0-9][0-9._-]*"
BEFORE_EXTENSION_PATTERN = r"(?:[._-][0-9]{4}-?[0-9]{2}-?[0-9]{2}[0-9._-]*|\.[0-9]{1,3})"
COMPRESSION_PATTERN = r"(?:\.gz|\.bz2|\.xz)?"

# More are not looked at: the newest are what a viewer may come back to.
MAX_ROTATED_FILES = 1000

RotationReason = Literal["renamed", "truncated", "replaced"]

# So much of two files is compared before all of one is read to tell whether it is a copy.
COPY_HEAD_BYTES = 64 * 1024

# How often a folder is listed again whose files are renamed while it is looked through.
MAX_LISTINGS = 5


class FileMovedError(Exception):
    """A file is no longer what the folder listed under its name."""


@dataclass(frozen=True, slots=True)
class RotatedFile:
    """A rotated file as the folder lists it."""

    name: str
    key: tuple[int, int]
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class CursorMatch:
    """Where a cursor fits: a file, and where to read on in it."""

    file: LogFile
    offset: int
    line_number: int


@dataclass(frozen=True, slots=True)
class Successor:
    """The generation behind another one, and how the change looks."""

    file: LogFile
    reason: RotationReason


class LogFileSet:
    """The files of one log.

    Args:
        log_path where the log lies.
    """

    def __init__(self, log_path: LogPath) -> None:
        self.path = log_path
        self._rotated_name = compile_rotated_name(log_path.name)

    def open_current(self) -> LogFile:
        """The file that is written now.

        Raises:
            LogNotFoundError: it is not there.
            LogForbiddenError: it may not be read.
        """
        return make_log_file(
            open_regular_file(open_directory(self.path), self.path.name), self.path.name
        )

    def open_current_or_none(self) -> LogFile | None:
        """The file that is written now; None while there is none that may be read."""
        try:
            return self.open_current()
        except (LogNotFoundError, LogForbiddenError):
            return None

    def open_oldest(self) -> LogFile:
        """The oldest file that is left; of the rotated ones, those that are looked at.

        Raises:
            LogNotFoundError: the file that is written now is not there.
            LogForbiddenError: it may not be read.
            MovedError: files were renamed meanwhile.
        """
        newest = self.open_current()
        for sibling in reversed(self._list_rotated()):
            file = self._open(sibling)
            if not is_copy(file, newest):
                return file
        return newest

    def find(self, cursor: LogCursor) -> CursorMatch | None:
        """The file that a cursor is a position in."""
        if cursor.offset == 0:
            for _ in range(MAX_LISTINGS):
                with contextlib.suppress(FileMovedError):
                    return self._find_by_time(cursor, self.open_current_or_none())
            return None
        # Behind a line, the first one is known: else it is none of ours.
        is_ours = cursor.first_line_hash or cursor.unterminated
        return self._find_by_content(cursor) if is_ours else None

    def _find_by_content(self, cursor: LogCursor) -> CursorMatch | None:
        """The file whose bytes before a cursor's offset are those that it was made behind."""
        newest = self.open_current_or_none()
        if newest is not None and newest.key[1] == cursor.inode and newest.matches(cursor):
            return match_in_file(newest, cursor)
        # Where files begin with the same lines, the one that was meant may have its inode still.
        for file in self._open_rotated(cursor.inode):
            if file.key[1] != cursor.inode and newest is not None and newest.matches(cursor):
                return match_in_file(newest, cursor)
            if file.matches(cursor):
                return match_in_file(file, cursor)
        return (
            match_in_file(newest, cursor) if newest is not None and newest.matches(cursor) else None
        )

    def find_copy(self, cursor: LogCursor, key: tuple[int, int]) -> LogFile | None:
        """A rotated file in which a cursor fits, other than the one with a key."""
        for file in self._open_rotated():
            if file.key != key and file.matches(cursor):
                return file
        return None

    def has_shorter_copy(self, window: bytes, offset: int) -> bool:
        """Whether the newest rotated file ends within the bytes before an offset of a cut file."""
        for file in self._open_rotated():
            try:
                size = file.size_up_to(offset - 1)
                begin = offset - len(window)
                if size is None or size <= begin:
                    return False
                return window.startswith(file.window_before(size)[-(size - begin) :])
            except DamagedFileError:
                return False
        return False

    def next_file(self, file: LogFile, end: LogCursor | None) -> Successor | None:
        """The generation that follows one that has been read to its end.

        Args:
            file: the one that was read.
            end: the position at its end; None where nothing stands in it.

        Returns:
            None while there is none.
        """
        for _ in range(MAX_LISTINGS):
            try:
                return self._next_file(file, end)
            except FileMovedError:
                continue
        return None

    def previous_file(self, file: LogFile) -> LogFile | None:
        """The generation that came before one; None where it is the oldest that is left.

        Raises:
            MovedError: the file is no longer where it was.
        """
        for _ in range(MAX_LISTINGS):
            with contextlib.suppress(FileMovedError):
                return self._previous_file(file)
        raise FileMovedError

    def _previous_file(self, file: LogFile) -> LogFile | None:
        newest = self.open_current_or_none()
        siblings = self._list_rotated()
        if newest is None or newest.key != file.key:
            keys = [sibling.key for sibling in siblings]
            if file.key not in keys:
                raise FileMovedError
            siblings = siblings[keys.index(file.key) + 1 :]
        for sibling in siblings:
            older = self._open(sibling)
            if not is_copy(older, newest):
                return older
        return None

    def _next_file(self, file: LogFile, end: LogCursor | None) -> Successor | None:
        # Opened before the folder is listed: what becomes of it meanwhile is in the list.
        newest = self.open_current_or_none()
        if newest is not None and newest.key == file.key:
            return None
        siblings = self._list_rotated()
        place = self._find_index(file, end, siblings)
        reason: RotationReason = "replaced" if place is None else "renamed"
        if place is None:
            # Nothing is left of it: what was written after it comes next.
            written = file.stat().st_mtime_ns
            newer = [sibling for sibling in siblings if sibling.mtime_ns > written]
        else:
            newer = siblings[:place]
        # The oldest of those that are whole, and that do not repeat the newest.
        for sibling in reversed(newer):
            next_file = self._open(sibling)
            if not is_copy(next_file, newest):
                return Successor(next_file, reason)
        return Successor(newest, reason) if newest is not None else None

    def _find_index(
        self, file: LogFile, end: LogCursor | None, rotated: list[RotatedFile]
    ) -> int | None:
        """Where in a list of siblings a file stands, under whatever name and in whatever form."""
        for place, sibling in enumerate(rotated):
            if sibling.key == file.key:
                return place
        if end is None or end.offset == 0:
            return None
        for place, sibling in enumerate(rotated):
            if self._open(sibling).matches(end):
                return place
        return None

    def _find_by_time(self, cursor: LogCursor, current: LogFile | None) -> CursorMatch | None:
        """Where a log goes on whose newest file held no line: in that file, or what came next.

        No content tells that file, so its time does; where two were written in one tick of the
        clock, its inode.
        """
        for sibling in reversed(self._list_rotated()):
            same = sibling.key[1] == cursor.inode and sibling.mtime_ns >= cursor.window_hash
            if same or sibling.mtime_ns > cursor.window_hash:
                file = self._open(sibling)
                if not is_copy(file, current):
                    return CursorMatch(file, 0, 0)
        return CursorMatch(current, 0, 0) if current is not None else None

    def _list_rotated(self) -> list[RotatedFile]:
        """The rotated files, newest first."""
        try:
            folder = open_directory(self.path)
            listed = list(self._scan_directory(folder))
        except (LogNotFoundError, LogForbiddenError):
            return []
        listed.sort(key=lambda sibling: (-sibling.mtime_ns, sibling.name))
        return listed[:MAX_ROTATED_FILES]

    def _scan_directory(self, directory: OwnedFd) -> Iterator[RotatedFile]:
        with os.scandir(directory.fd) as entries:
            for entry in entries:
                if not self._rotated_name.fullmatch(entry.name):
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(status.st_mode):
                    key = (status.st_dev, status.st_ino)
                    yield RotatedFile(entry.name, key, status.st_mtime_ns)

    def _open_rotated(self, inode: int = 0) -> Iterator[LogFile]:
        """The rotated files, newest first; all again where some were renamed meanwhile.

        Args:
            inode: the file that has it comes before all.
        """
        for _ in range(MAX_LISTINGS):
            try:
                for sibling in sorted(self._list_rotated(), key=lambda one: one.key[1] != inode):
                    yield self._open(sibling)
            except FileMovedError:
                continue
            return

    def _open(self, rotated: RotatedFile) -> LogFile:
        """Opens a rotated file.

        Raises:
            MovedError: it is no longer what the folder listed.
        """
        try:
            file = make_log_file(
                open_regular_file(open_directory(self.path), rotated.name), rotated.name
            )
        except (LogNotFoundError, LogForbiddenError) as error:
            raise FileMovedError from error
        if file.key != rotated.key:
            raise FileMovedError
        return file


def compile_rotated_name(name: str) -> re.Pattern[str]:
    """What matches the names of the rotated files of a log."""
    stem, _, last = name.rpartition(".")
    forms = [re.escape(name) + SUFFIX_PATTERN]
    if stem:
        forms.append(re.escape(stem) + BEFORE_EXTENSION_PATTERN + re.escape(f".{last}"))
    return re.compile(f"(?:{'|'.join(forms)}){COMPRESSION_PATTERN}")


def match_in_file(file: LogFile, cursor: LogCursor) -> CursorMatch:
    """Where to read on behind a cursor in a file that it fits."""
    if not cursor.unterminated:
        return CursorMatch(file, cursor.offset, cursor.number)
    # The line was given before it had ended: its end says nothing new, and more of it is its rest.
    try:
        behind = file.read(cursor.offset, 1)
    except DamagedFileError:
        behind = b""
    if behind == b"\n":
        return CursorMatch(file, cursor.offset + 1, cursor.number)
    return CursorMatch(file, cursor.offset, cursor.number - len(behind))


def is_copy(file: LogFile, current: LogFile | None) -> bool:
    """Whether a rotated file is being made from the newest, or holds what that still holds as well.

    One that is damaged and begins otherwise is none: what can be read of it counts.
    """
    try:
        first = file.first_line_hash()
        if current is None or current.first_line_hash() != first:
            return not first and not file.read(0, 1)
        head = file.read(0, COPY_HEAD_BYTES)
        if current.read(0, len(head)) != head:
            return False
        # No more of it is read than the newest holds.
        size = file.size_up_to(current.size())
        return (
            size is not None
            and size > 0
            and current.window_before(size) == file.window_before(size)
        )
    except TextLimitError:
        return False
    except DamagedFileError:
        return current is not None
