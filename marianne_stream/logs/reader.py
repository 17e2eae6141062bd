"""Reads a log on from a position, a step at a time, across every kind of rotation.

It blocks, and belongs in a thread. It must not know who reads, or how lines are sent.
"""

import time
from dataclasses import dataclass, field, replace
from typing import Literal

from marianne_stream.logs.decompress import DamagedFileError
from marianne_stream.logs.files import LogFile
from marianne_stream.logs.generations import Generations, RotationReason
from marianne_stream.logs.index import Selection
from marianne_stream.wire.cursors import LogCursor, fingerprint
from marianne_stream.wire.log_lines import LineCutter, LogLine

# What one step reads and gives at most: a viewer that does not read holds one of them.
STEP_BYTES = 64 * 1024
STEP_LINES = 512

# A writer may go on with a renamed file for as long as the new one is empty.
RENAMED_GRACE_S = 0.5

GapReason = Literal["truncated", "rotated_away"]


@dataclass(frozen=True, slots=True)
class Position:
    """A place behind a line.

    Attributes:
        file: the generation.
        offset: how many of its bytes lie before.
        number: the number of the line before.
        window: the bytes before the offset that a cursor goes by.
        unterminated: whether the line before had no newline.
        before: at offset 0, the generation before and its end: no bytes tell there whether the file
            is still the same.
    """

    file: LogFile
    offset: int
    number: int
    window: bytes = field(repr=False)
    unterminated: bool = False
    before: tuple[LogFile, LogCursor | None] | None = field(default=None, repr=False)

    def same_place(self, other: "Position") -> bool:
        """Whether two positions are the same, in whatever descriptor of the file."""
        if self.file.key != other.file.key or self.offset != other.offset:
            return False
        if self.offset:
            return self.window == other.window
        return self.file is other.file or self.end_before == other.end_before

    @property
    def end_before(self) -> LogCursor | None:
        """Where the generation before ended; known at offset 0 only."""
        return self.before[1] if self.before is not None else None

    def cursor(self) -> LogCursor:
        """The same for a client. Blocks, until the first line is known."""
        if not self.offset:
            written = self.file.status().st_mtime_ns
            return LogCursor(self.file.key[1], 0, 0, self.number, written)
        return LogCursor(
            self.file.key[1],
            self.file.first(),
            self.offset,
            self.number,
            fingerprint(self.window),
            self.unterminated,
        )


@dataclass(frozen=True, slots=True)
class Gap:
    """Something of the log is gone: how many bytes, where that is known."""

    reason: GapReason
    lost_bytes: int | None


@dataclass(frozen=True, slots=True)
class Rotated:
    """What follows is from another file, or from one that began anew."""

    log_file: str
    reason: RotationReason


@dataclass(frozen=True, slots=True)
class Step:
    """What was read at once: lines, then perhaps a gap, then perhaps a rotation.

    Attributes:
        lines: in order.
        first: the fingerprint of the first line of their file.
        inode: their file's.
        end: the position behind all of it.
        of_conductor: whether it is the conductor's own log.
    """

    lines: list[LogLine]
    inode: int
    first: int
    end: Position
    gap: Gap | None = None
    rotated: Rotated | None = None
    of_conductor: bool = False

    @property
    def changes(self) -> bool:
        """Whether the next lines do not follow these in the same file."""
        return self.gap is not None or self.rotated is not None


class LogReader:
    """Reads on from a position.

    Args:
        generations: the files of the log.
        position: where to begin.
        selection: which lines count and are given; all where it is None.

    Attributes:
        position: behind what has been given.
    """

    def __init__(
        self, generations: Generations, position: Position, selection: Selection | None = None
    ) -> None:
        self._generations = generations
        self._selection = selection
        self.position = position
        self._cutter = self._cutter_at(position)
        # Whether the file that is read is a copy of one that was cut.
        self._in_copy = False
        self._seen_ns = 0
        # Whether nothing of the file has been read yet.
        self._untouched = not position.offset
        self._left_since: float | None = None

    @property
    def changing(self) -> bool:
        """Whether a rotation has been seen that is not over yet: look again soon."""
        return self._left_since is not None

    def step(self, bound: Position | None = None) -> Step | None:
        """Reads on.

        Args:
            bound: a position to stop at, of the one who reads at the end; its file is taken over
                where it is the same.

        Returns:
            None where there is nothing more right now.
        """
        if bound is not None and bound.file is not self.position.file:
            self._take_over(bound.file)
        upto = bound.offset if bound is not None and bound.file is self.position.file else None
        try:
            chunk = self._read_on(upto)
        except DamagedFileError:
            return self._leave_broken(bound)
        if chunk is None:
            return self._go_past_cut(bound)
        if chunk:
            self._left_since = None
            if self._untouched and self._was_cut_unread():
                return self._given([])
            lines = self._cutter.feed(chunk)
            if chunk.endswith(b"\0"):
                self._skip_hole(upto)
            return self._given(lines)
        if bound is not None and upto is not None:
            return self.finish() if bound.unterminated else None
        return self._go_past_end(bound)

    @property
    def returned(self) -> bool:
        """Whether the last line has no newline, and has been begun anew by a return."""
        return self._cutter.returned

    def unfinished(self) -> LogLine | None:
        """The last line, if it has no newline yet; None if there is none."""
        return self._cutter.unfinished()

    def finish(self) -> Step | None:
        """Gives a last line that has no newline, where there is one."""
        line = self._cutter.finish()
        return self._given([line], unterminated=True) if line is not None else None

    def _cutter_at(self, position: Position) -> LineCutter:
        selects = self._selection.selects if self._selection is not None else None
        return LineCutter(
            offset=position.offset,
            number=position.number,
            window=position.window,
            selects=selects,
        )

    def _take_over(self, file: LogFile) -> None:
        """Reads the same file through another's descriptor, so that both stand in the same one."""
        mine = self.position
        if file.key == mine.file.key and mine.file.left_at is None and not mine.file.compressed:
            self.position = replace(mine, file=file)

    def _read_on(self, upto: int | None) -> bytes | None:
        """What follows what has been scanned; None where that is no longer there."""
        cutter, file = self._cutter, self.position.file
        length = STEP_BYTES if upto is None else max(0, min(STEP_BYTES, upto - cutter.scanned))
        if file.compressed:
            return fewer(file.read(cutter.scanned, length))
        before = len(cutter.window)
        # One read for both: what is checked and what follows it belong together.
        data = file.read(cutter.scanned - before, before + length)
        if data[:before] != cutter.window:
            return None
        status = file.status()
        if status.st_size < cutter.scanned:
            return None
        self._seen_ns = status.st_mtime_ns
        return fewer(data[before:])

    def _skip_hole(self, upto: int | None) -> None:
        """Skips a hole of a sparse file, in which no line ends."""
        cutter = self._cutter
        end = self.position.file.hole_end(cutter.scanned)
        cutter.skip_nuls((end if upto is None else min(end, upto)) - cutter.scanned)

    def _given(self, lines: list[LogLine], *, unterminated: bool = False) -> Step:
        cutter, file = self._cutter, self.position.file
        self.position = Position(
            file,
            cutter.position,
            cutter.number,
            cutter.line_window,
            unterminated,
            None if cutter.position else self.position.before,
        )
        of_conductor = self._generations.place.of_conductor
        return Step(lines, file.key[1], file.first(), self.position, of_conductor=of_conductor)

    def _was_cut_unread(self) -> bool:
        """Whether the file was copied and cut before anything of it had been read.

        Then its copy comes first. Nothing in the file tells, so the folder is asked again.
        """
        self._untouched = False
        before = self.position.before
        successor = self._generations.after(*before) if before is not None else None
        if successor is None or successor.file.key == self.position.file.key:
            return False
        self.position = Position(successor.file, 0, 0, b"", before=before)
        self._cutter = self._cutter_at(self.position)
        self._in_copy = True
        return True

    def _go_past_end(self, bound: Position | None) -> Step | None:
        """Moves to the next generation, where there is one."""
        file = self.position.file
        successor = self._generations.after(file, self._end_cursor())
        if successor is None:
            self._left_since = None
            return None
        if bound is None and not file.compressed and not self._has_waited(successor.file):
            return None
        if not file.compressed and file.size() > self._cutter.scanned:
            # Written between the last read and the look at the folder.
            return self.step(bound)
        reason = "truncated" if self._in_copy else successor.reason
        torn = self._in_copy and self._cutter.pending_bytes > 0
        gap = Gap("truncated", None) if torn else None
        return self._begin(successor.file, reason, gap, bound)

    def _has_waited(self, successor: LogFile) -> bool:
        """Whether the file that was left may be left for good."""
        if self._in_copy or successor.read(0, 1):
            return True
        now = time.monotonic()
        if self._left_since is None:
            self._left_since = now
        return now - self._left_since >= RENAMED_GRACE_S

    def _end_cursor(self) -> LogCursor | None:
        """The position behind everything that has been scanned."""
        cutter, file = self._cutter, self.position.file
        if not cutter.scanned:
            return None
        digest = fingerprint(cutter.window)
        return LogCursor(file.key[1], file.first(), cutter.scanned, 0, digest, unterminated=True)

    def _go_past_cut(self, bound: Position | None) -> Step | None:
        """Goes on after the file was cut: in its copy, where there is one, else from its start."""
        file = self.position.file
        if bound is not None and bound.file is file:
            # The one who reads at the end has yet to see it, and says what follows.
            return None
        if self._is_rewritten():
            self._cutter = self._cutter_at(self.position)
            return self.step(bound)
        copy = self._copy()
        if copy is not None:
            file.left_at = file.left_at or self._cutter.scanned
            self.position = Position(
                copy, self.position.offset, self.position.number, self.position.window
            )
            self._cutter = self._cutter_at(self.position)
            self._in_copy = True
            return self._given([])
        lost = (file.left_at or 0) - self._cutter.scanned
        gap = None
        if lost > 0:
            gap = Gap("truncated", lost)
        elif self._was_copied_before():
            gap = Gap("truncated", None)
        return self._begin(LogFile(file.descriptor, file.name), "truncated", gap, bound)

    def _is_rewritten(self) -> bool:
        """Whether only bytes behind the last whole line have changed: nothing of them was given.

        If a rotated file holds what was there before, the file was copied and cut instead.
        """
        cutter, file = self._cutter, self.position.file
        start = cutter.position
        if cutter.scanned == start or file.window(start) != cutter.line_window:
            return False
        before = LogCursor(0, 0, cutter.scanned, 0, fingerprint(cutter.window), unterminated=True)
        return self._generations.copy_of(before, file.key) is None

    def _copy(self) -> LogFile | None:
        """What was made of the file before it was cut."""
        position = self.position
        if not position.offset:
            since = LogCursor(0, 0, 0, 0, self._seen_ns or self.position.file.status().st_mtime_ns)
            found = self._generations.find(since)
            return found.file if found is not None and found.file.key != position.file.key else None
        file = position.file
        digest = fingerprint(position.window)
        # Its own first line is gone from the file: the window alone has to do.
        cursor = LogCursor(file.key[1], 0, position.offset, 0, digest, position.unterminated)
        return self._generations.copy_of(cursor, file.key)

    def _was_copied_before(self) -> bool:
        """Whether lines were written between a copy of the file and its cut: some may be gone."""
        offset = self.position.offset
        return offset > 0 and self._generations.has_shorter_copy(self.position.window, offset)

    def _leave_broken(self, bound: Position | None) -> Step | None:
        """Goes on behind a generation whose rest cannot be read."""
        successor = self._generations.after(self.position.file, None)
        if successor is None:
            return None
        return self._begin(successor.file, successor.reason, Gap("rotated_away", None), bound)

    def _begin(
        self, file: LogFile, reason: RotationReason, gap: Gap | None, bound: Position | None
    ) -> Step:
        """Gives what is left of one file, and begins with another."""
        if bound is not None and file.key == bound.file.key:
            file = bound.file
        left = self.position.file
        before = (left, self._end_cursor())
        left.left_at = left.left_at or self._cutter.scanned
        inode, first = left.key[1], left.first()
        line = self._cutter.finish()
        self.position = Position(file, 0, 0, b"", before=before)
        self._untouched = True
        self._seen_ns = file.status().st_mtime_ns
        self._cutter = self._cutter_at(self.position)
        self._in_copy = False
        self._left_since = None
        rotated = Rotated(self._generations.place.shown, reason)
        lines = [line] if line is not None else []
        of_conductor = self._generations.place.of_conductor
        return Step(lines, inode, first, self.position, gap, rotated, of_conductor)


def fewer(chunk: bytes) -> bytes:
    """A part of a chunk that holds no more lines than a step gives, roughly."""
    lines = chunk.count(b"\n")
    return chunk[: len(chunk) * STEP_LINES // lines] if lines > STEP_LINES else chunk
