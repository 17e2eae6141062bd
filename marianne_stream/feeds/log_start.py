"""Start of a log feed: at a cursor, or behind the newest lines that pass the filter.

With a filter the newest lines are searched, since the last lines of the log may hold no match.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby

from marianne_stream.errors import LogNotFoundError, StateUnavailableError
from marianne_stream.feeds.log_frames import (
    make_change_frames,
    make_line_frames,
    make_log_gap_frame,
    now_iso,
)
from marianne_stream.feeds.log_locator import LogSource
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.logs.log_pager import LogPager
from marianne_stream.logs.log_reader import LogGap, LogRotation, ReadResult
from marianne_stream.logs.page_lines import PageLine
from marianne_stream.logs.page_result import PageResult
from marianne_stream.logs.positions import Position
from marianne_stream.logs.safe_open import LogPath
from marianne_stream.wire.cursors import LogCursor

# Number of lines that are encoded and sent at once.
CHUNK_LINES = 100


@dataclass(frozen=True, slots=True)
class LogRequest:
    """Request of a client for a log feed.

    Attributes:
        cursor: cursor as the client sent it; "" for a new client.
        tail_lines: number of lines that a new client gets first.
        line_filter: filter of the client.
        source: log that the client wants; None for the first that exists.
        follow: whether to go on with new lines.
        wait: whether to wait for a log that does not exist yet.
        shows_paths: whether the client may see paths of the host.
        wants_partial: whether the client gets the unfinished last line.
    """

    cursor: str
    tail_lines: int
    line_filter: LineFilter | None = None
    source: LogSource | None = None
    follow: bool = True
    wait: bool = False
    shows_paths: bool = False
    wants_partial: bool = True

    def error_detail(self, error: LogNotFoundError) -> str:
        """Return what the client may read about a missing log."""
        return error.detail_with_paths if self.shows_paths else error.detail

    @property
    def parsed_cursor(self) -> LogCursor | None:
        """The cursor, or None if there is none or it is invalid."""
        return LogCursor.parse(self.cursor)


class LogTail:
    """Newest matching lines before a position."""

    def __init__(
        self, log: LogHandle, end: Position, line_filter: LineFilter, max_lines: int
    ) -> None:
        self._log = log
        self._end = end
        self._pager = LogPager(log, line_filter=line_filter, max_lines=max_lines, job_ended=False)
        self._search_task: asyncio.Task[PageResult | None] | None = None
        self._is_closed = False
        self.buffered_bytes = 0

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield the frames of the lines, once they are found; nothing after `close`."""
        if self._is_closed:
            return
        self._search_task = asyncio.create_task(self._search())
        try:
            await asyncio.wait([self._search_task])
        finally:
            self._search_task.cancel()
        if self._search_task.cancelled() or (page := self._search_task.result()) is None:
            return
        pieces = await self._log.threads.read(self._encode, page)
        self.buffered_bytes = sum(map(len, pieces))
        while pieces and not self._is_closed:
            piece = pieces.pop(0)
            self.buffered_bytes -= len(piece)
            yield piece

    def close(self) -> None:
        """Let `frames` end, and stop the search."""
        self._is_closed = True
        if self._search_task is not None:
            self._search_task.cancel()

    async def _search(self) -> PageResult | None:
        """Return what is found, or None if the file is truncated meanwhile."""
        with suppress(StateUnavailableError):
            return await self._pager.read_newest_before(self._end)
        return None

    def _encode(self, page: PageResult) -> list[bytes]:
        now = now_iso()
        pieces = [make_log_gap_frame(LogGap("rotated_away", None))] if page.has_gap else []
        for result in split_into_results(page.lines, self._end, self._log.path):
            frames = make_line_frames(result, result.lines, timestamp=now, is_initial=True)
            pieces.append(b"".join((*frames, *make_change_frames(result))))
        return pieces


@dataclass(frozen=True, slots=True)
class StartPoint:
    """Start of a feed.

    Attributes:
        position: position behind the lines that the client has.
        is_resumed: whether that is the position of the client's cursor.
        is_exhausted: whether the client has seen the end of the log already.
        has_gap: whether the client's cursor could not be used.
        tail: matching lines to send first, or None.
    """

    position: Position
    is_resumed: bool = False
    is_exhausted: bool = False
    has_gap: bool = False
    tail: LogTail | None = None

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield what comes before the lines behind the position."""
        if self.has_gap:
            yield make_log_gap_frame(None)
        if self.tail is not None:
            async for chunk in self.tail.frames():
                yield chunk

    @property
    def buffered_bytes(self) -> int:
        """Size of the tail that was found and not taken yet."""
        return self.tail.buffered_bytes if self.tail is not None else 0

    def close(self) -> None:
        """Let `frames` end."""
        if self.tail is not None:
            self.tail.close()


async def resolve_start(
    log: LogHandle, end: Position, log_request: LogRequest, *, job_ended: bool
) -> StartPoint:
    """Find where a client begins in a log.

    Raises:
        LogNotFoundError: the log was removed.
        LogForbiddenError: the log may not be read any more.
    """
    seen = log_request.parsed_cursor
    position = await log.find_position(seen) if seen is not None else None
    if seen is not None and position is not None:
        is_at_end = position.file.key == end.file.key and (
            position.offset >= await log.threads.read(end.file.size)
        )
        is_exhausted = job_ended and seen.kind != "l" and is_at_end
        return StartPoint(position, is_resumed=True, is_exhausted=is_exhausted)
    has_gap = bool(log_request.cursor)
    if log_request.line_filter is None or not log_request.tail_lines:
        return StartPoint(await log.find_tail_start(end, log_request.tail_lines), has_gap=has_gap)
    tail = LogTail(log, end, log_request.line_filter, log_request.tail_lines)
    return StartPoint(end, has_gap=has_gap, tail=tail)


def split_into_results(
    lines: Sequence[PageLine], end: Position, log_path: LogPath
) -> Iterator[ReadResult]:
    """Split found lines into read results, with a rotation behind each older file.

    The lines are in order, and `end` is behind all of them. Reading the first line of its file
    blocks.
    """
    files = [
        (key, list(found)) for key, found in groupby(lines, lambda line: file_key(line.cursor))
    ]
    current_file = file_key(end.make_cursor())
    for key, found in files:
        for start in range(0, len(found), CHUNK_LINES):
            piece = [line.line for line in found[start : start + CHUNK_LINES]]
            rotates = key != current_file and start + CHUNK_LINES >= len(found)
            rotated = LogRotation(log_path.display_path, "renamed") if rotates else None
            yield ReadResult(
                piece, *key, end, rotation=rotated, is_conductor_log=log_path.is_conductor_log
            )


def file_key(cursor: LogCursor) -> tuple[int, int]:
    """Return the inode and the hash of the first line, which identify a file."""
    return cursor.inode, cursor.first_line_hash
