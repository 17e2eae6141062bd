"""The timeline, for one viewer: what it missed or the newest, then what comes.

It must not know where events come from, or how frames are sent.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from marianne_stream.fanout.mailboxes import DropOldestQueue, Sink
from marianne_stream.fanout.places import ReadPosition
from marianne_stream.fanout.timeline import EntryFilter, ReplayBuffer, ReplayEntry
from marianne_stream.feeds.feed import TAKEN_BYTES, Kind
from marianne_stream.payloads import GapData, GapReason
from marianne_stream.wire import sse
from marianne_stream.wire.cursors import TimelineCursor
from marianne_stream.wire.job_patterns import ALL_JOBS, JobPatterns

# Makes the frame that says whether events come in at this moment, with an id or "".
Source = Callable[[str], bytes]

# What is kept for one that does not read: with what is on its way, it costs 1 MiB, unless a single
# event is larger. The frames are the timeline's own, and shared with all who have not taken them.
KEPT_EVENTS = 1000
KEPT_BYTES = 896 * 1024


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events a viewer wants.

    Attributes:
        job_ids: only events of these jobs; all where it is empty.
        prefixes: only events whose names begin with one of these; all where it is empty.
        visible: the jobs that the viewer may see; one who may not see all is shown no event of
            none.
    """

    job_ids: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    visible: JobPatterns = ALL_JOBS

    @property
    def wants_all(self) -> bool:
        """Whether nothing is left out."""
        return not self.job_ids and not self.prefixes and self.visible.all_jobs

    def __call__(self, entry: ReplayEntry) -> bool:
        """Whether an entry is wanted; what concerns some of the wanted jobs always is."""
        if entry.job_id is None:
            return not entry.scope or self._wants_some_of(entry.scope)
        return (
            (not self.job_ids or entry.job_id in self.job_ids)
            and (not self.prefixes or entry.event.startswith(self.prefixes))
            and (self.visible.all_jobs or (bool(entry.job_id) and self.visible(entry.job_id)))
        )

    def _wants_some_of(self, scope: str) -> bool:
        """Whether jobs are wanted whose ids begin with a text."""
        if self.job_ids and not any(job_id.startswith(scope) for job_id in self.job_ids):
            return False
        return self.visible.may_match(scope)


# One for all who want everything, which most do.
ALL_EVENTS = EventFilter()


@dataclass(frozen=True, slots=True)
class Unseen:
    """What is wanted by one who has seen more of some sources than of others.

    Attributes:
        wanted: what it wants of all.
        seen: what it has seen.
    """

    wanted: EventFilter
    seen: ReadPosition

    def __call__(self, entry: ReplayEntry) -> bool:
        """Whether an entry is wanted, and new."""
        return not self.seen.includes(entry.number, entry.source) and self.wanted(entry)


class EventFeed:
    """The wanted entries of the timeline, and a `gap` wherever some of them are gone.

    What is past is not kept for the viewer: it is taken from the timeline, piece by piece, as it is
    sent. So is what one misses for whom too much was kept already; one that is slower than the
    timeline forgets is told of a gap.

    Args:
        timeline: where entries come from.
        wanted: which.
        source: says whether events come in.
    """

    __slots__ = (
        "_after",
        "_head",
        "_mailbox",
        "_source",
        "_timeline",
        "_unseen",
        "_until",
        "_wanted",
    )

    kind: Kind = "events"
    heartbeats = True
    nothing_new = False

    def __init__(self, timeline: ReplayBuffer, wanted: EventFilter, source: Source) -> None:
        self._timeline = timeline
        self._wanted = wanted
        self._source = source
        self._mailbox: DropOldestQueue[ReplayEntry] = DropOldestQueue(
            max_items=KEPT_EVENTS, max_bytes=KEPT_BYTES
        )
        # What comes first; then the entries behind the one number, to the other.
        self._head = b""
        self._after = self._until = timeline.last_number
        self._unseen: EntryFilter = wanted
        timeline.subscribe(self._mailbox, wanted)

    def begin(self, head: bytes, after: int, unseen: EntryFilter) -> None:
        """Says what comes first, and which of the past the viewer wants, behind which number."""
        self._head, self._after, self._unseen = head, after, unseen

    @property
    def held_bytes(self) -> int:
        """What is kept for the viewer."""
        return self._mailbox.buffered_bytes

    def attach(self, outlet: Sink) -> None:
        """Says where new entries may go at once."""
        self._mailbox.sink = outlet

    def frames(self) -> AsyncIterator[bytes]:
        """What is past, then what comes, without an end of its own."""
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        # No generator: ten thousand of them that wait are worth 3 MB.
        return self

    async def __anext__(self) -> bytes:
        head, self._head = self._head, b""
        past = self._past() if self._after < self._until else b""
        if head or past:
            return head + past
        if not await self._mailbox.wait():
            raise StopAsyncIteration
        batch = self._mailbox.take(TAKEN_BYTES)
        if batch.first_dropped is not None:
            return self._again(batch.first_dropped.number - 1)
        return b"".join([entry.frame for entry in batch.items])

    def _again(self, after: int) -> bytes:
        """Goes on behind a number, where the mailbox has let something go.

        A `source` may have been among it, which the timeline does not keep.
        """
        # In one turn of the loop: nothing falls between, and nothing comes twice.
        self._timeline.flush()
        self._mailbox.take()
        self._after, self._until = after, self._timeline.last_number
        return self._source("") + self._past()

    def _past(self) -> bytes:
        """The next of what is past; nothing where no more of it is wanted."""
        timeline, wanted, gap = self._timeline, self._wanted, b""
        after = min(timeline.oldest_number - 1, self._until)
        if self._after < after:
            timeline.slow_consumer_gaps += 1
            missed = missed_between(timeline, self._after, after + 1, wanted)
            gap = gap_frame(missed, "slow_consumer") + self._source("")
            self._after = after
        entries = timeline.get_range(
            self._after, self._until, self._unseen, wanted.job_ids, max_bytes=TAKEN_BYTES
        )
        self._after = entries[-1].number if entries else self._until
        return b"".join([gap, *(entry.frame for entry in entries or ())])

    def close(self) -> None:
        """Lets `frames` end."""
        self._mailbox.finish()

    def leave(self) -> None:
        """Lets go of the timeline."""
        self._mailbox.close()
        self._timeline.unsubscribe(self._mailbox, self._wanted)


def event_feed(
    timeline: ReplayBuffer,
    *,
    wanted: EventFilter,
    limit: int,
    cursor: str,
    source: Source,
) -> EventFeed:
    """A feed of the timeline, which must be left.

    Args:
        timeline: what is fed from.
        wanted: which events.
        limit: how many of the newest come first, for a viewer without a cursor that can be used.
        cursor: what the viewer has seen, as it says; "" for a new one.
        source: says whether events come in.
    """
    if wanted.wants_all:
        wanted = ALL_EVENTS
    # It is subscribed and the past found in one turn of the loop: nothing falls between.
    feed = EventFeed(timeline, wanted, source)
    at, gap = TimelineCursor.parse(cursor), b""
    seen = timeline.resolve_cursor(at) if at is not None else None
    unseen: EntryFilter = wanted
    if seen is not None:
        unseen = Unseen(wanted, seen) if seen.per_source else wanted
        jobs = wanted.job_ids
        entries = timeline.get_range(seen.number, timeline.last_number, unseen, jobs, max_bytes=0)
    else:
        entries = timeline.get_newest(limit, wanted, wanted.job_ids)
        if cursor:
            # Before all else, so that a client can clear what it shows.
            gap = gap_frame(missed_before(timeline, entries, wanted, at), "cursor_expired")
    # A position for one who is cut off before the first event, or wants none of those there are.
    before = entries[0].number - 1 if entries else timeline.last_number
    position = cursor if seen is not None and seen.per_source else timeline.cursor_at(before)
    feed.begin(gap + source(position), before, unseen)
    return feed


def missed_before(
    timeline: ReplayBuffer,
    entries: list[ReplayEntry],
    wanted: EventFilter,
    seen: TimelineCursor | None,
) -> int | None:
    """How many events lie between a cursor and the first entry; None where that is not known."""
    if seen is None or seen.epoch != timeline.epoch or not entries:
        return None
    return missed_between(timeline, seen.number, entries[0].number, wanted)


def missed_between(
    timeline: ReplayBuffer, after: int, before: int, wanted: EventFilter
) -> int | None:
    """How many events that are wanted lie between two numbers; None where that is not known."""
    return (timeline.count_missed(after, before) or None) if wanted.wants_all else None


def gap_frame(missed: int | None, reason: GapReason) -> bytes:
    """A `gap` event. It bears no id: the events around it do."""
    return sse.frame(GapData(missed=missed, reason=reason).json_bytes(), event="gap")
