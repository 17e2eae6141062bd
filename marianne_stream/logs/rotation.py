"""All files of one log, from the oldest rotated one to the one that is written now.

Rotation renames files while they are read, so they are identified by content and time, never by the
numbers in their names. All functions block: call them in a thread.
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
from marianne_stream.logs.positions import Position
from marianne_stream.logs.safe_open import LogPath, OwnedFd, open_directory, open_log_file
from marianne_stream.wire.cursors import HASH_WINDOW_BYTES, LogCursor

# Behind the name: `.1`, `.2.gz`, `-20261124` (logrotate's dateext) and `.2026-11-28_05` (Python's
# TimedRotatingFileHandler). Before its last part (logrotate's `extension`):
# `marianne-20261128.log`, `marianne.1.log.xz`.
SUFFIX_PATTERN = r"[.-][0-9][0-9._-]*"
BEFORE_EXTENSION_PATTERN = r"(?:[._-][0-9]{4}-?[0-9]{2}-?[0-9]{2}[0-9._-]*|\.[0-9]{1,3})"
COMPRESSION_PATTERN = r"(?:\.gz|\.bz2|\.xz)?"

# Limit of rotated files; older ones are ignored.
MAX_ROTATED_FILES = 1000

RotationReason = Literal["renamed", "truncated", "replaced"]

# Bytes of two files to compare before all of one is read.
COPY_HEAD_BYTES = 64 * 1024

# Limit of listings of a folder whose files are renamed meanwhile.
MAX_LISTINGS = 5


class FileMovedError(Exception):
    """A file is not the one that the folder listed under its name."""


@dataclass(frozen=True, slots=True)
class RotatedFile:
    """Rotated file as the folder lists it."""

    name: str
    key: tuple[int, int]
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Successor:
    """Next file of a log, and the kind of the change."""

    file: LogFile
    reason: RotationReason


class LogFileSet:
    """Files of one log."""

    def __init__(self, log_path: LogPath) -> None:
        self.path = log_path
        self._rotated_name = compile_rotated_name(log_path.name)

    def open_current(self) -> LogFile:
        """Open the file that is written now.

        Raises:
            LogNotFoundError: the file does not exist.
            LogForbiddenError: the file may not be read.
        """
        return make_log_file(open_log_file(self.path), self.path.name)

    def open_current_or_none(self) -> LogFile | None:
        """Open the file that is written now; return None if it is missing or may not be read."""
        try:
            return self.open_current()
        except (LogNotFoundError, LogForbiddenError):
            return None

    def open_oldest(self) -> LogFile:
        """Open the oldest file that is left, among the newest `MAX_ROTATED_FILES`.

        Raises:
            LogNotFoundError: the file that is written now does not exist.
            LogForbiddenError: that file may not be read.
            FileMovedError: files were renamed meanwhile.
        """
        newest = self.open_current()
        for rotated in reversed(self._list_rotated()):
            file = self._open(rotated)
            if not is_copy(file, newest):
                return file
        return newest

    def find(self, cursor: LogCursor) -> Position | None:
        """Return the position of a cursor, or None if no file matches it."""
        if cursor.offset == 0:
            for _ in range(MAX_LISTINGS):
                with contextlib.suppress(FileMovedError):
                    return self._find_by_time(cursor, self.open_current_or_none())
            return None
        # Every cursor behind a finished line has the hash of the first line.
        is_ours = cursor.first_line_hash or cursor.unterminated
        return self._find_by_content(cursor) if is_ours else None

    def _find_by_content(self, cursor: LogCursor) -> Position | None:
        """Find the file whose bytes before a cursor's offset have the cursor's hash."""
        newest = self.open_current_or_none()
        is_newest = newest is not None and newest.key[1] == cursor.inode
        if is_newest and (found := find_in_file(newest, cursor)) is not None:
            return found
        # Among files with the same first lines, prefer the one with the cursor's inode.
        for file in self._open_rotated(cursor.inode):
            is_other = file.key[1] != cursor.inode
            if is_other and (found := find_in_file(newest, cursor)) is not None:
                return found
            if (found := find_in_file(file, cursor)) is not None:
                return found
        return find_in_file(newest, cursor)

    def find_copy(self, cursor: LogCursor, key: tuple[int, int]) -> LogFile | None:
        """Return a rotated file that matches a cursor, other than the one with a key; or None."""
        for file in self._open_rotated():
            if file.key != key and file.matches(cursor):
                return file
        return None

    def has_shorter_copy(self, window: bytes, offset: int) -> bool:
        """Return whether the newest rotated file ends within the last bytes of a truncated file.

        `window` holds the last bytes that were read before the truncation, up to `offset`.
        """
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
        """Return the file that follows one that was read to its end, or None.

        `end` is the cursor at its end; None if the file is empty.
        """
        for _ in range(MAX_LISTINGS):
            try:
                return self._next_file(file, end)
            except FileMovedError:
                continue
        return None

    def previous_file(self, file: LogFile) -> LogFile | None:
        """Return the file before another one, or None if that is the oldest.

        Raises:
            FileMovedError: the file is not in the folder any more.
        """
        for _ in range(MAX_LISTINGS):
            with contextlib.suppress(FileMovedError):
                return self._previous_file(file)
        raise FileMovedError

    def _previous_file(self, file: LogFile) -> LogFile | None:
        newest = self.open_current_or_none()
        rotated_files = self._list_rotated()
        if newest is None or newest.key != file.key:
            keys = [rotated.key for rotated in rotated_files]
            if file.key not in keys:
                raise FileMovedError
            rotated_files = rotated_files[keys.index(file.key) + 1 :]
        for rotated in rotated_files:
            older = self._open(rotated)
            if not is_copy(older, newest):
                return older
        return None

    def _next_file(self, file: LogFile, end: LogCursor | None) -> Successor | None:
        # Open it before the folder is listed: if it is renamed meanwhile, the list has it.
        newest = self.open_current_or_none()
        if newest is not None and newest.key == file.key:
            return None
        rotated_files = self._list_rotated()
        index = self._find_index(file, end, rotated_files)
        reason: RotationReason = "replaced" if index is None else "renamed"
        if index is None:
            # The file is gone: go on with files that were written later.
            written = file.stat().st_mtime_ns
            newer = [rotated for rotated in rotated_files if rotated.mtime_ns > written]
        else:
            newer = rotated_files[:index]
        # The oldest that is not a copy of the newest.
        for rotated in reversed(newer):
            next_file = self._open(rotated)
            if not is_copy(next_file, newest):
                return Successor(next_file, reason)
        return Successor(newest, reason) if newest is not None else None

    def _find_index(
        self, file: LogFile, end: LogCursor | None, rotated_files: list[RotatedFile]
    ) -> int | None:
        """Return the index of a file among rotated files, by inode or by content; or None."""
        for index, rotated in enumerate(rotated_files):
            if rotated.key == file.key:
                return index
        if end is None or end.offset == 0:
            return None
        for index, rotated in enumerate(rotated_files):
            if self._open(rotated).matches(end):
                return index
        return None

    def _find_by_time(self, cursor: LogCursor, current: LogFile | None) -> Position | None:
        """Find where a log goes on whose newest file was empty: in that file, or in the next one.

        No content identifies an empty file, so its time does; between two files of the same clock
        tick, its inode.
        """
        for rotated in reversed(self._list_rotated()):
            same = rotated.key[1] == cursor.inode and rotated.mtime_ns >= cursor.window_hash
            if same or rotated.mtime_ns > cursor.window_hash:
                file = self._open(rotated)
                if not is_copy(file, current):
                    return Position(file, 0, 0, b"")
        return Position(current, 0, 0, b"") if current is not None else None

    def _list_rotated(self) -> list[RotatedFile]:
        """Return the rotated files, newest first."""
        if not self.path.is_rotated:
            return []
        try:
            folder = open_directory(self.path)
            listed = list(self._scan_directory(folder))
        except (LogNotFoundError, LogForbiddenError):
            return []
        listed.sort(key=lambda rotated: (-rotated.mtime_ns, rotated.name))
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
        """Yield the rotated files, that of an inode first, then the newest first.

        All are listed and yielded again if some were renamed meanwhile.
        """
        for _ in range(MAX_LISTINGS):
            try:
                for rotated in sorted(self._list_rotated(), key=lambda one: one.key[1] != inode):
                    yield self._open(rotated)
            except FileMovedError:
                continue
            return

    def _open(self, rotated: RotatedFile) -> LogFile:
        """Open a rotated file.

        Raises:
            FileMovedError: the name leads to another file, or to none.
        """
        try:
            file = make_log_file(open_log_file(self.path, rotated.name), rotated.name)
        except (LogNotFoundError, LogForbiddenError) as error:
            raise FileMovedError from error
        if file.key != rotated.key:
            raise FileMovedError
        return file


def compile_rotated_name(name: str) -> re.Pattern[str]:
    """Compile the pattern of the names of a log's rotated files."""
    stem, _, last = name.rpartition(".")
    forms = [re.escape(name) + SUFFIX_PATTERN]
    if stem:
        forms.append(re.escape(stem) + BEFORE_EXTENSION_PATTERN + re.escape(f".{last}"))
    return re.compile(f"(?:{'|'.join(forms)}){COMPRESSION_PATTERN}")


def find_in_file(file: LogFile | None, cursor: LogCursor) -> Position | None:
    """Return the position of a cursor in a file; None if it is no cursor of this file."""
    window = file.find_window(cursor) if file is not None else None
    if file is None or window is None:
        return None
    offset, number = cursor.offset, cursor.number
    if cursor.unterminated:
        # The client has the line without its newline. Skip the newline; anything else is the rest
        # of the line.
        try:
            behind = file.read(offset, 1)
        except DamagedFileError:
            behind = b""
        if behind == b"\n":
            offset += 1
            window = (window + behind)[-HASH_WINDOW_BYTES:]
        else:
            number -= len(behind)
    return Position(file, offset, number, window)


def is_copy(file: LogFile, current: LogFile | None) -> bool:
    """Return whether a rotated file is a copy, perhaps unfinished, of the beginning of the newest.

    A damaged file that begins differently is not a copy: its readable part counts.
    """
    try:
        first = file.first_line_hash()
        if current is None or current.first_line_hash() != first:
            return not first and not file.read(0, 1)
        head = file.read(0, COPY_HEAD_BYTES)
        if current.read(0, len(head)) != head:
            return False
        # Read no more of it than the newest file holds.
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
