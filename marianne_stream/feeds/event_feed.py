"""Event feed of one client: missed events or the newest ones, then new events as they come."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.fanout.replay_entry import EntryFilter, ReplayEntry
from marianne_stream.fanout.source_positions import ReadPosition
from marianne_stream.fanout.subscriber_queue import DropOldestQueue, Sink
from marianne_stream.feeds.feed import MAX_BATCH_BYTES, FeedKind
from marianne_stream.schemas.event_schemas import GapData, GapReason
from marianne_stream.wire import sse
from marianne_stream.wire.cursors import TimelineCursor
from marianne_stream.wire.job_patterns import ALL_JOBS, JobPatterns

# Makes the frame that says whether events arrive now, with an id or "".
SourceFrameFactory = Callable[[str], bytes]

# Limits of a client's queue. With what is on its way, a stalled client costs 1 MiB, unless a single
# event is larger. Frames are shared with the replay buffer.
MAX_QUEUED_EVENTS = 1000
MAX_QUEUED_BYTES = 896 * 1024


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Filter of events.

    Attributes:
        job_ids: jobs whose events pass; empty for all.
        prefixes: prefixes of event names that pass; empty for all.
        job_scope: jobs that the client may see. Restricted clients get no events without a job.
    """

    job_ids: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    job_scope: JobPatterns = ALL_JOBS

    @property
    def passes_all(self) -> bool:
        """True if every event passes."""
        return not self.job_ids and not self.prefixes and self.job_scope.matches_all

    def __call__(self, entry: ReplayEntry) -> bool:
        """Return whether an entry passes. An entry about several jobs passes if one of them may."""
        if entry.job_id is None:
            return not entry.scope or self._may_pass_scope(entry.scope)
        return (
            (not self.job_ids or entry.job_id in self.job_ids)
            and (not self.prefixes or entry.event.startswith(self.prefixes))
            and (
                self.job_scope.matches_all or (bool(entry.job_id) and self.job_scope(entry.job_id))
            )
        )

    def _may_pass_scope(self, job_id_prefix: str) -> bool:
        """Return whether a job with a prefix may pass."""
        if self.job_ids and not any(job_id.startswith(job_id_prefix) for job_id in self.job_ids):
            return False
        return self.job_scope.may_match_prefix(job_id_prefix)


# Shared by all clients without a filter, which are most.
ALL_EVENTS = EventFilter()


@dataclass(frozen=True, slots=True)
class UnseenFilter:
    """Filter of events that a client of several sources has not seen."""

    event_filter: EventFilter
    read_position: ReadPosition

    def __call__(self, entry: ReplayEntry) -> bool:
        """Return whether an entry is new and passes."""
        return not self.read_position.includes(entry.number, entry.source) and self.event_filter(
            entry
        )


class EventFeed:
    """Entries of the replay buffer that pass a filter, with a `gap` wherever some are lost.

    Past entries are read from the replay buffer as they are sent, and so are those that a slow
    client's queue has dropped. A client that is slower than the replay buffer forgets gets a `gap`.
    """

    __slots__ = (
        "_event_filter",
        "_first_frames",
        "_make_source_frame",
        "_queue",
        "_replay_after",
        "_replay_buffer",
        "_replay_filter",
        "_replay_until",
    )

    kind: FeedKind = "events"
    has_heartbeats = True
    is_exhausted = False

    def __init__(
        self,
        replay_buffer: ReplayBuffer,
        event_filter: EventFilter,
        make_source_frame: SourceFrameFactory,
    ) -> None:
        self._replay_buffer = replay_buffer
        self._event_filter = event_filter
        self._make_source_frame = make_source_frame
        self._queue: DropOldestQueue[ReplayEntry] = DropOldestQueue(
            max_items=MAX_QUEUED_EVENTS, max_bytes=MAX_QUEUED_BYTES
        )
        # Frames to send first; then the entries after the one number, up to the other.
        self._first_frames = b""
        self._replay_after = self._replay_until = replay_buffer.last_number
        self._replay_filter: EntryFilter = event_filter
        replay_buffer.subscribe(self._queue, event_filter)

    def set_start(self, first_frames: bytes, after: int, replay_filter: EntryFilter) -> None:
        """Set the first frames, and the entries to replay behind a number."""
        self._first_frames, self._replay_after, self._replay_filter = (
            first_frames,
            after,
            replay_filter,
        )

    @property
    def buffered_bytes(self) -> int:
        """Size of the queued entries."""
        return self._queue.buffered_bytes

    def set_sink(self, sink: Sink) -> None:
        """Send new entries to a sink while the iterator waits."""
        self._queue.sink = sink

    def frames(self) -> AsyncIterator[bytes]:
        """Return the iterator over the frames, which has no end of its own."""
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        # Not a generator: ten thousand waiting generators take 3 MB.
        return self

    async def __anext__(self) -> bytes:
        head, self._first_frames = self._first_frames, b""
        past = self._next_replay_frames() if self._replay_after < self._replay_until else b""
        if head or past:
            return head + past
        if not await self._queue.wait():
            raise StopAsyncIteration
        batch = self._queue.take(MAX_BATCH_BYTES)
        if batch.first_dropped is not None:
            return self._replay_from(batch.first_dropped.number - 1)
        return b"".join([entry.frame for entry in batch.items])

    def _replay_from(self, after: int) -> bytes:
        """Replay behind a number, after the queue has dropped entries.

        A `source` frame may be among them, which the replay buffer does not hold; so send it again.
        """
        # No await from here on, so that no entry is lost and none comes twice.
        self._replay_buffer.flush()
        self._queue.take()
        self._replay_after, self._replay_until = after, self._replay_buffer.last_number
        return self._make_source_frame("") + self._next_replay_frames()

    def _next_replay_frames(self) -> bytes:
        """Return the next past entries; empty if none passes."""
        replay_buffer, wanted, gap = self._replay_buffer, self._event_filter, b""
        after = min(replay_buffer.oldest_number - 1, self._replay_until)
        if self._replay_after < after:
            replay_buffer.slow_consumer_gaps += 1
            missed = count_missed_between(replay_buffer, self._replay_after, after + 1, wanted)
            gap = make_event_gap_frame(missed, "slow_consumer") + self._make_source_frame("")
            self._replay_after = after
        entries = replay_buffer.get_range(
            self._replay_after,
            self._replay_until,
            self._replay_filter,
            wanted.job_ids,
            max_bytes=MAX_BATCH_BYTES,
        )
        self._replay_after = entries[-1].number if entries else self._replay_until
        return b"".join([gap, *(entry.frame for entry in entries or ())])

    def finish(self) -> None:
        """Let the iterator end."""
        self._queue.finish()

    def close(self) -> None:
        """Release the queue and its subscription."""
        self._queue.close()
        self._replay_buffer.unsubscribe(self._queue, self._event_filter)


def open_event_feed(
    replay_buffer: ReplayBuffer,
    *,
    event_filter: EventFilter,
    limit: int,
    cursor: str,
    make_source_frame: SourceFrameFactory,
) -> EventFeed:
    """Open a feed of the events after the cursor of a client, or of the newest. It must be closed.

    A client without a valid cursor gets the newest `limit` events first.
    """
    if event_filter.passes_all:
        event_filter = ALL_EVENTS
    # No await between the subscription and the search of past entries: none is lost.
    feed = EventFeed(replay_buffer, event_filter, make_source_frame)
    parsed_cursor, gap = TimelineCursor.parse(cursor), b""
    seen = replay_buffer.resolve_cursor(parsed_cursor) if parsed_cursor is not None else None
    unseen: EntryFilter = event_filter
    if seen is not None:
        unseen = UnseenFilter(event_filter, seen) if seen.per_source else event_filter
        last, jobs = replay_buffer.last_number, event_filter.job_ids
        entries = replay_buffer.get_range(seen.number, last, unseen, jobs, max_bytes=0)
    else:
        entries = replay_buffer.get_newest(limit, event_filter, event_filter.job_ids)
        if cursor:
            # First of all, so that a client can clear its view.
            missed = count_missed_before(replay_buffer, entries, event_filter, parsed_cursor)
            gap = make_event_gap_frame(missed, "cursor_expired")
    # A cursor for a client that is disconnected before its first event, or filters out all of them.
    before = entries[0].number - 1 if entries else replay_buffer.last_number
    position = cursor if seen is not None and seen.per_source else replay_buffer.cursor_at(before)
    feed.set_start(gap + make_source_frame(position), before, unseen)
    return feed


def count_missed_before(
    replay_buffer: ReplayBuffer,
    entries: list[ReplayEntry],
    event_filter: EventFilter,
    cursor: TimelineCursor | None,
) -> int | None:
    """Return the number of events between a cursor and the first entry; None if it is unknown."""
    if cursor is None or cursor.epoch != replay_buffer.epoch or not entries:
        return None
    return count_missed_between(replay_buffer, cursor.number, entries[0].number, event_filter)


def count_missed_between(
    replay_buffer: ReplayBuffer, after: int, before: int, event_filter: EventFilter
) -> int | None:
    """Return the number of events between two numbers that pass; None if it is unknown."""
    return (replay_buffer.count_missed(after, before) or None) if event_filter.passes_all else None


def make_event_gap_frame(missed: int | None, reason: GapReason) -> bytes:
    """Encode a `gap` event. It has no id: the events around it do."""
    return sse.frame(GapData(missed=missed, reason=reason).json_bytes(), event="gap")
