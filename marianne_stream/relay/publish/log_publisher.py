"""Publishes the logs of jobs: reads each as a viewer does, and goes on where its stream ends.

It must not know where a log lies, or which jobs are wanted.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain

from marianne_stream.errors import LockLostError, LogNotFoundError, MarianneStreamError
from marianne_stream.feeds.followed import LogFollowers
from marianne_stream.feeds.job_logs import FileLogLocator
from marianne_stream.feeds.log import LogFeed, LogFeedOptions, open_log_feed
from marianne_stream.logs.opened import LogHandle
from marianne_stream.relay.connecting import asked
from marianne_stream.relay.format import LogEntry, LogPlace
from marianne_stream.relay.keys import Keys
from marianne_stream.relay.publish.log_entries import LogPlacer, Spot, entries_of, lines_of
from marianne_stream.relay.publish.state_publisher import MISSING_SAID_S, missing
from marianne_stream.relay.publish.writer import Column, Command, Writer, drop_fields, set_fields
from marianne_stream.relay.streams import readable
from marianne_stream.relay.validation import is_number, parse_log_entry
from marianne_stream.wire.cursors import LogCursor

logger = logging.getLogger(__name__)

TAIL_LINES = 1000

# How often one looks for a log that is not there, and whether one that has ended goes on.
LOOK_AGAIN_S = 1.0
GOES_ON_S = 3.0

# So many logs are begun at once.
LOOKS_AT_ONCE = 8

# After which part of the time for which logs are kept it is said again of those that are published.
KEPT_EVERY = 0.25


@dataclass(frozen=True, slots=True)
class Kept:
    """How much of a log its stream keeps.

    Attributes:
        lines: so many entries, roughly.
        age_s: so long after it was last published.
    """

    lines: int
    age_s: int


class LogPublisher:
    """Publishes logs, one at a time for each call.

    Args:
        job_logs: who finds them.
        followed: who follows them.
        keys: where they go.
        kept: how much is kept there.
    """

    def __init__(
        self, job_logs: FileLogLocator, followed: LogFollowers, keys: Keys, kept: Kept
    ) -> None:
        self._job_logs = job_logs
        self._followed = followed
        self._keys = keys
        self._kept = kept
        # The jobs whose logs are being published.
        self._open: set[str] = set()
        # Who looks where a stream ends does not take the connections from who writes.
        self._looking = asyncio.Semaphore(LOOKS_AT_ONCE)
        # Where the stream of each job stood when it was last written.
        self._spots: dict[str, Spot] = {}

    def __len__(self) -> int:
        """How many are being published."""
        return len(self._open)

    async def keep(self, writer: Writer) -> None:
        """Has logs kept that are being published and not written; raises as `Writer.write` does."""
        while True:
            await asyncio.sleep(self._kept.age_s * KEPT_EVERY)
            await writer.write([each for job_id in self._open for each in self._keep(job_id)])

    async def publish(self, job_id: str, writer: Writer) -> None:
        """Publishes one job's log until cancelled; raises as `Writer.write` does."""
        said_at = float("-inf")
        while True:
            delay_s = GOES_ON_S
            try:
                async with self._opened(job_id, writer) as (feed, placer):
                    if not feed.is_exhausted:
                        await self._follow(job_id, writer, feed, placer)
            except LockLostError:
                raise
            except MarianneStreamError as error:
                delay_s = LOOK_AGAIN_S
                if not isinstance(error, LogNotFoundError):
                    logger.debug("the log of %r cannot be published: %s", job_id, error)
                now = asyncio.get_running_loop().time()
                if now - said_at >= MISSING_SAID_S:
                    await writer.write([missing(self._keys, "log", job_id, error)])
                    said_at = now
            await asyncio.sleep(delay_s)

    @asynccontextmanager
    async def _opened(
        self, job_id: str, writer: Writer
    ) -> AsyncIterator[tuple[LogFeed, LogPlacer]]:
        """A feed that begins where the stream ends, and who gives its entries their places.

        Raises:
            MarianneStreamError: there is no such log, or it cannot be read.
            RedisError: Redis is away.
        """
        folders = await self._job_logs.find_dirs(job_id)
        log = await self._job_logs.find_log(job_id, folders, None)
        async with self._looking:
            spot, again = await self._published(job_id, writer), False
        last = self._spots.get(job_id, Spot())
        if spot is None:
            spot = last
            # All of it is gone: its readers get the newest lines again, and those who stand behind
            # them see no line twice, where it is still the same file.
            again = await is_newest(log, spot)
        cursor = "" if again else spot.cursor
        wish = LogFeedOptions(cursor, TAIL_LINES, None, folders.job_ended, wants_partial=False)
        feed = await open_log_feed(self._followed, log, job_id, wish)
        try:
            yield feed, LogPlacer(spot, above=last.generation, again=again)
        finally:
            self._open.discard(job_id)
            feed.close()

    async def _published(self, job_id: str, writer: Writer) -> Spot | None:
        """Where the stream ends; None where there is none."""
        key = self._keys.log(job_id)
        oldest = await asked(writer.client.xrange(key, count=1))
        newest = await asked(writer.client.xrevrange(key, count=1))
        if not oldest or not newest:
            return None
        await self._forget_before(LogPlace.parse(oldest[0][0]).generation, job_id, writer)
        # An entry that is invalid is of no relay: what follows it begins anew.
        last = readable(newest, parse_log_entry)
        place, cursor = LogPlace.parse(newest[0][0]), last[0][1].cursor if last else ""
        known = LogCursor.parse(cursor)
        return Spot(place.generation, cursor, place.offset, known.first_line_hash if known else 0)

    async def _forget_before(self, generation: int, job_id: str, writer: Writer) -> None:
        """Lets go of generations of which nothing is kept."""
        key = self._keys.files(job_id)
        names = await asked(writer.client.hkeys(key))
        old = [name.decode() for name in names if is_number(name) and int(name) < generation]
        await writer.write(drop_fields(key, old))

    async def _follow(self, job_id: str, writer: Writer, feed: LogFeed, placer: LogPlacer) -> None:
        """Publishes what a feed gives, to its end."""
        self._open.add(job_id)
        there = Command("DEL", self._keys.missing("log", job_id))
        await writer.write([there, *self._keep(job_id)])
        # Each time it is one step of the log's reader, at most: Redis, which does nothing else
        # meanwhile, has written that within a few milliseconds.
        async for frames in feed.frames():
            entries = self._entries(job_id, frames, placer, writer.now_s)
            if not entries:
                continue
            named = self._named(job_id, placer.names)
            # A key that is new does not expire by itself.
            kept = self._keep(job_id) if named else []
            await writer.write([*entries, *named, *kept], bulk=True)
            placer.names.clear()
            self._spots[job_id] = placer.spot
        await writer.write(self._keep(job_id))

    def _keep(self, job_id: str) -> list[Command]:
        """What keeps a log's keys for as long as they are to be, from now on."""
        age = (str(self._kept.age_s),)
        keys = (self._keys.log(job_id), self._keys.files(job_id))
        return [Command("EXPIRE", key, age) for key in keys]

    def _entries(self, job_id: str, frames: bytes, placer: LogPlacer, now_s: int) -> list[Command]:
        """What adds frames to the stream."""
        lines = lines_of(frames)
        if lines is None:
            placed = placer.placed(entries_of(frames), now_s)
            return [self._added(job_id, str(place), fields_of(entry)) for place, entry in placed]
        before, generation = placer.placed_lines(lines, now_s)
        return [
            *(self._added(job_id, str(place), fields_of(entry)) for place, entry in before),
            self._added(job_id, lines.ids(generation), lines.fields()),
        ]

    def _added(
        self, job_id: str, ids: str | Column, fields: Iterable[str | bytes | Column]
    ) -> Command:
        """What adds entries to a stream, and trims it now and then, as Redis finds it cheap."""
        trim = ("MAXLEN", "~", str(self._kept.lines))
        return Command("XADD", self._keys.log(job_id), (*trim, ids, *fields))

    def _named(self, job_id: str, names: Mapping[int, int]) -> list[Command]:
        """Says which files generations are."""
        fields = {str(generation): b"%016x" % first for generation, first in names.items()}
        return set_fields(self._keys.files(job_id), fields)


def fields_of(entry: LogEntry) -> Iterable[str | bytes]:
    """The fields of an entry, each name before its value."""
    return chain.from_iterable(entry.fields().items())


async def is_newest(log: LogHandle, spot: Spot) -> bool:
    """Whether a spot is in the file that is written now."""
    cursor = LogCursor.parse(spot.cursor)
    position = await log.find_position(cursor) if cursor is not None else None
    return position is not None and position.file.key == (await log.open_current()).key
