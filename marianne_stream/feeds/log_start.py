"""Where a viewer of a log begins: at a position, behind the newest lines that it wants.

With a filter these are looked for, since the newest lines of all may hold none of them. It must not
know what follows, or how frames are sent.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby

from marianne_stream.errors import StateUnavailableError
from marianne_stream.feeds.log_frames import change_frames, gap_frame, line_frames, read_now
from marianne_stream.logs.history import History, Page
from marianne_stream.logs.index import Selection
from marianne_stream.logs.looked import PageLine
from marianne_stream.logs.opened import OpenLog
from marianne_stream.logs.opening import LogPlace
from marianne_stream.logs.reader import Gap, Position, Rotated, Step
from marianne_stream.wire.cursors import LogCursor

# So many lines are one piece: the next one waits until it is taken.
PIECE_LINES = 100


class LogTail:
    """The newest wanted lines before a position.

    Args:
        log: the log.
        end: the position.
        only: which lines are wanted.
        lines: how many at most.
    """

    def __init__(self, log: OpenLog, end: Position, only: Selection, lines: int) -> None:
        self._log = log
        self._end = end
        self._history = History(log, only=only, limit=lines, over=False)
        self._looking: asyncio.Task[Page | None] | None = None
        self._closed = False
        self.held_bytes = 0

    async def frames(self) -> AsyncIterator[bytes]:
        """Their frames, once they are found; none where it is closed before."""
        if self._closed:
            return
        self._looking = asyncio.create_task(self._look())
        try:
            await asyncio.wait([self._looking])
        finally:
            self._looking.cancel()
        if self._looking.cancelled() or (page := self._looking.result()) is None:
            return
        pieces = await self._log.threads.read(self._encoded, page)
        self.held_bytes = sum(map(len, pieces))
        while pieces and not self._closed:
            piece = pieces.pop(0)
            self.held_bytes -= len(piece)
            yield piece

    def close(self) -> None:
        """Lets `frames` end."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self) -> Page | None:
        """What is found; nothing where the file is cut meanwhile, which the reader then sees."""
        with suppress(StateUnavailableError):
            return await self._history.newest_before(self._end)
        return None

    def _encoded(self, page: Page) -> list[bytes]:
        now = read_now()
        pieces = [gap_frame(Gap("rotated_away", None))] if page.gap else []
        for step in steps_of(page.lines, self._end, self._log.place):
            frames = line_frames(step, step.lines, timestamp=now, initial=True)
            pieces.append(b"".join((*frames, *change_frames(step))))
        return pieces


@dataclass(frozen=True, slots=True)
class LogStart:
    """Where a viewer begins.

    Attributes:
        position: behind the last line that it has.
        resumes: whether that is where its cursor says.
        at_end: whether it resumes where nothing follows.
        gap: whether it must be told that its cursor could not be used.
        tail: the lines that it is sent first, where they must be looked for.
    """

    position: Position
    resumes: bool = False
    at_end: bool = False
    gap: bool = False
    tail: LogTail | None = None

    async def frames(self) -> AsyncIterator[bytes]:
        """What comes before the lines that follow the position."""
        if self.gap:
            yield gap_frame(None)
        if self.tail is not None:
            async for chunk in self.tail.frames():
                yield chunk

    @property
    def held_bytes(self) -> int:
        """What is kept of it."""
        return self.tail.held_bytes if self.tail is not None else 0

    def close(self) -> None:
        """Lets `frames` end."""
        if self.tail is not None:
            self.tail.close()


def steps_of(lines: Sequence[PageLine], end: Position, place: LogPlace) -> Iterator[Step]:
    """Found lines as they are read: in pieces, and a rotation behind those of each older file.

    Args:
        lines: the lines, the oldest first.
        end: the position behind all of them. Asked for its file's first line: it blocks.
        place: where the log lies.
    """
    files = [(key, list(found)) for key, found in groupby(lines, lambda line: file_of(line.cursor))]
    here = file_of(end.cursor())
    for key, found in files:
        for start in range(0, len(found), PIECE_LINES):
            piece = [line.line for line in found[start : start + PIECE_LINES]]
            rotates = key != here and start + PIECE_LINES >= len(found)
            rotated = Rotated(place.shown, "renamed") if rotates else None
            yield Step(piece, *key, end, rotated=rotated, of_conductor=place.of_conductor)


def file_of(cursor: LogCursor) -> tuple[int, int]:
    """What tells the files of a log apart: the inode, and the first line."""
    return cursor.inode, cursor.first
