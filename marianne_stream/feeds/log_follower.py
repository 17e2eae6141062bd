"""Logs that are being followed: one follower each, however many watch.

What was appended is read and encoded once, and offered to all who stand at its position. It must
not know how frames are sent.
"""

import asyncio
import logging
import time

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

# Told to those who wait for a follower that is ended with the server.
FOLLOWER_STOPPED = StateUnavailableError("the log is followed no more")

# A job's log is complete when the job is over and nothing was written for so long.
QUIET_PERIOD_S = 2.0

# How soon after a batch the next one is read: what comes meanwhile is read with it.
BATCH_DELAY_S = 0.005

# How old the word of the roster may be.
ROSTER_MAX_AGE_S = 2.0


class LogFollower:
    """One log and the one who follows it.

    Args:
        log: the log.
        job_id: whose end is the log's end.
        job_ended: whether the job is over.
        hub: who tells of the job.
        file_watcher: who tells of the file.

    Attributes:
        job_id: the job.
        position: behind what was offered last.
        is_complete: whether the log has ended.
        read_bytes: how much text of lines it has read.
    """

    def __init__(
        self,
        log: LogHandle,
        job_id: str,
        *,
        job_ended: bool,
        hub: JobHub,
        file_watcher: FileWatcher,
    ) -> None:
        self.log = log
        self.position: Position | None = None
        self.is_complete = False
        self.subscriber_count = self.read_bytes = 0
        self.job_id = job_id
        self._job_ended = job_ended
        self._hub = hub
        self._file_watcher = file_watcher
        self._watch_handle: WatchHandle | None = None
        self._started = asyncio.Event()
        # What those who join are shown of a line that has no newline yet.
        self._partial_batch: LogBatch | None = None
        self._queues: set[LogBatchQueue] = set()
        self.error: BaseException | None = None

    def offer(self, entry: RosterEntry, /) -> None:
        """Takes in what the roster says of the job."""
        if entry.is_terminal != self._job_ended:
            self._job_ended = entry.is_terminal
            self.wake()

    def wake(self) -> None:
        """Lets the follower look now."""
        if self._watch_handle is not None:
            self._watch_handle.wake_up.set()

    def fail(self, error: BaseException) -> None:
        """Tells all viewers that there is nobody who follows any more."""
        self.error = error
        self._started.set()
        for mailbox in self._queues:
            mailbox.fail(error)

    async def wait_started(self) -> Position:
        """The position where the follower stands; waits for its first.

        Raises:
            MarianneStreamError: the log cannot be followed.
        """
        await self._started.wait()
        if self.error is not None or self.position is None:
            raise (
                self.error
                if isinstance(self.error, MarianneStreamError)
                else (MarianneStreamError(f"following a log failed: {self.error!r}"))
            )
        return self.position

    def subscribe(
        self, line_filter: LineFilter | None, sink: Sink | None, *, wants_partial: bool = True
    ) -> LogBatchQueue:
        """A mailbox that holds what follows the position of this moment."""
        mailbox = LogBatchQueue(line_filter, sink, wants_partial=wants_partial)
        self._queues.add(mailbox)
        if self._partial_batch is not None:
            mailbox.offer(self._partial_batch)
        if self.error is not None:
            mailbox.fail(self.error)
        return mailbox

    def unsubscribe(self, queue: LogBatchQueue) -> None:
        """Nothing more is put into a mailbox."""
        self._queues.discard(queue)

    async def run(self) -> None:
        """Follows the log until the job and its log have ended, or it is cancelled."""
        self.position = position = await self.log.find_end()
        reader = self.log.make_reader(position)
        changed_s = time.time() - (await self.log.threads.read(position.file.stat)).st_mtime
        quiet_since = time.monotonic() - max(0.0, changed_s)
        partial = PartialLineThrottle(quiet_since)
        with self._hub.subscribe_entry(self.job_id, ROSTER_MAX_AGE_S, self):
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
        step = reader.read()
        return make_batch(step) if step is not None else None

    async def _handle_batch(self, batch: LogBatch) -> None:
        self._publish_batch(batch)
        if batch.result.rotation is not None:
            await self._watch_files(batch.result.end)
        else:
            await asyncio.sleep(BATCH_DELAY_S)

    def _publish_partial(self, throttle: PartialLineThrottle, reader: LogReader) -> None:
        """Offers a last line that has no newline, when it is time."""
        now_s = time.monotonic()
        line = throttle.update(reader.partial_line(), now_s, is_overwritten=reader.is_overwritten)
        if line is None:
            return
        self._partial_batch = batch = make_partial_batch(self.job_id, line, reader.position)
        for mailbox in self._queues:
            mailbox.offer(batch)

    def _publish_batch(self, batch: LogBatch) -> None:
        """Moves on, and offers what lies between: in one turn of the loop."""
        self.read_bytes += sum(len(line.text) for line in batch.result.lines)
        self.position = batch.result.end
        if not batch.frames and not batch.is_complete:
            return
        self._partial_batch = None
        for mailbox in self._queues:
            mailbox.offer(batch)

    async def _publish_completion(self, reader: LogReader) -> None:
        """Gives what has no newline, and says that the log is complete."""
        step = await self.log.threads.read(reader.flush)
        if step is not None:
            self._publish_batch(make_batch(step))
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
            # Gone for now: the clock has to do.
            self._watch_handle = self._file_watcher.watch(position.file.descriptor)
            self._watch_handle.wake_up.interval_s = self._file_watcher.poll_interval_s
            return
        self._watch_handle = self._file_watcher.watch(position.file.descriptor, folder)


class LogFollowers:
    """All logs that are being followed.

    Args:
        hub: who tells of jobs.
        file_watcher: who tells of files.
    """

    def __init__(self, hub: JobHub, file_watcher: FileWatcher) -> None:
        self._hub = hub
        self._file_watcher = file_watcher
        self._followers: dict[tuple[LogPath, str], LogFollower] = {}
        self._ended_read_bytes = 0
        self._tasks: dict[LogFollower, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._followers)

    @property
    def read_bytes(self) -> int:
        """How much text of lines all have read, those that have ended included."""
        return self._ended_read_bytes + sum(one.read_bytes for one in self._tasks)

    def follow(self, log: LogHandle, job_id: str, *, job_ended: bool) -> LogFollower:
        """Follows a log, together with all others who do; it must be left."""
        key = (log.path, job_id)
        followed = self._followers.get(key)
        if followed is None or followed.is_complete or followed.error is not None:
            followed = self._start(key, log, job_ended=job_ended)
        followed.subscriber_count += 1
        return followed

    def unfollow(self, follower: LogFollower) -> None:
        """A reader has left a log, which is followed until the last does."""
        follower.subscriber_count -= 1
        if not follower.subscriber_count:
            self._cancel(follower)

    async def close(self) -> None:
        """Ends all followers."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _start(self, key: tuple[LogPath, str], log: LogHandle, *, job_ended: bool) -> LogFollower:
        followed = LogFollower(
            log, key[1], job_ended=job_ended, hub=self._hub, file_watcher=self._file_watcher
        )
        task = asyncio.create_task(followed.run(), name=f"log of {key[1]!r}")
        self._followers[key] = followed
        self._tasks[followed] = task
        task.add_done_callback(lambda task: self._on_end(key, followed, task))
        return followed

    def _cancel(self, follower: LogFollower) -> None:
        key = (follower.log.path, follower.job_id)
        if self._followers.get(key) is follower:
            del self._followers[key]
        if follower in self._tasks:
            self._tasks[follower].cancel()

    def _on_end(
        self, key: tuple[LogPath, str], follower: LogFollower, task: asyncio.Task[None]
    ) -> None:
        del self._tasks[follower]
        self._ended_read_bytes += follower.read_bytes
        error = FOLLOWER_STOPPED if task.cancelled() else task.exception()
        if error is not None:
            if not isinstance(error, MarianneStreamError):
                logger.error("following the log of %r failed", key[1], exc_info=error)
            follower.fail(error)
