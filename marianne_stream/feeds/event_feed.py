"""The timeline, for one viewer: what it missed or the newest, then what comes.

It must not know where events come from, or how frames are sent.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from marianne_stream.fanout.replay_buffer import EntryFilter, ReplayBuffer, ReplayEntry
from marianne_stream.fanout.source_positions import ReadPosition
from marianne_stream.fanout.subscriber_queue import DropOldestQueue, Sink
from marianne_stream.feeds.feed import MAX_BATCH_BYTES, FeedKind
from marianne_stream.schemas import GapData, GapReason
from marianne_stream.wire import sse
from marianne_stream.wire.cursors import TimelineCursor
from marianne_stream.wire.job_patterns import ALL_JOBS, JobPatterns

# Makes the frame that says whether events come in at this moment, with an id or "".
SourceFrameFactory = Callable[[str], bytes]

# What is kept for one that does not read: with what is on its way, it costs 1 MiB, unless a single
# event is larger. The frames are the timeline's own, and shared with all who have not taken them.
MAX_QUEUED_EVENTS = 1000
MAX_QUEUED_BYTES = 896 * 1024


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events a viewer wants.

    Attributes:
        job_ids: only events of these jobs; all where it is empty.
        prefixes: only events whose names begin with one of these; all where it is empty.
        job_scope: the jobs that the viewer may see; one who may not see all is shown no event of
            none.
    """

    job_ids: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    job_scope: JobPatterns = ALL_JOBS

    @property
    def passes_all(self) -> bool:
        """Whether nothing is left out."""
        return not self.job_ids and not self.prefixes and self.job_scope.matches_all

    def __call__(self, entry: ReplayEntry) -> bool:
        """Whether an entry is wanted; what concerns some of the wanted jobs always is."""
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
        """Whether jobs are wanted whose ids begin with a text."""
        if self.job_ids and not any(job_id.startswith(job_id_prefix) for job_id in self.job_ids):
            return False
        return self.job_scope.may_match_prefix(job_id_prefix)


# One for all who want everything, which most do.
ALL_EVENTS = EventFilter()


@dataclass(frozen=True, slots=True)
class UnseenFilter:
    """What is wanted by one who has seen more of some sources than of others.

    Attributes:
        event_filter: what it wants of all.
        read_position: what it has seen.
    """

    event_filter: EventFilter
    read_position: ReadPosition

    def __call__(self, entry: ReplayEntry) -> bool:
        """Whether an entry is wanted, and new."""
        return not self.read_position.includes(entry.number, entry.source) and self.event_filter(
            entry
        )


class EventFeed:
    """The wanted entries of the timeline, and a `gap` wherever some of them are gone.

    What is past is not kept for the viewer: it is taken from the timeline, piece by piece, as it is
    sent. So is what one misses for whom too much was kept already; one that is slower than the
    timeline forgets is told of a gap.

    Args:
        replay_buffer: where entries come from.
        event_filter: which.
        make_source_frame: says whether events come in.
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
        # What comes first; then the entries behind the one number, to the other.
        self._first_frames = b""
        self._replay_after = self._replay_until = replay_buffer.last_number
        self._replay_filter: EntryFilter = event_filter
        replay_buffer.subscribe(self._queue, event_filter)

    def set_start(self, first_frames: bytes, after: int, replay_filter: EntryFilter) -> None:
        """Says what comes first, and which of the past the viewer wants, behind which number."""
        self._first_frames, self._replay_after, self._replay_filter = (
            first_frames,
            after,
            replay_filter,
        )

    @property
    def buffered_bytes(self) -> int:
        """What is kept for the viewer."""
        return self._queue.buffered_bytes

    def set_sink(self, sink: Sink) -> None:
        """Says where new entries may go at once."""
        self._queue.sink = sink

    def frames(self) -> AsyncIterator[bytes]:
        """What is past, then what comes, without an end of its own."""
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        # No generator: ten thousand of them that wait are worth 3 MB.
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
        """Goes on behind a number, where the mailbox has let something go.

        A `source` may have been among it, which the timeline does not keep.
        """
        # In one turn of the loop: nothing falls between, and nothing comes twice.
        self._replay_buffer.flush()
        self._queue.take()
        self._replay_after, self._replay_until = after, self._replay_buffer.last_number
        return self._make_source_frame("") + self._next_replay_frames()

    def _next_replay_frames(self) -> bytes:
        """The next of what is past; nothing where no more of it is wanted."""
        timeline, wanted, gap = self._replay_buffer, self._event_filter, b""
        after = min(timeline.oldest_number - 1, self._replay_until)
        if self._replay_after < after:
            timeline.slow_consumer_gaps += 1
            missed = count_missed_between(timeline, self._replay_after, after + 1, wanted)
            gap = make_event_gap_frame(missed, "slow_consumer") + self._make_source_frame("")
            self._replay_after = after
        entries = timeline.get_range(
            self._replay_after,
            self._replay_until,
            self._replay_filter,
            wanted.job_ids,
            max_bytes=MAX_BATCH_BYTES,
        )
        self._replay_after = entries[-1].number if entries else self._replay_until
        return b"".join([gap, *(entry.frame for entry in entries or ())])

    def finish(self) -> None:
        """Lets `frames` end."""
        self._queue.finish()

    def close(self) -> None:
        """Lets go of the timeline."""
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
    """A feed of the timeline, which must be left.

    Args:
        replay_buffer: what is fed from.
        event_filter: which events.
        limit: how many of the newest come first, for a viewer without a cursor that can be used.
        cursor: what the viewer has seen, as it says; "" for a new one.
        make_source_frame: says whether events come in.
    """
    if event_filter.passes_all:
        event_filter = ALL_EVENTS
    # It is subscribed and the past found in one turn of the loop: nothing falls between.
    feed = EventFeed(replay_buffer, event_filter, make_source_frame)
    at, gap = TimelineCursor.parse(cursor), b""
    seen = replay_buffer.resolve_cursor(at) if at is not None else None
    unseen: EntryFilter = event_filter
    if seen is not None:
        unseen = UnseenFilter(event_filter, seen) if seen.per_source else event_filter
        jobs = event_filter.job_ids
        entries = replay_buffer.get_range(
            seen.number, replay_buffer.last_number, unseen, jobs, max_bytes=0
        )
    else:
        entries = replay_buffer.get_newest(limit, event_filter, event_filter.job_ids)
        if cursor:
            # Before all else, so that a client can clear what it shows.
            gap = make_event_gap_frame(
                count_missed_before(replay_buffer, entries, event_filter, at), "cursor_expired"
            )
    # A position for one who is cut off before the first event, or wants none of those there are.
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
    """How many events lie between a cursor and the first entry; None where that is not known."""
    if cursor is None or cursor.epoch != replay_buffer.epoch or not entries:
        return None
    return count_missed_between(replay_buffer, cursor.number, entries[0].number, event_filter)


def count_missed_between(
    replay_buffer: ReplayBuffer, after: int, before: int, event_filter: EventFilter
) -> int | None:
    """How many events that are wanted lie between two numbers; None where that is not known."""
    return (replay_buffer.count_missed(after, before) or None) if event_filter.passes_all else None


def make_event_gap_frame(missed: int | None, reason: GapReason) -> bytes:
    """A `gap` event. It bears no id: the events around it do."""
    return sse.frame(GapData(missed=missed, reason=reason).json_bytes(), event="gap")
