"""Lines that one client reads from a log's files by itself."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from marianne_stream.feeds.line_matcher import LineMatcher
from marianne_stream.feeds.log_frames import make_change_frames, make_line_frames, now_iso
from marianne_stream.logs.entries import NO_ENTRY, read_lines_above
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.logs.log_reader import ReadResult
from marianne_stream.logs.positions import Position
from marianne_stream.wire.log_lines import LogLine

F = TypeVar("F")


class LogResultReader(ABC, Generic[F]):
    """Reads a log on from a position, in threads, and encodes what it reads.

    Lines up to `initial_end`, the end of the log when the client came, are `initial`.
    """

    def __init__(
        self, log: LogHandle, start: Position, initial_end: Position, matcher: LineMatcher | None
    ) -> None:
        self._log = log
        self._initial_end = initial_end
        self._matcher = matcher
        self._reader = log.make_reader(start)

    @property
    def position(self) -> Position:
        """Position behind the last line that was read."""
        return self._reader.position

    def move_to(self, position: Position) -> None:
        """Read on from another position."""
        self._reader = self._log.make_reader(position)

    async def start_matcher(self) -> None:
        """Tell the filter which entry the position is in, by the lines above."""
        if self._matcher is not None:
            file, offset = self.position.file, self.position.offset
            await self._matcher.start_after(
                self._log.threads, lambda: read_lines_above(file, offset, self._log.job_filter)
            )

    async def read_next(self, limit: Position | None) -> F | None:
        """Read the next lines, up to a position or to the end.

        The result is the frames that pass the filter, which may be empty, or None if there is
        nothing to read.
        """
        if self._matcher is None:
            return await self._log.threads.read(self._read_unfiltered, limit)
        result = await self._log.threads.read(self._reader.read, limit)
        return await self._match(result) if result is not None else None

    async def flush(self) -> F | None:
        """Return a last line without a newline, encoded; empty if it does not pass the filter."""
        result = await self._log.threads.read(self._reader.flush)
        if result is None:
            return None
        self._initial_end = result.end
        return await self._match(result)

    async def _match(self, result: ReadResult) -> F:
        lines: Sequence[LogLine] = result.lines
        if self._matcher is not None:
            lines = await self._matcher.select(self._log.threads, lines, lambda line: line.text)
            if result.is_discontinuous:
                self._matcher.entry_state = NO_ENTRY
        return await self._log.threads.read(self._encode, result, lines)

    def _read_unfiltered(self, limit: Position | None) -> F | None:
        result = self._reader.read(limit)
        return self._encode(result, result.lines) if result is not None else None

    @abstractmethod
    def _encode(self, result: ReadResult, lines: Sequence[LogLine]) -> F:
        """Encode the lines of a result that pass the filter, and what follows them."""


class LogFrameReader(LogResultReader[bytes]):
    """Reads a log as frames."""

    def _encode(self, result: ReadResult, lines: Sequence[LogLine]) -> bytes:
        end = self._initial_end
        is_later = result.end.file.key == end.file.key and result.end.offset > end.offset
        frames = make_line_frames(result, lines, timestamp=now_iso(), is_initial=not is_later)
        return b"".join((*frames, *make_change_frames(result)))
