"""Logs that are being followed: one follower each, however many watch.

What was appended is read and encoded once, and offered to all who stand at its position. It must
not know how frames are sent.
"""

import asyncio
import logging
import time

from marianne_stream.errors import MarianneStreamError, StateUnavailableError
from marianne_stream.fanout.mailboxes import Sink
from marianne_stream.feeds.log_batches import LogBatch, LogMailbox, batch_of, partial_batch
from marianne_stream.feeds.log_frames import complete_frame
from marianne_stream.feeds.partial_line import PartialLine
from marianne_stream.jobs.watches import JobHub
from marianne_stream.logs.alarms import Alarms, Watched
from marianne_stream.logs.index import Selection
from marianne_stream.logs.opened import OpenLog
from marianne_stream.logs.opening import LogPlace, open_folder
from marianne_stream.logs.reader import LogReader, Position, Step
from marianne_stream.models import RosterEntry

logger = logging.getLogger(__name__)

# Told to those who wait for a follower that is ended with the server.
LEAVING = StateUnavailableError("the log is followed no more")

# A job's log is complete when the job is over and nothing was written for so long.
QUIET_S = 2.0

# How soon after a batch the next one is read: what comes meanwhile is read with it.
BATCH_S = 0.005

# How old the word of the roster may be.
ROSTER_INTERVAL_S = 2.0


class FollowedLog:
    """One log and the one who follows it.

    Args:
        log: the log.
        job_id: whose end is the log's end.
        over: whether the job is over.
        watches: who tells of the job.
        alarms: who tells of the file.

    Attributes:
        job_id: the job.
        position: behind what was offered last.
        complete: whether the log has ended.
        read_bytes: how much text of lines it has read.
    """

    def __init__(
        self, log: OpenLog, job_id: str, *, over: bool, watches: JobHub, alarms: Alarms
    ) -> None:
        self.log = log
        self.position: Position | None = None
        self.complete = False
        self.readers = self.read_bytes = 0
        self.job_id = job_id
        self._over = over
        self._watches = watches
        self._alarms = alarms
        self._hung: Watched | None = None
        self._begun = asyncio.Event()
        # What those who join are shown of a line that has no newline yet.
        self._partial: LogBatch | None = None
        self._mailboxes: set[LogMailbox] = set()
        self.error: BaseException | None = None

    def offer(self, entry: RosterEntry, /) -> None:
        """Takes in what the roster says of the job."""
        if entry.terminal != self._over:
            self._over = entry.terminal
            self.ring()

    def ring(self) -> None:
        """Lets the follower look now."""
        if self._hung is not None:
            self._hung.alarm.ring()

    def fault(self, error: BaseException) -> None:
        """Tells all viewers that there is nobody who follows any more."""
        self.error = error
        self._begun.set()
        for mailbox in self._mailboxes:
            mailbox.fail(error)

    async def begun(self) -> Position:
        """The position where the follower stands; waits for its first.

        Raises:
            MarianneStreamError: the log cannot be followed.
        """
        await self._begun.wait()
        if self.error is not None or self.position is None:
            raise (
                self.error
                if isinstance(self.error, MarianneStreamError)
                else (MarianneStreamError(f"following a log failed: {self.error!r}"))
            )
        return self.position

    def join(
        self, only: Selection | None, outlet: Sink | None, *, partial: bool = True
    ) -> LogMailbox:
        """A mailbox that holds what follows the position of this moment."""
        mailbox = LogMailbox(only, outlet, partial=partial)
        self._mailboxes.add(mailbox)
        if self._partial is not None:
            mailbox.offer(self._partial)
        if self.error is not None:
            mailbox.fail(self.error)
        return mailbox

    def leave(self, mailbox: LogMailbox) -> None:
        """Nothing more is put into a mailbox."""
        self._mailboxes.discard(mailbox)

    async def run(self) -> None:
        """Follows the log until the job and its log have ended, or it is cancelled."""
        self.position = position = await self.log.end()
        reader = self.log.reader(position)
        changed_s = time.time() - (await self.log.threads.read(position.file.status)).st_mtime
        quiet_since = time.monotonic() - max(0.0, changed_s)
        partial = PartialLine(quiet_since)
        with self._watches.subscribe_entry(self.job_id, ROSTER_INTERVAL_S, self):
            try:
                await self._hang(position)
                self._begun.set()
                while not self.complete:
                    batch = await self.log.threads.read(self._read, reader)
                    if batch is not None:
                        quiet_since = time.monotonic()
                        if batch.frames:
                            partial.finish()
                        await self._publish(batch)
                    elif self._over and time.monotonic() - quiet_since >= QUIET_S:
                        await self._finish(reader)
                    else:
                        self._show(partial, reader)
                        await self._sleep(reader, quiet_since, partial.due_s)
            finally:
                if self._hung is not None:
                    self._alarms.take_down(self._hung)

    def _read(self, reader: LogReader) -> LogBatch | None:
        step = reader.step()
        return batch_of(step) if step is not None else None

    async def _publish(self, batch: LogBatch) -> None:
        self._offer(batch)
        if batch.step.rotated is not None:
            await self._hang(batch.step.end)
        else:
            await asyncio.sleep(BATCH_S)

    def _show(self, partial: PartialLine, reader: LogReader) -> None:
        """Offers a last line that has no newline, when it is time."""
        now_s = time.monotonic()
        line = partial.take(reader.unfinished(), now_s, returned=reader.returned)
        if line is None:
            return
        self._partial = batch = partial_batch(self.job_id, line, reader.position)
        for mailbox in self._mailboxes:
            mailbox.offer(batch)

    def _offer(self, batch: LogBatch) -> None:
        """Moves on, and offers what lies between: in one turn of the loop."""
        self.read_bytes += sum(len(line.text) for line in batch.step.lines)
        self.position = batch.step.end
        if not batch.frames and not batch.complete:
            return
        self._partial = None
        for mailbox in self._mailboxes:
            mailbox.offer(batch)

    async def _finish(self, reader: LogReader) -> None:
        """Gives what has no newline, and says that the log is complete."""
        step = await self.log.threads.read(reader.finish)
        if step is not None:
            self._offer(batch_of(step))
        ending = await self.log.threads.read(complete_frame, reader.position)
        self.complete = True
        empty = Step([], 0, 0, reader.position)
        self._offer(LogBatch(empty, (), ending, ending, complete=True))

    async def _sleep(self, reader: LogReader, quiet_since: float, due_s: float | None) -> None:
        if self._hung is None:
            return
        limit_s = self._hung.alarm.interval_s
        if reader.changing:
            limit_s = min(limit_s, self._alarms.poll_interval_s)
        if self._over:
            limit_s = min(limit_s, quiet_since + QUIET_S - time.monotonic())
        if due_s is not None:
            limit_s = min(limit_s, due_s - time.monotonic())
        await self._hung.alarm.wait(max(0.01, limit_s))

    async def _hang(self, position: Position) -> None:
        if self._hung is not None:
            self._alarms.take_down(self._hung)
        try:
            folder = await self.log.threads.read(open_folder, self.log.place)
        except MarianneStreamError:
            # Gone for now: the clock has to do.
            self._hung = self._alarms.hang(position.file.descriptor)
            self._hung.alarm.interval_s = self._alarms.poll_interval_s
            return
        self._hung = self._alarms.hang(position.file.descriptor, folder)


class FollowedLogs:
    """All logs that are being followed.

    Args:
        watches: who tells of jobs.
        alarms: who tells of files.
    """

    def __init__(self, watches: JobHub, alarms: Alarms) -> None:
        self._watches = watches
        self._alarms = alarms
        self._followed: dict[tuple[LogPlace, str], FollowedLog] = {}
        self._read_before = 0
        self._tasks: dict[FollowedLog, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._followed)

    @property
    def read_bytes(self) -> int:
        """How much text of lines all have read, those that have ended included."""
        return self._read_before + sum(one.read_bytes for one in self._tasks)

    def follow(self, log: OpenLog, job_id: str, *, over: bool) -> FollowedLog:
        """Follows a log, together with all others who do; it must be left."""
        key = (log.place, job_id)
        followed = self._followed.get(key)
        if followed is None or followed.complete or followed.error is not None:
            followed = self._start(key, log, over=over)
        followed.readers += 1
        return followed

    def leave(self, followed: FollowedLog) -> None:
        """A reader has left a log, which is followed until the last does."""
        followed.readers -= 1
        if not followed.readers:
            self._stop(followed)

    async def close(self) -> None:
        """Ends all followers."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _start(self, key: tuple[LogPlace, str], log: OpenLog, *, over: bool) -> FollowedLog:
        followed = FollowedLog(log, key[1], over=over, watches=self._watches, alarms=self._alarms)
        task = asyncio.create_task(followed.run(), name=f"log of {key[1]!r}")
        self._followed[key] = followed
        self._tasks[followed] = task
        task.add_done_callback(lambda task: self._on_end(key, followed, task))
        return followed

    def _stop(self, followed: FollowedLog) -> None:
        key = (followed.log.place, followed.job_id)
        if self._followed.get(key) is followed:
            del self._followed[key]
        if followed in self._tasks:
            self._tasks[followed].cancel()

    def _on_end(
        self, key: tuple[LogPlace, str], followed: FollowedLog, task: asyncio.Task[None]
    ) -> None:
        del self._tasks[followed]
        self._read_before += followed.read_bytes
        error = LEAVING if task.cancelled() else task.exception()
        if error is not None:
            if not isinstance(error, MarianneStreamError):
                logger.error("following the log of %r failed", key[1], exc_info=error)
            followed.fault(error)
