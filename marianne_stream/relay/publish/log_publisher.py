"""Publishes the logs of jobs: reads each as a viewer does, and goes on where its stream ends.

It must not know where a log lies, or which jobs are wanted.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import chain

from marianne_stream.errors import LockLostError, LogNotFoundError, MarianneStreamError
from marianne_stream.feeds.log_feed import LogFeed, open_log_feed
from marianne_stream.feeds.log_follower import LogFollowers
from marianne_stream.feeds.log_locator import FileLogLocator
from marianne_stream.feeds.log_start import LogFeedOptions
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.relay.publish.log_entries import (
    EntryIdAllocator,
    StreamPosition,
    parse_entries,
    parse_line_batch,
)
from marianne_stream.relay.publish.state_publisher import (
    UNAVAILABLE_INTERVAL_S,
    make_unavailable_command,
)
from marianne_stream.relay.publish.writer import Column, Command, Writer, delete_fields, set_fields
from marianne_stream.relay.redis_client import call
from marianne_stream.relay.redis_keys import SourceKeys
from marianne_stream.relay.redis_streams import decode_entries
from marianne_stream.relay.schema import LogEntry, LogEntryId
from marianne_stream.relay.validation import is_number, parse_log_entry
from marianne_stream.wire.cursors import LogCursor

logger = logging.getLogger(__name__)

TAIL_LINES = 1000

# How often one looks for a log that is not there, and whether one that has ended goes on.
MISSING_LOG_RETRY_S = 1.0
COMPLETE_LOG_POLL_S = 3.0

# So many logs are begun at once.
MAX_CONCURRENT_STARTS = 8

# After which part of the time for which logs are kept it is said again of those that are published.
EXPIRY_RENEW_FRACTION = 0.25


class LogPublisher:
    """Publishes logs, one at a time for each call.

    Args:
        log_locator: who finds them.
        log_followers: who follows them.
        keys: where they go.
        max_lines: approximate limit of the entries of a log.
        ttl_s: time for which a log is kept after its last write, in seconds.
    """

    def __init__(
        self,
        log_locator: FileLogLocator,
        log_followers: LogFollowers,
        keys: SourceKeys,
        *,
        max_lines: int,
        ttl_s: int,
    ) -> None:
        self._log_locator = log_locator
        self._log_followers = log_followers
        self._keys = keys
        self._max_lines = max_lines
        self._ttl_s = ttl_s
        # The jobs whose logs are being published.
        self._published_jobs: set[str] = set()
        # Who looks where a stream ends does not take the connections from who writes.
        self._start_semaphore = asyncio.Semaphore(MAX_CONCURRENT_STARTS)
        # Where the stream of each job stood when it was last written.
        self._positions: dict[str, StreamPosition] = {}

    def __len__(self) -> int:
        """How many are being published."""
        return len(self._published_jobs)

    async def renew_expiry(self, writer: Writer) -> None:
        """Has logs kept that are being published and not written; raises as `Writer.write` does."""
        while True:
            await asyncio.sleep(self._ttl_s * EXPIRY_RENEW_FRACTION)
            await writer.write(
                [
                    each
                    for job_id in self._published_jobs
                    for each in self._make_expire_commands(job_id)
                ]
            )

    async def publish(self, job_id: str, writer: Writer) -> None:
        """Publishes one job's log until cancelled; raises as `Writer.write` does."""
        said_at = float("-inf")
        while True:
            delay_s = COMPLETE_LOG_POLL_S
            try:
                async with self._open_feed(job_id, writer) as (feed, placer):
                    if not feed.is_exhausted:
                        await self._publish_feed(job_id, writer, feed, placer)
            except LockLostError:
                raise
            except MarianneStreamError as error:
                delay_s = MISSING_LOG_RETRY_S
                if not isinstance(error, LogNotFoundError):
                    logger.debug("the log of %r cannot be published: %s", job_id, error)
                now = asyncio.get_running_loop().time()
                if now - said_at >= UNAVAILABLE_INTERVAL_S:
                    await writer.write([make_unavailable_command(self._keys, "log", job_id, error)])
                    said_at = now
            await asyncio.sleep(delay_s)

    @asynccontextmanager
    async def _open_feed(
        self, job_id: str, writer: Writer
    ) -> AsyncIterator[tuple[LogFeed, EntryIdAllocator]]:
        """A feed that begins where the stream ends, and who gives its entries their places.

        Raises:
            MarianneStreamError: there is no such log, or it cannot be read.
            RedisError: Redis is away.
        """
        folders = await self._log_locator.find_dirs(job_id)
        log = await self._log_locator.find_log(job_id, folders, None)
        async with self._start_semaphore:
            spot, again = await self._find_stream_end(job_id, writer), False
        last = self._positions.get(job_id, StreamPosition())
        if spot is None:
            spot = last
            # All of it is gone: its readers get the newest lines again, and those who stand behind
            # them see no line twice, where it is still the same file.
            again = await is_in_newest_file(log, spot)
        cursor = "" if again else spot.cursor
        wish = LogFeedOptions(cursor, TAIL_LINES, None, folders.job_ended, wants_partial=False)
        feed = await open_log_feed(self._log_followers, log, job_id, wish)
        try:
            yield (
                feed,
                EntryIdAllocator(spot, highest_generation=last.generation, is_republishing=again),
            )
        finally:
            self._published_jobs.discard(job_id)
            feed.close()

    async def _find_stream_end(self, job_id: str, writer: Writer) -> StreamPosition | None:
        """Where the stream ends; None where there is none."""
        key = self._keys.log(job_id)
        oldest = await call(writer.client.xrange(key, count=1))
        newest = await call(writer.client.xrevrange(key, count=1))
        if not oldest or not newest:
            return None
        await self._delete_generations_before(
            LogEntryId.parse(oldest[0][0]).generation, job_id, writer
        )
        # An entry that is invalid is of no relay: what follows it begins anew.
        last = decode_entries(newest, parse_log_entry)
        place, cursor = LogEntryId.parse(newest[0][0]), last[0][1].cursor if last else ""
        known = LogCursor.parse(cursor)
        return StreamPosition(
            place.generation, cursor, place.offset, known.first_line_hash if known else 0
        )

    async def _delete_generations_before(
        self, generation: int, job_id: str, writer: Writer
    ) -> None:
        """Lets go of generations of which nothing is kept."""
        key = self._keys.files(job_id)
        names = await call(writer.client.hkeys(key))
        old = [name.decode() for name in names if is_number(name) and int(name) < generation]
        await writer.write(delete_fields(key, old))

    async def _publish_feed(
        self, job_id: str, writer: Writer, feed: LogFeed, allocator: EntryIdAllocator
    ) -> None:
        """Publishes what a feed gives, to its end."""
        self._published_jobs.add(job_id)
        there = Command("DEL", self._keys.unavailable("log", job_id))
        await writer.write([there, *self._make_expire_commands(job_id)])
        # Each time it is one step of the log's reader, at most: Redis, which does nothing else
        # meanwhile, has written that within a few milliseconds.
        async for frames in feed.frames():
            entries = self._make_add_commands(job_id, frames, allocator, writer.redis_time_s)
            if not entries:
                continue
            named = self._make_generation_commands(job_id, allocator.new_generations)
            # A key that is new does not expire by itself.
            kept = self._make_expire_commands(job_id) if named else []
            await writer.write([*entries, *named, *kept], is_bulk=True)
            allocator.new_generations.clear()
            self._positions[job_id] = allocator.position
        await writer.write(self._make_expire_commands(job_id))

    def _make_expire_commands(self, job_id: str) -> list[Command]:
        """What keeps a log's keys for as long as they are to be, from now on."""
        age = (str(self._ttl_s),)
        keys = (self._keys.log(job_id), self._keys.files(job_id))
        return [Command("EXPIRE", key, age) for key in keys]

    def _make_add_commands(
        self, job_id: str, frames: bytes, allocator: EntryIdAllocator, redis_time_s: int
    ) -> list[Command]:
        """What adds frames to the stream."""
        lines = parse_line_batch(frames)
        if lines is None:
            placed = allocator.assign_ids(parse_entries(frames), redis_time_s)
            return [
                self._make_add_command(job_id, str(place), flatten_fields(entry))
                for place, entry in placed
            ]
        before, generation = allocator.assign_line_ids(lines, redis_time_s)
        return [
            *(
                self._make_add_command(job_id, str(place), flatten_fields(entry))
                for place, entry in before
            ),
            self._make_add_command(job_id, lines.make_ids(generation), lines.make_fields()),
        ]

    def _make_add_command(
        self, job_id: str, ids: str | Column, fields: Iterable[str | bytes | Column]
    ) -> Command:
        """What adds entries to a stream, and trims it now and then, as Redis finds it cheap."""
        trim = ("MAXLEN", "~", str(self._max_lines))
        return Command("XADD", self._keys.log(job_id), (*trim, ids, *fields))

    def _make_generation_commands(
        self, job_id: str, new_generations: Mapping[int, int]
    ) -> list[Command]:
        """Says which files generations are."""
        fields = {
            str(generation): b"%016x" % first for generation, first in new_generations.items()
        }
        return set_fields(self._keys.files(job_id), fields)


def flatten_fields(entry: LogEntry) -> Iterable[str | bytes]:
    """The fields of an entry, each name before its value."""
    return chain.from_iterable(entry.fields().items())


async def is_in_newest_file(log: LogHandle, stream_position: StreamPosition) -> bool:
    """Whether a spot is in the file that is written now."""
    cursor = LogCursor.parse(stream_position.cursor)
    position = await log.find_position(cursor) if cursor is not None else None
    return position is not None and position.file.key == (await log.open_current()).key
