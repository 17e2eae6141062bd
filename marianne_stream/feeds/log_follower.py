"""Followers of logs: one for each log, however many clients.

A follower reads and encodes appended lines once, and offers them to all subscribers.
"""

import asyncio
import logging
import time

from marianne_stream.common.task_set import KeyedTasks
from marianne_stream.errors import MarianneStreamError, StateUnavailableError
from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.feeds.log_batches import (
    LogBatch,
    LogBatchQueue,
    make_batch,
    make_partial_batch,
)
from marianne_stream.feeds.log_frames import make_complete_frame
from marianne_stream.feeds.partial_line_throttle import PartialLineThrottle
from marianne_stream.jobs.hub import JobHub
from marianne_stream.logs.file_watcher import FileWatcher, WatchHandle
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.logs.log_reader import LogReader, ReadResult
from marianne_stream.logs.positions import Position
from marianne_stream.logs.safe_open import LogPath, open_directory
from marianne_stream.models import RosterEntry

logger = logging.getLogger(__name__)

# Error for the feeds of followers that end with the server.
FOLLOWER_STOPPED = StateUnavailableError("the log is no longer followed")

# The log of a job that has ended is complete after so long without a write.
QUIET_PERIOD_S = 2.0

# Wait between two batches, so that lines in quick succession are read together.
BATCH_DELAY_S = 0.005

# Largest age of the job's roster entry.
ROSTER_MAX_AGE_S = 2.0


class LogFollower:
    """Follower of one log, whose job's end completes it.

    `position` is behind the last batch; None until the follower has started. `error` is the reason
    why it has stopped.
    """

    def __init__(
        self,
        log: LogHandle,
        *,
        job_ended: bool,
        hub: JobHub,
        file_watcher: FileWatcher,
    ) -> None:
        self.log = log
        self.position: Position | None = None
        self.is_complete = False
        self.subscriber_count = self.read_bytes = 0
        self._job_ended = job_ended
        self._hub = hub
        self._file_watcher = file_watcher
        self._watch_handle: WatchHandle | None = None
        self._started = asyncio.Event()
        # Last offer of an unfinished line, for new subscribers.
        self._partial_batch: LogBatch | None = None
        self._queues: set[LogBatchQueue] = set()
        self.error: BaseException | None = None

    def offer(self, entry: RosterEntry, /) -> None:
        """Take in the job's roster entry."""
        if entry.is_terminal != self._job_ended:
            self._job_ended = entry.is_terminal
            self.wake()

    def wake(self) -> None:
        """Read the file now."""
        if self._watch_handle is not None:
            self._watch_handle.wake_up.set()

    def fail(self, error: BaseException) -> None:
        """Stop all subscribers with an error."""
        self.error = error
        self._started.set()
        for queue in self._queues:
            queue.fail(error)

    async def wait_started(self) -> Position:
        """Wait until the follower has a position, and return it.

        Raises:
            MarianneStreamError: the log cannot be followed.
        """
        await self._started.wait()
        if self.error is not None or self.position is None:
            if isinstance(self.error, MarianneStreamError):
                raise self.error
            raise MarianneStreamError(f"log follower failed: {self.error!r}")
        return self.position

    def subscribe(
        self, line_filter: LineFilter | None, sink: Sink | None, *, wants_partial: bool = True
    ) -> LogBatchQueue:
        """Return a queue of batches behind the current position."""
        queue = LogBatchQueue(line_filter, sink, wants_partial=wants_partial)
        self._queues.add(queue)
        if self._partial_batch is not None:
            queue.offer(self._partial_batch)
        if self.error is not None:
            queue.fail(self.error)
        return queue

    def unsubscribe(self, queue: LogBatchQueue) -> None:
        """Remove a queue; may be called again."""
        self._queues.discard(queue)

    async def run(self) -> None:
        """Follow the log until the job and its log have ended, or until cancelled."""
        self.position = position = await self.log.find_end()
        reader = self.log.make_reader(position)
        changed_s = time.time() - (await self.log.threads.read(position.file.stat)).st_mtime
        quiet_since = time.monotonic() - max(0.0, changed_s)
        partial = PartialLineThrottle(quiet_since)
        with self._hub.roster.subscribe_entry(self.log.job_id, ROSTER_MAX_AGE_S, self):
            try:
                await self._watch_files(position)
                self._started.set()
                while not self.is_complete:
                    batch = await self.log.threads.read(self._read_batch, reader)
                    if batch is not None:
                        quiet_since = time.monotonic()
                        if batch.frames:
                            partial.reset()
                        await self._handle_batch(batch)
                    elif self._job_ended and time.monotonic() - quiet_since >= QUIET_PERIOD_S:
                        await self._publish_completion(reader)
                    else:
                        self._publish_partial(partial, reader)
                        await self._wait_for_change(reader, quiet_since, partial.due_s)
            finally:
                if self._watch_handle is not None:
                    self._file_watcher.unwatch(self._watch_handle)

    def _read_batch(self, reader: LogReader) -> LogBatch | None:
        result = reader.read()
        return make_batch(result) if result is not None else None

    async def _handle_batch(self, batch: LogBatch) -> None:
        self._publish_batch(batch)
        if batch.result.rotation is not None:
            await self._watch_files(batch.result.end)
        else:
            await asyncio.sleep(BATCH_DELAY_S)

    def _publish_partial(self, throttle: PartialLineThrottle, reader: LogReader) -> None:
        """Offer the unfinished last line, if it is due."""
        now_s = time.monotonic()
        line = throttle.update(reader.partial_line(), now_s, is_overwritten=reader.is_overwritten)
        if line is None:
            return
        self._partial_batch = batch = make_partial_batch(self.log.job_id, line, reader.position)
        for queue in self._queues:
            queue.offer(batch)

    def _publish_batch(self, batch: LogBatch) -> None:
        """Move on and offer a batch, without an await between."""
        self.read_bytes += sum(len(line.text) for line in batch.result.lines)
        self.position = batch.result.end
        if not batch.frames and not batch.is_complete:
            return
        self._partial_batch = None
        for queue in self._queues:
            queue.offer(batch)

    async def _publish_completion(self, reader: LogReader) -> None:
        """Offer a last line without a newline, and the end of the log."""
        result = await self.log.threads.read(reader.flush)
        if result is not None:
            self._publish_batch(make_batch(result))
        ending = await self.log.threads.read(make_complete_frame, reader.position)
        self.is_complete = True
        empty = ReadResult([], 0, 0, reader.position)
        self._publish_batch(LogBatch(result=empty, frames=ending, is_complete=True))

    async def _wait_for_change(
        self, reader: LogReader, quiet_since: float, partial_due_s: float | None
    ) -> None:
        if self._watch_handle is None:
            return
        limit_s = self._watch_handle.wake_up.interval_s
        if reader.is_rotating:
            limit_s = min(limit_s, self._file_watcher.poll_interval_s)
        if self._job_ended:
            limit_s = min(limit_s, quiet_since + QUIET_PERIOD_S - time.monotonic())
        if partial_due_s is not None:
            limit_s = min(limit_s, partial_due_s - time.monotonic())
        await self._watch_handle.wake_up.wait(max(0.01, limit_s))

    async def _watch_files(self, position: Position) -> None:
        if self._watch_handle is not None:
            self._file_watcher.unwatch(self._watch_handle)
        try:
            folder = await self.log.threads.read(open_directory, self.log.path)
        except MarianneStreamError:
            # The folder is gone for now: poll.
            self._watch_handle = self._file_watcher.watch(position.file.descriptor)
            self._watch_handle.wake_up.interval_s = self._file_watcher.poll_interval_s
            return
        self._watch_handle = self._file_watcher.watch(position.file.descriptor, folder)


class LogFollowers:
    """Followers of all logs that clients follow."""

    def __init__(self, hub: JobHub, file_watcher: FileWatcher) -> None:
        self._hub = hub
        self._file_watcher = file_watcher
        self._followers: dict[tuple[LogPath, str], LogFollower] = {}
        self._tasks: KeyedTasks[LogFollower] = KeyedTasks(self._on_failure)
        # Followers with subscribers. One that has failed stays here until its last feed leaves.
        self._in_use: set[LogFollower] = set()
        self._closed_read_bytes = 0

    def __len__(self) -> int:
        return len(self._followers)

    @property
    def read_bytes(self) -> int:
        """Number of bytes of lines that all followers have read, including closed ones."""
        return self._closed_read_bytes + sum(one.read_bytes for one in self._in_use)

    def follow(self, log: LogHandle, *, job_ended: bool) -> LogFollower:
        """Return the follower of a log. Each call needs one of `unfollow`."""
        key = (log.path, log.job_id)
        follower = self._followers.get(key)
        if follower is None or follower.is_complete or follower.error is not None:
            follower = self._followers[key] = LogFollower(
                log, job_ended=job_ended, hub=self._hub, file_watcher=self._file_watcher
            )
            self._in_use.add(follower)
            self._tasks.start(follower, follower.run(), name=f"log of {log.job_id!r}")
        follower.subscriber_count += 1
        return follower

    def unfollow(self, follower: LogFollower) -> None:
        """Leave a follower, which stops when the last feed leaves."""
        follower.subscriber_count -= 1
        if follower.subscriber_count:
            return
        key = (follower.log.path, follower.log.job_id)
        if self._followers.get(key) is follower:
            del self._followers[key]
        self._in_use.discard(follower)
        self._closed_read_bytes += follower.read_bytes
        self._tasks.cancel(follower)

    async def close(self) -> None:
        """Stop all followers."""
        for follower in self._in_use:
            if follower in self._tasks:
                follower.fail(FOLLOWER_STOPPED)
        await self._tasks.close()

    def _on_failure(self, follower: LogFollower, error: BaseException) -> None:
        if not isinstance(error, MarianneStreamError):
            logger.error("log follower failed job_id=%r", follower.log.job_id, exc_info=error)
        follower.fail(error)
