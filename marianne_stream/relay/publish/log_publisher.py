"""Publisher of job logs: follows each as a viewer does, from the position where its stream ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from marianne_stream.errors import LockLostError, LogNotFoundError, MarianneStreamError
from marianne_stream.feeds.log_batches import LogBatch
from marianne_stream.feeds.log_feed import FollowedLogFeed, open_log_feed
from marianne_stream.feeds.log_follower import LogFollowers
from marianne_stream.feeds.log_frame_reader import LogResultReader
from marianne_stream.feeds.log_frames import now_iso
from marianne_stream.feeds.log_locator import FileLogLocator
from marianne_stream.feeds.log_start import LogFeedOptions
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.logs.log_reader import ReadResult
from marianne_stream.relay.publish.log_entries import (
    EntryArguments,
    EntryIdAllocator,
    LogItem,
    StreamPosition,
    make_complete_entry,
    make_gap_entry,
    make_items,
)
from marianne_stream.relay.publish.state_publisher import (
    UNAVAILABLE_INTERVAL_S,
    make_unavailable_command,
)
from marianne_stream.relay.publish.writer import Command, Writer, delete_fields, set_fields
from marianne_stream.relay.redis_client import call
from marianne_stream.relay.redis_keys import SourceKeys
from marianne_stream.relay.redis_streams import decode_entries
from marianne_stream.relay.schema import LogEntry, LogEntryId
from marianne_stream.relay.validation import is_number, parse_log_entry
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LogLine

logger = logging.getLogger(__name__)

TAIL_LINES = 1000

# Interval of the search for a missing log, and of the question whether an ended log goes on.
MISSING_LOG_RETRY_S = 1.0
COMPLETE_LOG_POLL_S = 3.0

# Starts at the same time, so that they leave connections to the writers.
MAX_CONCURRENT_STARTS = 8

# The time to live is renewed after this fraction of it.
EXPIRY_RENEW_FRACTION = 0.25


# Cursor that no log has.
UNKNOWN_CURSOR = "unknown"


class LogItemReader(LogResultReader[list[LogItem]]):
    """Reads a log as items of its stream."""

    def _encode(self, result: ReadResult, lines: Sequence[LogLine]) -> list[LogItem]:
        del lines
        return make_items(result, now_iso())


class LogItemFeed(FollowedLogFeed[list[LogItem]]):
    """Feed of a followed log as items of its stream."""

    def _make_reader(self) -> LogItemReader:
        log, start = self._follower.log, self._start.position
        return LogItemReader(log, start, self._initial_end, None)

    async def _first_frames(self) -> AsyncIterator[list[LogItem]]:
        if self._start.has_gap:
            yield [make_gap_entry(None)]
        if cursor := await self._make_first_cursor():
            yield [LogEntry(cursor)]

    async def _encode_batch(self, batch: LogBatch) -> list[LogItem]:
        if batch.is_complete:
            return [await self._threads.read(make_complete_entry, batch.result.end)]
        return make_items(batch.result, batch.timestamp)

    async def _make_end_frame(self) -> list[LogItem]:
        if not self._follower.is_complete:
            return []
        return [await self._threads.read(make_complete_entry, self._reader.position)]


class LogPublisher:
    """Publishes logs, one in each call of `publish`.

    Args:
        log_locator: locator of the jobs' logs.
        log_followers: followers of logs, shared with the viewers of this server.
        keys: keys of the source.
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
        self._published_jobs: set[str] = set()
        self._start_semaphore = asyncio.Semaphore(MAX_CONCURRENT_STARTS)
        # End of each job's stream at its last write.
        self._positions: dict[str, StreamPosition] = {}

    def __len__(self) -> int:
        """Return the number of logs that are published now."""
        return len(self._published_jobs)

    async def renew_expiry(self, writer: Writer) -> None:
        """Keep the published logs that nothing is written to; raises as `Writer.write` does."""
        while True:
            await asyncio.sleep(self._ttl_s * EXPIRY_RENEW_FRACTION)
            jobs = self._published_jobs
            await writer.write([one for job in jobs for one in self._make_expire_commands(job)])

    async def publish(self, job_id: str, writer: Writer) -> None:
        """Publish one job's log until cancelled; raises as `Writer.write` does."""
        reported_at = float("-inf")
        while True:
            delay_s = COMPLETE_LOG_POLL_S
            try:
                async with self._open_feed(job_id, writer) as (feed, allocator):
                    if not feed.is_exhausted:
                        await self._publish_feed(job_id, writer, feed, allocator)
            except LockLostError:
                raise
            except MarianneStreamError as error:
                delay_s = MISSING_LOG_RETRY_S
                if not isinstance(error, LogNotFoundError):
                    logger.debug("log unavailable job=%r: %s", job_id, error)
                now = asyncio.get_running_loop().time()
                if now - reported_at >= UNAVAILABLE_INTERVAL_S:
                    await writer.write([make_unavailable_command(self._keys, "log", job_id, error)])
                    reported_at = now
            await asyncio.sleep(delay_s)

    @asynccontextmanager
    async def _open_feed(
        self, job_id: str, writer: Writer
    ) -> AsyncIterator[tuple[LogItemFeed, EntryIdAllocator]]:
        """Open a feed from the end of the stream, and the allocator of its ids."""
        dirs = await self._log_locator.find_dirs(job_id)
        log = await self._log_locator.find_log(job_id, dirs, None)
        async with self._start_semaphore:
            position, is_republishing = await self._find_stream_end(job_id, writer), False
        last = self._positions.get(job_id, StreamPosition())
        if position is None:
            position = last
            # Redis has lost the stream. The newest lines are published again, with the same ids if
            # it is still the same file, so that an edge that has read them skips them.
            is_republishing = await is_in_newest_file(log, position)
        cursor = "" if is_republishing else position.cursor
        options = LogFeedOptions(cursor, TAIL_LINES, None, dirs.job_ended, wants_partial=False)
        feed = await open_log_feed(LogItemFeed, self._log_followers, log, job_id, options)
        allocator = EntryIdAllocator(
            position, highest_generation=last.generation, is_republishing=is_republishing
        )
        try:
            yield feed, allocator
        finally:
            self._published_jobs.discard(job_id)
            feed.close()

    async def _find_stream_end(self, job_id: str, writer: Writer) -> StreamPosition | None:
        """Return the position at which the stream ends, or None if there is no stream."""
        key = self._keys.log(job_id)
        oldest = await call(writer.client.xrange(key, count=1))
        newest = await call(writer.client.xrevrange(key, count=1))
        if not oldest or not newest:
            return None
        oldest_generation = LogEntryId.parse(oldest[0][0]).generation
        await self._delete_generations_before(oldest_generation, job_id, writer)
        # Behind an entry without a valid cursor, the log begins anew, with a gap.
        decoded = decode_entries(newest, parse_log_entry)
        text = decoded[0][1].cursor if decoded else ""
        text = text or UNKNOWN_CURSOR
        entry_id, cursor = LogEntryId.parse(newest[0][0]), LogCursor.parse(text)
        first_line_hash = cursor.first_line_hash if cursor is not None else 0
        return StreamPosition(entry_id.generation, text, entry_id.offset, first_line_hash)

    async def _delete_generations_before(
        self, generation: int, job_id: str, writer: Writer
    ) -> None:
        key = self._keys.files(job_id)
        names = await call(writer.client.hkeys(key))
        old = [name.decode() for name in names if is_number(name) and int(name) < generation]
        await writer.write(delete_fields(key, old))

    async def _publish_feed(
        self, job_id: str, writer: Writer, feed: LogItemFeed, allocator: EntryIdAllocator
    ) -> None:
        """Publish a feed to its end."""
        self._published_jobs.add(job_id)
        clear_reason = Command("DEL", self._keys.unavailable("log", job_id))
        await writer.write([clear_reason, *self._make_expire_commands(job_id)])
        files_key = self._keys.files(job_id)
        # Items are one read of the log, which Redis writes within a few milliseconds.
        async for items in feed.frames():
            entries = allocator.assign_ids(items, writer.redis_time_s)
            if not entries:
                continue
            commands = [self._make_add_command(job_id, entry) for entry in entries]
            if new := allocator.new_generations:
                # New keys do not expire by themselves.
                fields = {str(generation): b"%016x" % first for generation, first in new.items()}
                commands += [*set_fields(files_key, fields), *self._make_expire_commands(job_id)]
            await writer.write(commands, is_bulk=True)
            new.clear()
            self._positions[job_id] = allocator.position
        await writer.write(self._make_expire_commands(job_id))

    def _make_expire_commands(self, job_id: str) -> list[Command]:
        keys = (self._keys.log(job_id), self._keys.files(job_id))
        return [Command("EXPIRE", key, (str(self._ttl_s),)) for key in keys]

    def _make_add_command(self, job_id: str, entry: EntryArguments) -> Command:
        ids, fields = entry
        trim = ("MAXLEN", "~", str(self._max_lines))
        return Command("XADD", self._keys.log(job_id), (*trim, ids, *fields))


async def is_in_newest_file(log: LogHandle, stream_position: StreamPosition) -> bool:
    """Return whether a position is in the file that is written now."""
    cursor = LogCursor.parse(stream_position.cursor)
    position = await log.find_position(cursor) if cursor is not None else None
    return position is not None and position.file.key == (await log.open_current()).key
