"""Pages of a log's history, across its rotated files.

It must not know who asks, or how a page is sent.
"""

import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from threading import Event
from typing import Literal, TypeVar

from marianne_stream.errors import CursorUnknownError, StateUnavailableError
from marianne_stream.logs.files import LogFile
from marianne_stream.logs.generations import LISTINGS, MovedError
from marianne_stream.logs.index import Selection
from marianne_stream.logs.opened import OpenLog
from marianne_stream.logs.reader import Position
from marianne_stream.logs.scans import BackwardsScan, ForwardsScan, PageLine, Scan, Wanted
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LINE_LIMIT_BYTES, shortened

T = TypeVar("T")

StoppedBy = Literal["limit", "time", "start", "end"]


@dataclass(frozen=True, slots=True)
class Page:
    """Lines in their order, and where to go on.

    Attributes:
        lines: the lines.
        before: the oldest line that was looked at; None where there is none before it.
        after: the position behind the newest; None where nothing was looked at.
        stopped_by: why there are no more lines.
        read_bytes: how much was looked at.
        unread_bytes: how much of the file in which it stopped was not.
        gap: whether a file between the lines is damaged.
    """

    lines: Sequence[PageLine]
    before: LogCursor | None
    after: LogCursor | None
    stopped_by: StoppedBy
    read_bytes: int
    unread_bytes: int
    gap: bool


class History:
    """A log's lines, in pages.

    Args:
        log: the log.
        only: which lines are wanted; all where it is None.
        limit: how many a page holds at most.
        over: whether the job is over: a line without a newline will not get one.
    """

    def __init__(self, log: OpenLog, *, only: Selection | None, limit: int, over: bool) -> None:
        self._log = log
        self._wanted = Wanted(log.selection, only, limit)
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

    async def before(self, cursor: LogCursor) -> Page:
        """The lines before the one that a cursor stands behind.

        Raises:
            CursorUnknownError: the cursor fits nothing; else as `newest`.
        """
        return await self._steadily(partial(self._before, cursor))

    async def after(self, cursor: LogCursor) -> Page:
        """The lines behind a cursor.

        Raises:
            CursorUnknownError: the cursor fits nothing; else as `newest`.
        """
        return await self._steadily(partial(self._after, cursor))

    async def _steadily(self, page: Callable[[], Awaitable[Page]]) -> Page:
        """A page, found again from the beginning where files were moved meanwhile."""
        with self._room():
            for _ in range(LISTINGS):
                try:
                    return await page()
                except MovedError:
                    continue
        raise StateUnavailableError(detail="The log was rotated again and again while it was read.")

    async def _newest(self) -> Page:
        end = await self._end(await self._log.newest(), whole=self._over)
        page = await self._backwards(end, skip=None)
        return replace(page, after=await self._log.threads.read(end.cursor))

    async def _before(self, cursor: LogCursor) -> Page:
        found = await self._find(cursor)
        # The number of the line that the cursor stands behind, which is not always all there is.
        start = replace(found, number=cursor.number)
        return await self._backwards(start, skip=found.offset)

    async def _backwards(self, start: Position, *, skip: int | None) -> Page:
        scan = BackwardsScan(self._wanted)
        await self._search(partial(scan.look_at, start, skip=skip))
        file, more = start.file, True
        while scan.at_start or scan.oldest is None:
            older = await self._log.threads.read(self._log.generations.before, file)
            more = older is not None
            if older is None or scan.ended:
                break
            file = older
            await self._search(partial(scan.look_at, await self._end(file, whole=True)))
        newest = scan.lines[-1].cursor if scan.lines else scan.oldest
        return page_of(scan, scan.oldest if more else None, newest, None if more else "start")

    async def _after(self, cursor: LogCursor) -> Page:
        scan = ForwardsScan(await self._find(cursor), self._wanted)
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
        return page_of(scan, oldest, newest, None if more else "end")

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

    def _room(self) -> AbstractContextManager[None]:
        return nullcontext() if self._wanted.only is None else self._log.threads.searching()

    async def _search(self, work: Callable[[Event], T]) -> T:
        """Runs what looks at lines: where they are filtered, in threads of its own."""
        threads = self._log.threads
        return await (threads.index(work) if self._wanted.only is None else threads.search(work))


def page_of(
    scan: Scan, before: LogCursor | None, after: LogCursor | None, end: StoppedBy | None
) -> Page:
    """What a scan found."""
    stopped_by = end or ("limit" if scan.full else "time")
    return Page(
        tuple(scan.lines), before, after, stopped_by, scan.read_bytes, scan.unread_bytes, scan.gap
    )


def behind_the_rest(end: Position, selection: Selection | None) -> Position:
    """The position behind a last line that has no newline, where there is one. Blocks."""
    file = end.file
    size = file.size()
    rest = file.read(end.offset, min(size - end.offset, LINE_LIMIT_BYTES + 2))
    if not rest or b"\n" in rest:
        return end
    text, _ = shortened(rest, size - end.offset, terminated=False)
    number = end.number + (selection is None or selection.selects(text))
    return Position(file, size, number, file.window(size), unterminated=True)
