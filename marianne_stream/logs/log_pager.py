"""Pages of a log's history, across its rotated files."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TypeVar

from marianne_stream.errors import CursorExpiredError, ReadLimitError, StateUnavailableError
from marianne_stream.logs.backwards_scan import BackwardsScan
from marianne_stream.logs.blocks import read_long_line_text
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.line_finder import (
    LineTime,
    TimeSearch,
    begins_before,
    find_number,
    find_time,
)
from marianne_stream.logs.log_file import LogFile
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.logs.page_result import PageResult, StoppedBy, concat_pages, make_page
from marianne_stream.logs.positions import Position
from marianne_stream.logs.rotation import MAX_LISTINGS, FileMovedError
from marianne_stream.logs.scans import SEARCH_TIMEOUT_S, ForwardsScan, ScanQuery
from marianne_stream.logs.search_context import MAX_CONTEXT_LINES
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LINE_LIMIT_BYTES, LogLine

T = TypeVar("T")

# Limit of the search for a line by its number or time, in all files together. The page waits for
# 20 s.
FIND_TIMEOUT_S = 10.0


class LogPager:
    """Reads pages of one log.

    If the job has ended, a last line without a newline counts as finished. `context_lines` is the
    number of lines of the same file to add around each match; a page has no more matches than can
    have all of theirs.
    """

    def __init__(
        self,
        log: LogHandle,
        *,
        line_filter: LineFilter | None,
        max_lines: int,
        job_ended: bool,
        context_lines: int = 0,
    ) -> None:
        self._log = log
        if context_lines:
            max_lines = min(max_lines, MAX_CONTEXT_LINES // (2 * context_lines))
        self._query = ScanQuery(log.job_filter, line_filter, max_lines, context_lines=context_lines)
        self._job_ended = job_ended

    async def read_newest(self) -> PageResult:
        """Return the newest lines.

        Raises:
            LogNotFoundError: the log does not exist.
            LogForbiddenError: the log may not be read.
            TooManySearchesError: other searches of the job are running.
            StateUnavailableError: the files were renamed again and again meanwhile.
        """
        return await self._retry_when_moved(self._read_newest)

    async def read_newest_before(self, end: Position) -> PageResult:
        """Return the newest lines before a position. Waits if other searches are running.

        Raises:
            StateUnavailableError: the file was truncated, or the files were renamed again and
                again.
        """
        return await self._retry_when_moved(
            partial(self._page_backwards, end, self._query), wait=True
        )

    async def read_oldest(self) -> PageResult:
        """Return the oldest lines of the oldest file. Raises as `read_newest` does."""
        return await self._retry_when_moved(self._read_oldest)

    async def read_before(self, cursor: LogCursor) -> PageResult:
        """Return the lines before the one that ends at a cursor.

        Raises:
            CursorExpiredError: no file matches the cursor; else as `read_newest`.
        """
        return await self._retry_when_moved(partial(self._read_before, cursor, self._query))

    async def read_after(self, cursor: LogCursor) -> PageResult:
        """Return the lines behind a cursor.

        Raises:
            CursorExpiredError: no file matches the cursor; else as `read_newest`.
        """
        return await self._retry_when_moved(partial(self._read_after, cursor))

    async def read_around(self, cursor: LogCursor) -> PageResult:
        """Return the line that ends at a cursor in the middle of a page.

        Raises:
            CursorExpiredError: no file matches the cursor; else as `read_newest`.
        """
        return await self._retry_when_moved(partial(self._read_around, cursor))

    async def read_around_line(self, number: int, check: str = "") -> PageResult:
        """Return the line with a number in the middle of a page.

        If it does not pass the filter, the next line that does takes its place.

        Args:
            number: number of the line in its file, from 1.
            check: beginning of the hash of the line, in hexadecimal. The newest file whose line has
                it is chosen; if none has, or without a check, the newest that has the line.

        Raises:
            CursorExpiredError: no file has so many lines.
            ReadLimitError: the search takes too long; else as `read_newest`.
        """
        return await self._retry_when_moved(
            partial(self._read_around_line, number, check), wait=True, is_search=True
        )

    async def read_around_time(self, time: LineTime) -> PageResult:
        """Return the first line that reaches a time and passes the filter, amid a page.

        If all lines are earlier, this is the end of the log.

        Raises:
            ReadLimitError: the search takes too long, or too many lines without a time follow one
                that is earlier; else as `read_newest`.
        """
        return await self._retry_when_moved(
            partial(self._read_around_time, time), wait=True, is_search=True
        )

    async def _retry_when_moved(
        self,
        read_page: Callable[[], Awaitable[PageResult]],
        *,
        wait: bool = False,
        is_search: bool = False,
    ) -> PageResult:
        """Read a page; again from the beginning if files were renamed meanwhile."""
        is_search = is_search or self._query.line_filter is not None
        async with self._log.threads.search_slot(wait=wait) if is_search else nullcontext():
            for _ in range(MAX_LISTINGS):
                try:
                    return await read_page()
                except FileMovedError:
                    continue
        raise StateUnavailableError(
            detail="The log was rotated repeatedly while it was read; try again."
        )

    async def _read_newest(self) -> PageResult:
        end = await self._find_end(await self._log.open_current(), include_partial=self._job_ended)
        page = await self._page_backwards(end, self._query)
        after, partial = (
            await self._log.threads.read(end.make_cursor),
            await self._read_partial_line(end),
        )
        return replace(page, after=after, partial=partial)

    async def _read_oldest(self) -> PageResult:
        file = await self._log.threads.read(self._log.files.open_oldest)
        page = await self._page_forwards(Position(file, 0, 0, b""), self._query)
        return replace(page, before=None)

    async def _read_before(self, cursor: LogCursor, query: ScanQuery) -> PageResult:
        start = await self._find_numbered(cursor)
        return await self._page_backwards(start, query, skip_offset=start.offset)

    async def _read_after(self, cursor: LogCursor) -> PageResult:
        return await self._page_forwards(await self._find(cursor), self._query)

    async def _read_around(self, cursor: LogCursor) -> PageResult:
        """Read both halves of the page; one gets the room that the other leaves."""
        query = replace(self._query, deadline_s=monotonic() + SEARCH_TIMEOUT_S)
        share = query.max_lines - query.max_lines // 2
        half = replace(query, max_lines=share, max_bytes=query.max_bytes // 2)
        before = await self._page_backwards(await self._find_numbered(cursor), half)
        rest = query.remaining_after(before.lines)
        if not rest.max_lines:
            return replace(before, stopped_by="limit")
        newer = await self._page_forwards(await self._find(cursor), rest)
        rest = rest.remaining_after(newer.lines)
        has_room = rest.max_lines > 0 and rest.max_bytes >= LINE_LIMIT_BYTES
        if has_room and before.before is not None and newer.stopped_by == "end":
            older = await self._read_before(before.before, rest)
            before = concat_pages(older, replace(before, unread_bytes=0), older.stopped_by)
        ends = {before.stopped_by, newer.stopped_by}
        stopped_by: StoppedBy = "time" if "time" in ends else "limit" if "limit" in ends else "end"
        return concat_pages(before, newer, stopped_by)

    async def _read_around_line(self, number: int, check: str) -> PageResult:
        async with limit_time():
            found = await self._find_line(number, check)
        if found is None:
            raise CursorExpiredError
        return await self._read_around_target(found)

    async def _find_line(self, number: int, check: str) -> Position | None:
        found = None
        file: LogFile | None = await self._log.open_current()
        while file is not None:
            line = await self._log.find_line(partial(find_number, number), file)
            next_lines = (await self._read_next(line, None)).lines if line is not None else []
            if line is not None and next_lines:
                if f"{next_lines[0].cursor.window_hash:016x}".startswith(check):
                    return line
                found = found or line
            file = await self._log.threads.read(self._log.files.previous_file, file)
        return found

    async def _read_around_time(self, time: LineTime) -> PageResult:
        async with limit_time():
            found = await self._find_time(TimeSearch(time))
        return await self._read_newest() if found is None else await self._read_around_target(found)

    async def _find_time(self, search: TimeSearch) -> Position | None:
        threads = self._log.threads
        file: LogFile | None = await self._log.open_current()
        newer = None
        while file is not None:
            newer = await self._log.find_line(partial(find_time, search), file) or newer
            # A file without times may lie between two with times.
            if search.remaining_bytes <= 0 or await threads.read(begins_before, file, search.time):
                break
            file = await threads.read(self._log.files.previous_file, file)
        return newer

    async def _read_around_target(self, start: Position) -> PageResult:
        """Read the page around the first line behind a position that passes the filter."""
        page = await self._read_next(start, self._query.line_filter)
        if page.lines:
            target = page.lines[0].cursor
            return replace(await self._read_around(target), target=target)
        newest = await self._read_newest()
        # Otherwise the log would seem to have no such line.
        return replace(newest, stopped_by="time") if page.stopped_by == "time" else newest

    async def _read_next(self, start: Position, line_filter: LineFilter | None) -> PageResult:
        """Return the first line behind a position that passes a filter."""
        query = ScanQuery(self._query.job_filter, line_filter, max_lines=1)
        return await self._page_forwards(start, query)

    async def _page_backwards(
        self, start: Position, query: ScanQuery, *, skip_offset: int | None = None
    ) -> PageResult:
        scan = BackwardsScan(query)
        await self._run_scan(partial(scan.scan, start, skip_offset=skip_offset))
        file, more = start.file, True
        while scan.is_at_file_start or scan.oldest is None:
            older = await self._log.threads.read(self._log.files.previous_file, file)
            more = older is not None
            if older is None or scan.is_page_done(skip_offset):
                break
            file = older
            await self._run_scan(
                partial(scan.scan, await self._find_end(file, include_partial=True))
            )
        # Without a match, the next page goes on before what was searched: the skipped line may be
        # the first of it.
        begin = scan.start_position or start
        newest = (
            scan.lines[-1].cursor if scan.lines else await self._log.threads.read(begin.make_cursor)
        )
        return make_page(scan, scan.oldest if more else None, newest, None if more else "start")

    async def _page_forwards(self, start: Position, query: ScanQuery) -> PageResult:
        scan = ForwardsScan(start, query)
        threads = self._log.threads
        more = True
        while True:
            await self._run_scan(partial(scan.scan, include_partial=self._job_ended))
            if scan.is_done:
                break
            file = scan.position.file
            end = await threads.read(scan.position.make_cursor)
            next_file = await threads.read(self._log.files.next_file, file, end)
            if next_file is None:
                more = False
                break
            # Lines written since, and an unfinished last line, which stays so.
            await self._run_scan(partial(scan.scan, include_partial=True))
            if scan.is_done:
                break
            scan.position = Position(next_file.file, 0, 0, b"")
        newest = await threads.read(scan.position.make_cursor)
        oldest = scan.lines[0].cursor if scan.lines else newest
        page = make_page(scan, oldest, newest, None if more else "end")
        return page if more else replace(page, partial=await self._read_partial_line(scan.position))

    async def _read_partial_line(self, end: Position) -> LogLine | None:
        """Return the unfinished line behind the end of the log, if it passes the filter."""
        if end.file.compressed or end.unterminated:
            return None
        return await self._log.read_partial_line(end, self._query.line_filter)

    async def _find_numbered(self, cursor: LogCursor) -> Position:
        """Return the position of a cursor with the line number in the cursor.

        If the line was unfinished then and is finished now, the number is not that of all lines
        before.
        """
        return replace(await self._find(cursor), number=cursor.number)

    async def _find(self, cursor: LogCursor) -> Position:
        found = await self._log.find_position(cursor)
        if found is None:
            raise CursorExpiredError
        return found

    async def _find_end(self, file: LogFile, *, include_partial: bool) -> Position:
        """Return the end of a file. That of a compressed one is found by reading it."""
        if file.compressed:
            return Position(file, sys.maxsize, 0, b"")
        end = await self._log.find_end(file)
        if not include_partial:
            return end
        return await self._log.threads.read(end_including_partial_line, end, self._query.job_filter)

    async def _run_scan(self, work: Callable[[], T]) -> T:
        """Run a scan in threads: those for searches if there is a filter."""
        threads = self._log.threads
        return await (
            threads.index(work) if self._query.line_filter is None else threads.search(work)
        )


@asynccontextmanager
async def limit_time() -> AsyncIterator[None]:
    """Raise ReadLimitError if the search inside the context takes too long."""
    try:
        async with asyncio.timeout(FIND_TIMEOUT_S):
            yield
    except TimeoutError as error:
        raise ReadLimitError(
            detail="The search for this line took too long. Another try may succeed: lines are "
            "counted only once, except those of compressed files."
        ) from error


def end_including_partial_line(end: Position, job_filter: LineFilter | None) -> Position:
    """Return the position behind an unfinished last line, or `end` if there is none. Blocks."""
    file = end.file
    size = file.size()
    rest = file.read(end.offset, min(size - end.offset, LINE_LIMIT_BYTES))
    if not rest or b"\n" in rest:
        return end
    number = end.number + 1
    text = (
        read_long_line_text(file, end.offset, size)
        if job_filter is not None or b"\0" in rest
        else b" "
    )
    if not text:
        # A hole is not a line.
        return end
    if job_filter is not None:
        number = end.number + job_filter.matches(text[:LINE_LIMIT_BYTES])
    return Position(file, size, number, file.window_before(size), unterminated=True)
