"""Reader of a log: goes on from a position, a result at a time, across rotations. It blocks."""

import time
from dataclasses import dataclass, field, replace
from typing import Literal

from marianne_stream.logs.decompression import DamagedFileError
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_file import LogFile
from marianne_stream.logs.rotation import LogFileSet, RotationReason
from marianne_stream.wire.cursors import LogCursor, content_hash
from marianne_stream.wire.log_lines import LogLine, LogLineSplitter

# What one step reads and gives at most: a viewer that does not read holds one of them.
MAX_RESULT_BYTES = 64 * 1024
MAX_RESULT_LINES = 512

# A writer may go on with a renamed file for as long as the new one is empty.
ROTATION_GRACE_S = 0.5

LogGapReason = Literal["truncated", "rotated_away"]


@dataclass(frozen=True, slots=True)
class Position:
    """A place behind a line.

    Attributes:
        file: the generation.
        offset: how many of its bytes lie before.
        number: the number of the line before.
        window: the bytes before the offset that a cursor goes by.
        unterminated: whether the line before had no newline.
        previous: at offset 0, the generation before and its end: no bytes tell there whether the
            file is still the same.
    """

    file: LogFile
    offset: int
    number: int
    window: bytes = field(repr=False)
    unterminated: bool = False
    previous: tuple[LogFile, LogCursor | None] | None = field(default=None, repr=False)

    def is_same_position(self, other: "Position") -> bool:
        """Whether two positions are the same, in whatever descriptor of the file."""
        if self.file.key != other.file.key or self.offset != other.offset:
            return False
        if self.offset:
            return self.window == other.window
        return self.file is other.file or self.previous_end == other.previous_end

    @property
    def previous_end(self) -> LogCursor | None:
        """Where the generation before ended; known at offset 0 only."""
        return self.previous[1] if self.previous is not None else None

    def make_cursor(self) -> LogCursor:
        """The same for a client. Blocks, until the first line is known."""
        if not self.offset:
            written = self.file.stat().st_mtime_ns
            return LogCursor(self.file.key[1], 0, 0, self.number, written)
        return LogCursor(
            self.file.key[1],
            self.file.first_line_hash(),
            self.offset,
            self.number,
            content_hash(self.window),
            self.unterminated,
        )


@dataclass(frozen=True, slots=True)
class LogGap:
    """Something of the log is gone: how many bytes, where that is known."""

    reason: LogGapReason
    lost_bytes: int | None


@dataclass(frozen=True, slots=True)
class LogRotation:
    """What follows is from another file, or from one that began anew."""

    log_file: str
    reason: RotationReason


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What was read at once: lines, then perhaps a gap, then perhaps a rotation.

    Attributes:
        lines: in order.
        first_line_hash: the fingerprint of the first line of their file.
        inode: their file's.
        end: the position behind all of it.
        is_conductor_log: whether it is the conductor's own log.
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
        """Whether the next lines do not follow these in the same file."""
        return self.gap is not None or self.rotation is not None


class LogReader:
    """Reads on from a position.

    Args:
        files: the files of the log.
        position: where to begin.
        job_filter: which lines count and are given; all where it is None.

    Attributes:
        position: behind what has been given.
    """

    def __init__(
        self, files: LogFileSet, position: Position, job_filter: LineFilter | None = None
    ) -> None:
        self._files = files
        self._job_filter = job_filter
        self.position = position
        self._splitter = self._make_splitter(position)
        # Whether the file that is read is a copy of one that was cut.
        self._is_in_copy = False
        self._last_mtime_ns = 0
        # Whether nothing of the file has been read yet.
        self._is_unread = not position.offset
        self._rotated_since_s: float | None = None

    @property
    def is_rotating(self) -> bool:
        """Whether a rotation has been seen that is not over yet: look again soon."""
        return self._rotated_since_s is not None

    def read(self, limit: Position | None = None) -> ReadResult | None:
        """Reads on.

        Args:
            limit: a position to stop at, of the one who reads at the end; its file is taken over
                where it is the same.

        Returns:
            None where there is nothing more right now.
        """
        if limit is not None and limit.file is not self.position.file:
            self._share_descriptor(limit.file)
        upto = limit.offset if limit is not None and limit.file is self.position.file else None
        try:
            chunk = self._read_chunk(upto)
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
                self._skip_hole(upto)
            return self._make_result(lines)
        if limit is not None and upto is not None:
            return self.flush() if limit.unterminated else None
        return self._advance_to_next_file(limit)

    @property
    def is_overwritten(self) -> bool:
        """Whether the last line has no newline, and has been begun anew by a return."""
        return self._splitter.is_overwritten

    def partial_line(self) -> LogLine | None:
        """The last line, if it has no newline yet; None if there is none."""
        return self._splitter.partial_line()

    def flush(self) -> ReadResult | None:
        """Gives a last line that has no newline, where there is one."""
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
        """Reads the same file through another's descriptor, so that both stand in the same one."""
        mine = self.position
        if (
            file.key == mine.file.key
            and mine.file.final_offset is None
            and not mine.file.compressed
        ):
            self.position = replace(mine, file=file)

    def _read_chunk(self, end_offset: int | None) -> bytes | None:
        """What follows what has been scanned; None where that is no longer there."""
        cutter, file = self._splitter, self.position.file
        length = (
            MAX_RESULT_BYTES
            if end_offset is None
            else max(0, min(MAX_RESULT_BYTES, end_offset - cutter.fed_offset))
        )
        if file.compressed:
            return limit_lines(file.read(cutter.fed_offset, length))
        before = len(cutter.window)
        # One read for both: what is checked and what follows it belong together.
        data = file.read(cutter.fed_offset - before, before + length)
        if data[:before] != cutter.window:
            return None
        status = file.stat()
        if status.st_size < cutter.fed_offset:
            return None
        self._last_mtime_ns = status.st_mtime_ns
        return limit_lines(data[before:])

    def _skip_hole(self, end_offset: int | None) -> None:
        """Skips a hole of a sparse file, in which no line ends."""
        cutter = self._splitter
        end = self.position.file.hole_end(cutter.fed_offset)
        cutter.skip_nuls((end if end_offset is None else min(end, end_offset)) - cutter.fed_offset)

    def _make_result(self, lines: list[LogLine], *, unterminated: bool = False) -> ReadResult:
        cutter, file = self._splitter, self.position.file
        self.position = Position(
            file,
            cutter.line_offset,
            cutter.number,
            cutter.line_window,
            unterminated,
            None if cutter.line_offset else self.position.previous,
        )
        of_conductor = self._files.path.is_conductor_log
        return ReadResult(
            lines, file.key[1], file.first_line_hash(), self.position, is_conductor_log=of_conductor
        )

    def _switch_to_unread_copy(self) -> bool:
        """Whether the file was copied and cut before anything of it had been read.

        Then its copy comes first. Nothing in the file tells, so the folder is asked again.
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
        """Moves to the next generation, where there is one."""
        file = self.position.file
        successor = self._files.next_file(file, self._make_end_cursor())
        if successor is None:
            self._rotated_since_s = None
            return None
        if limit is None and not file.compressed and not self._is_grace_over(successor.file):
            return None
        if not file.compressed and file.size() > self._splitter.fed_offset:
            # Written between the last read and the look at the folder.
            return self.read(limit)
        reason = "truncated" if self._is_in_copy else successor.reason
        torn = self._is_in_copy and self._splitter.pending_bytes > 0
        gap = LogGap("truncated", None) if torn else None
        return self._switch_file(successor.file, reason, gap, limit)

    def _is_grace_over(self, successor: LogFile) -> bool:
        """Whether the file that was left may be left for good."""
        if self._is_in_copy or successor.read(0, 1):
            return True
        now = time.monotonic()
        if self._rotated_since_s is None:
            self._rotated_since_s = now
        return now - self._rotated_since_s >= ROTATION_GRACE_S

    def _make_end_cursor(self) -> LogCursor | None:
        """The position behind everything that has been scanned."""
        cutter, file = self._splitter, self.position.file
        if not cutter.fed_offset:
            return None
        digest = content_hash(cutter.window)
        return LogCursor(
            file.key[1], file.first_line_hash(), cutter.fed_offset, 0, digest, unterminated=True
        )

    def _handle_truncation(self, limit: Position | None) -> ReadResult | None:
        """Goes on after the file was cut: in its copy, where there is one, else from its start."""
        file = self.position.file
        if limit is not None and limit.file is file:
            # The one who reads at the end has yet to see it, and says what follows.
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
        """Whether only bytes behind the last whole line have changed: nothing of them was given.

        If a rotated file holds what was there before, the file was copied and cut instead.
        """
        cutter, file = self._splitter, self.position.file
        start = cutter.line_offset
        if cutter.fed_offset == start or file.window_before(start) != cutter.line_window:
            return False
        before = LogCursor(
            0, 0, cutter.fed_offset, 0, content_hash(cutter.window), unterminated=True
        )
        return self._files.find_copy(before, file.key) is None

    def _find_copy(self) -> LogFile | None:
        """What was made of the file before it was cut."""
        position = self.position
        if not position.offset:
            since = LogCursor(
                0, 0, 0, 0, self._last_mtime_ns or self.position.file.stat().st_mtime_ns
            )
            found = self._files.find(since)
            return found.file if found is not None and found.file.key != position.file.key else None
        file = position.file
        digest = content_hash(position.window)
        # Its own first line is gone from the file: the window alone has to do.
        cursor = LogCursor(file.key[1], 0, position.offset, 0, digest, position.unterminated)
        return self._files.find_copy(cursor, file.key)

    def _was_copied_before_truncation(self) -> bool:
        """Whether lines were written between a copy of the file and its cut: some may be gone."""
        offset = self.position.offset
        return offset > 0 and self._files.has_shorter_copy(self.position.window, offset)

    def _skip_damaged(self, limit: Position | None) -> ReadResult | None:
        """Goes on behind a generation whose rest cannot be read."""
        successor = self._files.next_file(self.position.file, None)
        if successor is None:
            return None
        return self._switch_file(
            successor.file, successor.reason, LogGap("rotated_away", None), limit
        )

    def _switch_file(
        self, file: LogFile, reason: RotationReason, gap: LogGap | None, limit: Position | None
    ) -> ReadResult:
        """Gives what is left of one file, and begins with another."""
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
        of_conductor = self._files.path.is_conductor_log
        return ReadResult(lines, inode, first, self.position, gap, rotated, of_conductor)


def limit_lines(chunk: bytes) -> bytes:
    """A part of a chunk that holds no more lines than a step gives, roughly."""
    lines = chunk.count(b"\n")
    return chunk[: len(chunk) * MAX_RESULT_LINES // lines] if lines > MAX_RESULT_LINES else chunk
