"""Publisher of job logs: follows each as a viewer does, from the position where its stream ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from marianne_stream.common.task_set import run_until_first_failure
from marianne_stream.errors import LockLostError, LogNotFoundError, MarianneStreamError
from marianne_stream.feeds.log_batches import LogBatch
from marianne_stream.feeds.log_feed import FollowedLogFeed, open_log_feed
from marianne_stream.feeds.log_follower import LogFollowers
from marianne_stream.feeds.log_frame_reader import LogResultReader
from marianne_stream.feeds.log_frames import now_iso
from marianne_stream.feeds.log_locator import FileLogLocator
from marianne_stream.feeds.log_start import LogRequest
from marianne_stream.logs.log_reader import ReadResult
from marianne_stream.models import Roster
from marianne_stream.relay.publish.config import PublishConfig
from marianne_stream.relay.publish.log_entries import (
    EntryArguments,
    EntryIdAllocator,
    LogItem,
    make_complete_entry,
    make_gap_entry,
    make_items,
)
from marianne_stream.relay.publish.selection import JobTasks
from marianne_stream.relay.publish.state_publisher import (
    UNAVAILABLE_INTERVAL_S,
    make_unavailable_command,
)
from marianne_stream.relay.publish.writer import Command, Writer
from marianne_stream.relay.redis_client import call
from marianne_stream.relay.redis_streams import decode_entries
from marianne_stream.relay.schema import LogEntry, LogEntryId, SourceKeys, parse_log_entry
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LogLine

logger = logging.getLogger(__name__)

TAIL_LINES = 1000

# Interval of the search for a missing log, and of the question whether an ended log goes on.
MISSING_LOG_RETRY_S = 1.0
COMPLETE_LOG_POLL_S = 3.0

# The log of a job that has ended is published for this much longer.
LOG_END_GRACE_S = 30.0

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
    """Publishes the logs that edges ask for, or also those of all running jobs.

    Args:
        log_locator: locator of the jobs' logs.
        log_followers: followers of logs, shared with the viewers of this server.
        keys: keys of the source.
        config: extent of what is published.
    """

    def __init__(
        self,
        log_locator: FileLogLocator,
        log_followers: LogFollowers,
        keys: SourceKeys,
        config: PublishConfig,
    ) -> None:
        self._log_locator = log_locator
        self._log_followers = log_followers
        self._keys = keys
        self._config = config
        self._tasks = JobTasks()
        self._requested: set[str] = set()
        # End of the publication of each job's log, for all jobs that run or ran.
        self._publish_until: dict[str, float] = {}
        self._published_jobs: set[str] = set()
        self._start_semaphore = asyncio.Semaphore(MAX_CONCURRENT_STARTS)
        # Newest generation of each job's stream.
        self._generations: dict[str, int] = {}

    def __len__(self) -> int:
        """Return the number of logs that are published now."""
        return len(self._published_jobs)

    def on_roster(self, roster: Roster) -> None:
        """Select the jobs that run, if all logs are published."""
        if not self._config.publishes_all_logs:
            return
        running = {i for i, entry in roster.entries.items() if not entry.is_terminal}
        now = asyncio.get_running_loop().time()
        for job_id, until in list(self._publish_until.items()):
            if until < now:
                del self._publish_until[job_id]
            elif job_id not in running:
                self._publish_until[job_id] = min(until, now + LOG_END_GRACE_S)
        self._publish_until.update(dict.fromkeys(running, float("inf")))
        self._tasks.select(self._publish_until.keys() | self._requested)

    def on_interest(self, job_ids: set[str]) -> None:
        """Select the jobs whose logs edges ask for."""
        self._requested = job_ids
        self._tasks.select(self._publish_until.keys() | self._requested)

    async def run(self, writer: Writer) -> None:
        """Publish the selected logs until cancelled; raises as `Writer.write` does."""
        await run_until_first_failure(
            self._tasks.run(lambda job_id: self._publish(job_id, writer)),
            self._renew_expiry(writer),
        )

    async def _renew_expiry(self, writer: Writer) -> None:
        """Keep the published logs that nothing is written to."""
        while True:
            await asyncio.sleep(self._config.log_ttl_s * EXPIRY_RENEW_FRACTION)
            await writer.write([self._make_expire_command(job) for job in self._published_jobs])

    async def _publish(self, job_id: str, writer: Writer) -> None:
        """Publish one job's log until cancelled."""
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
        """Open a feed from the end of the stream, and the allocator of its ids.

        Without a stream, the newest lines are published. Redis may have lost it, and an edge that
        has read some of the lines finds its position among them by its cursor.
        """
        dirs = await self._log_locator.find_dirs(job_id)
        log = await self._log_locator.find_log(job_id, dirs, None)
        async with self._start_semaphore:
            cursor, allocator = await self._find_stream_end(job_id, writer)
        log_request = LogRequest(cursor, TAIL_LINES, wants_partial=False)
        feed = await open_log_feed(
            LogItemFeed, self._log_followers, log, log_request, job_ended=dirs.job_ended
        )
        try:
            yield feed, allocator
        finally:
            self._published_jobs.discard(job_id)
            feed.close()

    async def _find_stream_end(self, job_id: str, writer: Writer) -> tuple[str, EntryIdAllocator]:
        """Return the cursor of the newest entry of the stream, and the allocator of the next id."""
        highest = self._generations.get(job_id, 0)
        newest = await call(writer.client.xrevrange(self._keys.log(job_id), count=1))
        if not newest:
            return "", EntryIdAllocator(None, highest_generation=highest)
        # Behind an entry without a valid cursor, the log begins anew, with a gap.
        decoded = decode_entries(newest, parse_log_entry)
        text = (decoded[0][1].cursor if decoded else "") or UNKNOWN_CURSOR
        entry_id, cursor = LogEntryId.parse(newest[0][0]), LogCursor.parse(text)
        first_line_hash = cursor.first_line_hash if cursor is not None else 0
        return text, EntryIdAllocator(entry_id, first_line_hash, highest_generation=highest)

    async def _publish_feed(
        self, job_id: str, writer: Writer, feed: LogItemFeed, allocator: EntryIdAllocator
    ) -> None:
        """Publish a feed to its end."""
        self._published_jobs.add(job_id)
        # A new key does not expire by itself.
        expire = [self._make_expire_command(job_id)]
        await writer.write([Command("DEL", self._keys.unavailable("log", job_id)), *expire])
        # Items are one read of the log, which Redis writes within a few milliseconds.
        async for items in feed.frames():
            entries = allocator.assign_ids(items, writer.redis_time_s)
            if not entries:
                continue
            commands = [self._make_add_command(job_id, entry) for entry in entries]
            await writer.write([*commands, *expire], is_bulk=True)
            expire = []
            self._generations[job_id] = allocator.generation
        await writer.write([self._make_expire_command(job_id)])

    def _make_expire_command(self, job_id: str) -> Command:
        return Command("EXPIRE", self._keys.log(job_id), (str(self._config.log_ttl_s),))

    def _make_add_command(self, job_id: str, entry: EntryArguments) -> Command:
        ids, fields = entry
        trim = ("MAXLEN", "~", str(self._config.max_log_lines))
        return Command("XADD", self._keys.log(job_id), (*trim, ids, *fields))
