"""Log reader: reads on from a position, one result at a time, across rotations. Blocks."""

import time
from dataclasses import dataclass, replace
from typing import Literal

from marianne_stream.logs.decompression import DamagedFileError
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_file import LogFile
from marianne_stream.logs.positions import Position
from marianne_stream.logs.rotation import LogFileSet, RotationReason
from marianne_stream.wire.cursors import HASH_WINDOW_BYTES, LogCursor, content_hash
from marianne_stream.wire.log_lines import LogLine, LogLineSplitter

# Limits of one result. A stalled client holds one of them.
MAX_RESULT_BYTES = 64 * 1024
MAX_RESULT_LINES = 512

# After a rename, the old file is read for so long while the new one is empty: its writer may still
# have it open.
ROTATION_GRACE_S = 0.5

LogGapReason = Literal["truncated", "rotated_away"]


@dataclass(frozen=True, slots=True)
class LogGap:
    """Lines that are lost, and their size in bytes if it is known."""

    reason: LogGapReason
    lost_bytes: int | None


@dataclass(frozen=True, slots=True)
class LogRotation:
    """Change to another file, or to the same one after it was truncated."""

    log_file: str
    reason: RotationReason


@dataclass(frozen=True, slots=True)
class ReadResult:
    """Result of one read: lines, then perhaps a gap, then perhaps a rotation.

    `inode` and `first_line_hash` identify the file of the lines; `end` is the position behind all.
    """

    lines: list[LogLine]
    inode: int
    first_line_hash: int
    end: Position
    gap: LogGap | None = None
    rotation: LogRotation | None = None
    is_conductor_log: bool = False

    @property
    def is_discontinuous(self) -> bool:
        """True if the next lines do not follow these in the same file."""
        return self.gap is not None or self.rotation is not None


class LogReader:
    """Reads a log on from a position, which moves behind each result."""

    def __init__(
        self, files: LogFileSet, position: Position, job_filter: LineFilter | None = None
    ) -> None:
        self._files = files
        self._job_filter = job_filter
        self.position = position
        self._splitter = self._make_splitter(position)
        # Whether the current file is the copy of one that was truncated.
        self._is_in_copy = False
        self._last_mtime_ns = 0
        # Whether no byte of the current file has been read.
        self._is_unread = not position.offset
        self._rotated_since_s: float | None = None

    @property
    def is_rotating(self) -> bool:
        """True if the log was renamed and the old file may still be written: read again soon."""
        return self._rotated_since_s is not None

    def read(self, limit: Position | None = None) -> ReadResult | None:
        """Read the next lines; return None if there is nothing to read now.

        `limit` is the position of the follower, at which to stop; None reads to the end. If it is
        in the same file, its descriptor is used from now on.
        """
        if limit is not None and limit.file is not self.position.file:
            self._share_descriptor(limit.file)
        end_offset = (
            limit.offset if limit is not None and limit.file is self.position.file else None
        )
        try:
            chunk = self._read_chunk(end_offset)
        except DamagedFileError:
            return self._skip_damaged(limit)
        if chunk is None:
            return self._handle_truncation(limit)
        if chunk:
            self._rotated_since_s = None
            if self._is_unread and self._switch_to_unread_copy():
                return self._make_result([])
            lines = self._splitter.feed(chunk)
            if chunk.endswith(b"\0"):
                self._skip_hole(end_offset)
            return self._make_result(lines)
        if limit is not None and end_offset is not None:
            return self.flush() if limit.unterminated else None
        return self._advance_to_next_file(limit)

    @property
    def is_overwritten(self) -> bool:
        """True if the unfinished last line was overwritten after a carriage return."""
        return self._splitter.is_overwritten

    def partial_line(self) -> LogLine | None:
        """Return the unfinished last line, or None."""
        return self._splitter.partial_line()

    def flush(self) -> ReadResult | None:
        """Return the unfinished last line as a result, or None."""
        line = self._splitter.flush()
        return self._make_result([line], unterminated=True) if line is not None else None

    def _make_splitter(self, position: Position) -> LogLineSplitter:
        selects = self._job_filter.matches if self._job_filter is not None else None
        return LogLineSplitter(
            offset=position.offset,
            number=position.number,
            window=position.window,
            predicate=selects,
        )

    def _share_descriptor(self, file: LogFile) -> None:
        """Read the same file through the follower's descriptor, so that positions compare equal.

        A file that was truncated is read through its own descriptor up to there: the follower may
        have seen the truncation already, and stand in what was written since.
        """
        position = self.position
        if (
            file.key == position.file.key
            and position.file.final_offset is None
            and not position.file.compressed
            and position.is_in_file()
        ):
            self.position = replace(position, file=file)

    def _read_chunk(self, end_offset: int | None) -> bytes | None:
        """Return the bytes behind what was scanned; None if the file has changed before them."""
        splitter, file = self._splitter, self.position.file
        length = (
            MAX_RESULT_BYTES
            if end_offset is None
            else max(0, min(MAX_RESULT_BYTES, end_offset - splitter.fed_offset))
        )
        if file.compressed:
            return limit_lines(file.read(splitter.fed_offset, length))
        before = len(splitter.window)
        # One read for the bytes to check and those behind them: they belong together.
        data = file.read(splitter.fed_offset - before, before + length)
        is_whole = before == min(splitter.fed_offset, HASH_WINDOW_BYTES)
        if not is_whole or data[:before] != splitter.window:
            return None
        status = file.stat()
        if status.st_size < splitter.fed_offset:
            return None
        self._last_mtime_ns = status.st_mtime_ns
        return limit_lines(data[before:])

    def _skip_hole(self, end_offset: int | None) -> None:
        """Skip a hole of a sparse file, in which no line ends."""
        splitter = self._splitter
        end = self.position.file.hole_end(splitter.fed_offset)
        splitter.skip_nuls(
            (end if end_offset is None else min(end, end_offset)) - splitter.fed_offset
        )

    def _make_result(self, lines: list[LogLine], *, unterminated: bool = False) -> ReadResult:
        splitter, file = self._splitter, self.position.file
        self.position = Position(
            file,
            splitter.line_offset,
            splitter.number,
            splitter.line_window,
            unterminated,
            None if splitter.line_offset else self.position.previous,
        )
        is_conductor_log = self._files.path.is_conductor_log
        return ReadResult(
            lines,
            file.key[1],
            file.first_line_hash(),
            self.position,
            is_conductor_log=is_conductor_log,
        )

    def _switch_to_unread_copy(self) -> bool:
        """Switch to the copy of a file that was copied and truncated before it was read.

        Nothing in the file tells, so the folder is listed again.

        Returns:
            True if there is such a copy.
        """
        self._is_unread = False
        before = self.position.previous
        successor = self._files.next_file(*before) if before is not None else None
        if successor is None or successor.file.key == self.position.file.key:
            return False
        self.position = Position(successor.file, 0, 0, b"", previous=before)
        self._splitter = self._make_splitter(self.position)
        self._is_in_copy = True
        return True

    def _advance_to_next_file(self, limit: Position | None) -> ReadResult | None:
        """Switch to the next file, if there is one."""
        file = self.position.file
        successor = self._files.next_file(file, self._make_end_cursor())
        if successor is None:
            self._rotated_since_s = None
            return None
        if limit is None and not file.compressed and not self._is_grace_over(successor.file):
            return None
        if not file.compressed and file.size() > self._splitter.fed_offset:
            # Lines were written after the last read and before the rename.
            return self.read(limit)
        reason = "truncated" if self._is_in_copy else successor.reason
        torn = self._is_in_copy and self._splitter.pending_bytes > 0
        gap = LogGap("truncated", None) if torn else None
        return self._switch_file(successor.file, reason, gap, limit)

    def _is_grace_over(self, successor: LogFile) -> bool:
        """Return whether the renamed file need not be read any more."""
        if self._is_in_copy or successor.read(0, 1):
            return True
        now = time.monotonic()
        if self._rotated_since_s is None:
            self._rotated_since_s = now
        return now - self._rotated_since_s >= ROTATION_GRACE_S

    def _make_end_cursor(self) -> LogCursor | None:
        """Return the cursor behind everything that was scanned."""
        splitter, file = self._splitter, self.position.file
        if not splitter.fed_offset:
            return None
        digest = content_hash(splitter.window)
        return LogCursor(
            file.key[1], file.first_line_hash(), splitter.fed_offset, 0, digest, unterminated=True
        )

    def _handle_truncation(self, limit: Position | None) -> ReadResult | None:
        """Read on after a truncation: in the copy if there is one, else from the beginning."""
        file = self.position.file
        if limit is not None and limit.file is file:
            # The follower will see the truncation, and decide what comes next.
            return None
        if self._is_tail_rewritten():
            self._splitter = self._make_splitter(self.position)
            return self.read(limit)
        copy = self._find_copy()
        if copy is not None:
            file.final_offset = file.final_offset or self._splitter.fed_offset
            self.position = Position(
                copy, self.position.offset, self.position.number, self.position.window
            )
            self._splitter = self._make_splitter(self.position)
            self._is_in_copy = True
            return self._make_result([])
        lost = (file.final_offset or 0) - self._splitter.fed_offset
        gap = None
        if lost > 0:
            gap = LogGap("truncated", lost)
        elif self._was_copied_before_truncation():
            gap = LogGap("truncated", None)
        return self._switch_file(LogFile(file.descriptor, file.name), "truncated", gap, limit)

    def _is_tail_rewritten(self) -> bool:
        """Return whether only bytes behind the last whole line, which were not given, have changed.

        If a rotated file holds the old bytes, the file was copied and truncated instead.
        """
        splitter, file = self._splitter, self.position.file
        start = splitter.line_offset
        if splitter.fed_offset == start or file.window_before(start) != splitter.line_window:
            return False
        before = LogCursor(
            0, 0, splitter.fed_offset, 0, content_hash(splitter.window), unterminated=True
        )
        return self._files.find_copy(before, file.key) is None

    def _find_copy(self) -> LogFile | None:
        """Return the copy that was made of the file before its truncation, or None."""
        position = self.position
        if not position.offset:
            since = LogCursor(
                0, 0, 0, 0, self._last_mtime_ns or self.position.file.stat().st_mtime_ns
            )
            found = self._files.find(since)
            return found.file if found is not None and found.file.key != position.file.key else None
        file = position.file
        digest = content_hash(position.window)
        # The first line is gone from the file, so only the window identifies the copy.
        cursor = LogCursor(file.key[1], 0, position.offset, 0, digest, position.unterminated)
        return self._files.find_copy(cursor, file.key)

    def _was_copied_before_truncation(self) -> bool:
        """Return whether lines may be lost that were written between copy and truncation."""
        offset = self.position.offset
        return offset > 0 and self._files.has_shorter_copy(self.position.window, offset)

    def _skip_damaged(self, limit: Position | None) -> ReadResult | None:
        """Read on behind a file whose rest cannot be decompressed."""
        successor = self._files.next_file(self.position.file, None)
        if successor is None:
            return None
        return self._switch_file(
            successor.file, successor.reason, LogGap("rotated_away", None), limit
        )

    def _switch_file(
        self, file: LogFile, reason: RotationReason, gap: LogGap | None, limit: Position | None
    ) -> ReadResult:
        """Return the rest of one file, and begin with another."""
        if limit is not None and file.key == limit.file.key:
            file = limit.file
        left = self.position.file
        before = (left, self._make_end_cursor())
        left.final_offset = left.final_offset or self._splitter.fed_offset
        inode, first = left.key[1], left.first_line_hash()
        line = self._splitter.flush()
        self.position = Position(file, 0, 0, b"", previous=before)
        self._is_unread = True
        self._last_mtime_ns = file.stat().st_mtime_ns
        self._splitter = self._make_splitter(self.position)
        self._is_in_copy = False
        self._rotated_since_s = None
        rotated = LogRotation(self._files.path.display_path, reason)
        lines = [line] if line is not None else []
        is_conductor_log = self._files.path.is_conductor_log
        return ReadResult(lines, inode, first, self.position, gap, rotated, is_conductor_log)


def limit_lines(chunk: bytes) -> bytes:
    """Return the part of a chunk that holds about `MAX_RESULT_LINES` lines."""
    lines = chunk.count(b"\n")
    return chunk[: len(chunk) * MAX_RESULT_LINES // lines] if lines > MAX_RESULT_LINES else chunk
