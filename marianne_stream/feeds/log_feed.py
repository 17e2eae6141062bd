"""The log feed of one client: missed lines or the newest ones, then new lines as they come.

A feed behind the shared follower reads the file itself, never past the follower's position. At
that position it joins the follower; see `live_log_feed`. A feed that does not follow ends at the
end that the log has when the client comes.
"""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, TypeVar

from marianne_stream.common.backoff import Backoff
from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.feeds.feed import FeedKind
from marianne_stream.feeds.line_matcher import LineMatcher
from marianne_stream.feeds.live_log_feed import LiveLogFeed
from marianne_stream.feeds.log_batches import LogBatchQueue
from marianne_stream.feeds.log_follower import LogFollower, LogFollowers
from marianne_stream.feeds.log_frame_reader import LogFrameReader, LogResultReader
from marianne_stream.feeds.log_frames import make_complete_frame, make_partial_frame
from marianne_stream.feeds.log_start import LogRequest, StartPoint, resolve_start
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.logs.positions import Position
from marianne_stream.wire import sse

# First and longest wait for the follower to see a change that the feed has seen.
FOLLOWER_WAIT_S = 0.02
MAX_FOLLOWER_WAIT_S = 1.0


F = TypeVar("F")


class FollowedLogFeed(LiveLogFeed[LogBatchQueue, F]):
    """Feed of a log that is followed. A subclass encodes what is read."""

    def __init__(
        self,
        followers: LogFollowers,
        follower: LogFollower,
        *,
        start: StartPoint,
        initial_end: Position,
        log_request: LogRequest,
    ) -> None:
        super().__init__(log_request.line_filter, follower.log.threads)
        self._followers = followers
        self._follower = follower
        self._start = start
        self._initial_end = initial_end
        self._wants_partial = log_request.wants_partial
        self._reader = self._make_reader()
        self._backoff: Backoff | None = None
        self.is_exhausted = start.is_exhausted

    @property
    def buffered_bytes(self) -> int:
        """Size of the queued frames and of the tail."""
        return self._start.buffered_bytes + super().buffered_bytes

    def finish(self) -> None:
        """Let `frames` end after what is queued; stop the search of the tail."""
        super().finish()
        self._start.close()

    def close(self) -> None:
        """Finish, and leave the follower."""
        super().close()
        self._followers.unfollow(self._follower)

    @abstractmethod
    def _make_reader(self) -> LogResultReader[F]:
        """Return the reader that begins at the start of the feed."""

    async def _make_first_cursor(self) -> str:
        """Return a cursor for a client that is disconnected before its first line, or ""."""
        position = self._start.position
        is_at_end = position.is_same_position(self._initial_end)
        if not is_at_end or self._start.is_resumed or self._is_finished:
            return ""
        return str(await self._threads.read(position.make_cursor))

    def _is_behind(self) -> bool:
        limit = self._follower.position
        return limit is not None and not self._reader.position.is_same_position(limit)

    async def _read_next(self) -> F | None:
        frames = await self._reader.read_next(self._follower.position)
        if frames is not None:
            self._backoff = None
        return frames

    async def _wait_for_source(self) -> None:
        # This feed has seen a change before the follower, or stands in a line that has not ended.
        self._backoff = self._backoff or Backoff(
            first_s=FOLLOWER_WAIT_S, cap_s=MAX_FOLLOWER_WAIT_S, jitter=0
        )
        self._follower.wake()
        await asyncio.sleep(self._backoff.next_delay_s())
        if self._follower.error is not None:
            raise self._follower.error

    def _subscribe(self) -> LogBatchQueue:
        return self._follower.subscribe(
            self._line_filter, self._sink, wants_partial=self._wants_partial
        )

    def _unsubscribe(self, queue: LogBatchQueue) -> None:
        self._follower.unsubscribe(queue)

    def _resume_after(self, queue: LogBatchQueue) -> None:
        self._reader.move_to(queue.position or self._reader.position)


class LogFeed(FollowedLogFeed[bytes]):
    """Feed of a log that is followed, as frames."""

    def _make_reader(self) -> LogFrameReader:
        log, start = self._follower.log, self._start.position
        return LogFrameReader(log, start, self._initial_end, self._matcher)

    async def _first_frames(self) -> AsyncIterator[bytes]:
        async for frames in self._start.frames():
            yield frames
        await self._reader.start_matcher()
        if cursor := await self._make_first_cursor():
            yield sse.id_only(cursor)

    async def _make_end_frame(self) -> bytes:
        if not self._follower.is_complete:
            return b""
        return await self._threads.read(make_complete_frame, self._reader.position)


class LogSnapshotFeed:
    """Feed of a log up to its end at one moment.

    A last line without a newline is sent as `partial_frame`, or as a whole line if that is None,
    since the job has ended.
    """

    kind: FeedKind = "log"
    has_heartbeats = False
    is_exhausted = False

    def __init__(
        self,
        log: LogHandle,
        start: StartPoint,
        end: Position,
        line_filter: LineFilter | None,
        *,
        partial_frame: bytes | None,
    ) -> None:
        matcher = LineMatcher(line_filter) if line_filter is not None else None
        self._reader = LogFrameReader(log, start.position, end, matcher)
        self._threads = log.threads
        self._start = start
        self._end = end
        self._partial_frame = partial_frame
        self._is_finished = False

    @property
    def buffered_bytes(self) -> int:
        """Size of the tail that was found; everything else is read as it is sent."""
        return self._start.buffered_bytes

    def set_sink(self, sink: Sink) -> None:
        """Do nothing: every frame is taken."""

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield frames from the client's position to that end."""
        async for frames in self._start.frames():
            yield frames
        await self._reader.start_matcher()
        while not self._is_finished:
            read = await self._reader.read_next(self._end)
            if read is None:
                break
            if read:
                yield read
        if self._is_finished:
            return
        if self._partial_frame is None:
            if read := await self._reader.read_next(None):
                yield read
            if last := await self._reader.flush():
                yield last
        elif self._partial_frame:
            yield self._partial_frame
        complete = partial(make_complete_frame, self._reader.position, follow=False)
        yield await self._threads.read(complete)

    def finish(self) -> None:
        """Let `frames` end."""
        self._is_finished = True
        self._start.close()

    def close(self) -> None:
        """Do nothing: there is no subscription."""


FollowedFeed = TypeVar("FollowedFeed", bound=FollowedLogFeed[Any])


async def open_log_feed(
    feed_class: type[FollowedFeed],
    followers: LogFollowers,
    log: LogHandle,
    log_request: LogRequest,
    *,
    job_ended: bool,
) -> FollowedFeed:
    """Open a feed of a log that is followed. It must be closed.

    Raises:
        LogNotFoundError: the log was removed.
        LogForbiddenError: the log may not be read any more.
    """
    follower = followers.follow(log, job_ended=job_ended)
    try:
        end = await follower.wait_started()
        start = await resolve_start(log, end, log_request, job_ended=job_ended)
    except BaseException:
        followers.unfollow(follower)
        raise
    return feed_class(followers, follower, start=start, initial_end=end, log_request=log_request)


async def open_log_snapshot_feed(
    log: LogHandle, log_request: LogRequest, *, job_ended: bool
) -> LogSnapshotFeed:
    """Open a feed of what a log holds at this moment.

    Raises:
        LogNotFoundError: the log was removed.
        LogForbiddenError: the log may not be read any more.
    """
    end = await log.find_end()
    partial_frame = None
    if not job_ended:
        line = await log.read_partial_line(end, log_request.line_filter)
        partial_frame = make_partial_frame(log.job_id, line) if line is not None else b""
    start = await resolve_start(log, end, log_request, job_ended=job_ended)
    return LogSnapshotFeed(log, start, end, log_request.line_filter, partial_frame=partial_frame)
