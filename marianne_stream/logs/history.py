"""Pages of a log's history, across its rotated files.

It must not know who asks, or how a page is sent.
"""

import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Literal, TypeVar

from marianne_stream.errors import CursorUnknownError, StateUnavailableError
from marianne_stream.logs.blocks import long_line_text
from marianne_stream.logs.entries import lines_above, passes_behind
from marianne_stream.logs.files import LogFile
from marianne_stream.logs.generations import LISTINGS, MovedError
from marianne_stream.logs.index import Selection
from marianne_stream.logs.looked import PageLine
from marianne_stream.logs.opened import OpenLog
from marianne_stream.logs.reader import Position
from marianne_stream.logs.scans import (
    SEARCH_S,
    BackwardsScan,
    ForwardsScan,
    Scan,
    Wanted,
)
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LINE_LIMIT_BYTES, LogLine

T = TypeVar("T")

StoppedBy = Literal["limit", "time", "start", "end"]


@dataclass(frozen=True, slots=True)
class Page:
    """Lines in their order, and where to go on.

    Attributes:
        lines: the lines.
        before: the oldest line that was looked at; None where there is none before it.
        after: the position behind the newest; where there are none, before what was looked at.
        stopped_by: why there are no more lines.
        read_bytes: how much was looked at.
        unread_bytes: how much of the file in which it stopped was not.
        gap: whether a file between the lines is damaged.
        partial: the unfinished line behind the last, if the page reaches it and it is wanted.
    """

    lines: Sequence[PageLine]
    before: LogCursor | None
    after: LogCursor | None
    stopped_by: StoppedBy
    read_bytes: int
    unread_bytes: int
    gap: bool
    partial: LogLine | None = None


class History:
    """A log's lines, in pages.

    Args:
        log: the log.
        only: which lines are wanted; all where it is None.
        limit: how many a page holds at most.
        over: whether the job is over: a line without a newline will not get one.
        context: how many lines around each are shown besides, of the same file.
    """

    def __init__(
        self,
        log: OpenLog,
        *,
        only: Selection | None,
        limit: int,
        over: bool,
        context: int = 0,
    ) -> None:
        self._log = log
        self._wanted = Wanted(log.selection, only, limit, context=context)
        self._over = over

    async def newest(self) -> Page:
        """The newest lines.

        Raises:
            LogNotFoundError: the log is not there any more.
            LogForbiddenError: it may not be read any more.
            TooManySearchesError: other searches go on.
            StateUnavailableError: the files were moved again and again meanwhile.
        """
        return await self._steadily(self._newest)

    async def newest_before(self, end: Position) -> Page:
        """The newest lines before a position; waits for its turn where other searches go on.

        Raises:
            StateUnavailableError: the file of the position was cut, or as `newest`.
        """
        return await self._steadily(partial(self._backwards, end, self._wanted), waits=True)

    async def oldest(self) -> Page:
        """The oldest lines of the oldest file.

        Raises: as `newest`.
        """
        return await self._steadily(self._oldest)

    async def before(self, cursor: LogCursor) -> Page:
        """The lines before the one that a cursor stands behind.

        Raises:
            CursorUnknownError: the cursor fits nothing; else as `newest`.
        """
        return await self._steadily(partial(self._before, cursor, self._wanted))

    async def after(self, cursor: LogCursor) -> Page:
        """The lines behind a cursor.

        Raises:
            CursorUnknownError: the cursor fits nothing; else as `newest`.
        """
        return await self._steadily(partial(self._after, cursor))

    async def around(self, cursor: LogCursor) -> Page:
        """The line that a cursor stands behind, and as many before and behind it as there is room.

        Raises:
            CursorUnknownError: the cursor fits nothing; else as `newest`.
        """
        return await self._steadily(partial(self._around, cursor))

    async def _steadily(self, page: Callable[[], Awaitable[Page]], *, waits: bool = False) -> Page:
        """A page, found again from the beginning where files were moved meanwhile."""
        async with self._room(waits=waits):
            for _ in range(LISTINGS):
                try:
                    return await page()
                except MovedError:
                    continue
        raise StateUnavailableError(detail="The log was rotated again and again while it was read.")

    async def _newest(self) -> Page:
        end = await self._end(await self._log.newest(), whole=self._over)
        page = await self._backwards(end, self._wanted)
        after, partial = await self._log.threads.read(end.cursor), await self._partial(end)
        return replace(page, after=after, partial=partial)

    async def _oldest(self) -> Page:
        file = await self._log.threads.read(self._log.generations.oldest)
        page = await self._onwards(Position(file, 0, 0, b""), self._wanted)
        return replace(page, before=None)

    async def _before(self, cursor: LogCursor, wanted: Wanted) -> Page:
        start = await self._behind(cursor)
        return await self._backwards(start, wanted, skip=start.offset)

    async def _after(self, cursor: LogCursor) -> Page:
        return await self._onwards(await self._find(cursor), self._wanted)

    async def _around(self, cursor: LogCursor) -> Page:
        """The halves of the page, of which one takes the room that the other leaves."""
        wanted = replace(self._wanted, until=time.monotonic() + SEARCH_S)
        share = wanted.limit - wanted.limit // 2
        half = replace(wanted, limit=share, room_bytes=wanted.room_bytes // 2)
        before = await self._backwards(await self._behind(cursor), half)
        rest = wanted.besides(before.lines)
        if not rest.limit:
            return replace(before, stopped_by="limit")
        behind = await self._onwards(await self._find(cursor), rest)
        rest = rest.besides(behind.lines)
        has_room = rest.limit > 0 and rest.room_bytes >= LINE_LIMIT_BYTES
        if has_room and before.before is not None and behind.stopped_by == "end":
            older = await self._before(before.before, rest)
            before = joined(older, replace(before, unread_bytes=0), older.stopped_by)
        ends = {before.stopped_by, behind.stopped_by}
        stopped_by: StoppedBy = "time" if "time" in ends else "limit" if "limit" in ends else "end"
        return joined(before, behind, stopped_by)

    async def _backwards(self, start: Position, wanted: Wanted, *, skip: int | None = None) -> Page:
        scan = BackwardsScan(wanted)
        await self._search(partial(scan.look_at, start, skip=skip))
        file, more = start.file, True
        while scan.at_start or scan.oldest is None:
            older = await self._log.threads.read(self._log.generations.before, file)
            more = older is not None
            if older is None or scan.ends(skip):
                break
            file = older
            await self._search(partial(scan.look_at, await self._end(file, whole=True)))
        # With nothing found, one goes on before what was looked at: the line that was left out may
        # be the first of it.
        begin = scan.begin or start
        newest = scan.lines[-1].cursor if scan.lines else await self._log.threads.read(begin.cursor)
        return page_of(scan, scan.oldest if more else None, newest, None if more else "start")

    async def _onwards(self, start: Position, wanted: Wanted) -> Page:
        scan = ForwardsScan(start, wanted)
        threads = self._log.threads
        more = True
        while True:
            await self._search(partial(scan.look_at, whole=self._over))
            if scan.ended:
                break
            file = scan.position.file
            end = await threads.read(scan.position.cursor)
            next_file = await threads.read(self._log.generations.after, file, end)
            if next_file is None:
                more = False
                break
            # What was written since, and a last line that will not get a newline any more.
            await self._search(partial(scan.look_at, whole=True))
            if scan.ended:
                break
            scan.position = Position(next_file.file, 0, 0, b"")
        newest = await threads.read(scan.position.cursor)
        oldest = scan.lines[0].cursor if scan.lines else newest
        page = page_of(scan, oldest, newest, None if more else "end")
        return page if more else replace(page, partial=await self._partial(scan.position))

    async def _partial(self, end: Position) -> LogLine | None:
        """The unfinished line behind a position at the end of the log, if it is wanted."""
        if end.file.compressed or end.unterminated:
            return None
        line, only = await self._log.unfinished(end), self._wanted.only
        if line is None or only is None:
            return line
        above = partial(lines_above, end.file, end.offset, self._log.selection)
        is_wanted = await self._log.threads.match(passes_behind, only, above, line.text)
        return line if is_wanted else None

    async def _behind(self, cursor: LogCursor) -> Position:
        """Where a cursor fits, with the number of the line that it stands behind.

        Where that had no end then, and has one now, this is not the number of all lines before.
        """
        return replace(await self._find(cursor), number=cursor.number)

    async def _find(self, cursor: LogCursor) -> Position:
        found = await self._log.find(cursor)
        if found is None:
            raise CursorUnknownError
        return found

    async def _end(self, file: LogFile, *, whole: bool) -> Position:
        """The end of a file. Of a compressed one it shows by reading."""
        if file.compressed:
            return Position(file, sys.maxsize, 0, b"")
        end = await self._log.end(file)
        if not whole:
            return end
        return await self._log.threads.read(behind_the_rest, end, self._wanted.selection)

    def _room(self, *, waits: bool) -> AbstractAsyncContextManager[None]:
        if self._wanted.only is None:
            return nullcontext()
        return self._log.threads.searching(waits=waits)

    async def _search(self, work: Callable[[], T]) -> T:
        """Runs what looks at lines: where they are filtered, in threads of its own."""
        threads = self._log.threads
        return await (threads.index(work) if self._wanted.only is None else threads.search(work))


def page_of(
    scan: Scan, before: LogCursor | None, after: LogCursor | None, end: StoppedBy | None
) -> Page:
    """What a scan found."""
    stopped_by = end or ("limit" if scan.full else "time")
    return Page(
        with_context(scan), before, after, stopped_by, scan.read_bytes, scan.unread_bytes, scan.gap
    )


def with_context(scan: Scan) -> Sequence[PageLine]:
    """What a scan found, each with the lines around it, in their order and once."""
    if not scan.context:
        return tuple(scan.lines)
    # The files in the order in which they were found, by their inode and first line.
    files: dict[tuple[int, int], dict[int, PageLine]] = {}
    for one in chain(scan.lines, scan.context):
        cursor = one.cursor
        files.setdefault((cursor.inode, cursor.first), {}).setdefault(cursor.offset, one)
    return tuple(lines[offset] for lines in files.values() for offset in sorted(lines))


def joined(older: Page, newer: Page, stopped_by: StoppedBy) -> Page:
    """Two pages as one, of which the one goes on where the other ends."""
    return Page(
        (*older.lines, *newer.lines),
        older.before,
        newer.after,
        stopped_by,
        older.read_bytes + newer.read_bytes,
        older.unread_bytes + newer.unread_bytes,
        older.gap or newer.gap,
        newer.partial,
    )


def behind_the_rest(end: Position, selection: Selection | None) -> Position:
    """The position behind a last line that has no newline, where there is one. Blocks."""
    file = end.file
    size = file.size()
    rest = file.read(end.offset, min(size - end.offset, LINE_LIMIT_BYTES))
    if not rest or b"\n" in rest:
        return end
    number = end.number + 1
    text = (
        long_line_text(file, end.offset, size) if selection is not None or b"\0" in rest else b" "
    )
    if not text:
        # A hole is no line.
        return end
    if selection is not None:
        number = end.number + selection.selects(text[:LINE_LIMIT_BYTES])
    return Position(file, size, number, file.window(size), unterminated=True)
