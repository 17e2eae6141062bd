"""Event feed of a client whose cursor is older than the replay buffer."""

import logging
from collections.abc import AsyncIterator, Callable

from marianne_stream.errors import HistoryClosedError, HistoryUnavailableError
from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.feeds.event_feed import EventFeed, EventFilter, make_event_gap_frame
from marianne_stream.feeds.feed import FeedKind
from marianne_stream.history.event_log import EventLog, StoredPage
from marianne_stream.wire.cursors import TimelineCursor

logger = logging.getLogger(__name__)


class StoredEventFeed:
    """Stored events after a position, then the feed of the replay buffer.

    Args:
        stored_events: source of the stored events.
        after: sequence number of the last event that the client has.
        event_filter: filter of the client.
        open_feed: opens the feed of the replay buffer at a cursor.
    """

    kind: FeedKind = "events"
    has_heartbeats = True
    is_exhausted = False

    def __init__(
        self,
        stored_events: EventLog,
        after: int,
        event_filter: EventFilter,
        open_feed: Callable[[str], EventFeed],
    ) -> None:
        self._stored_events = stored_events
        self._after = after
        self._event_filter = event_filter
        self._open_feed = open_feed
        self._feed: EventFeed | None = None
        self._sink: Sink | None = None
        self._finished = False

    @property
    def buffered_bytes(self) -> int:
        """Size of the queued entries."""
        return self._feed.buffered_bytes if self._feed is not None else 0

    def set_sink(self, sink: Sink) -> None:
        """Send new entries to a sink while the iterator waits."""
        self._sink = sink

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield the stored events, then those of the replay buffer."""
        async for frames in self._stored_frames():
            yield frames
            # The next may be a long time coming; do not keep these.
            del frames
        if self._finished:
            return
        # No await from here on, so that no entry is lost and none comes twice.
        feed = self._feed = self._open_feed(self._stored_events.to_cursor(self._after))
        if self._sink is not None:
            feed.set_sink(self._sink)
        async for frames in feed.frames():
            yield frames
            del frames

    async def _stored_frames(self) -> AsyncIterator[bytes]:
        """Yield the stored events up to the replay buffer."""
        lost_until = self._after
        is_first = True
        while not self._finished:
            first_buffered = self._stored_events.first_buffered_seq()
            if self._after >= first_buffered - 1:
                break
            try:
                page = await self._stored_events.read_after(self._after, self._event_filter.job_ids)
            except HistoryClosedError:
                # The server drains its streams: the client resumes from here elsewhere.
                self.finish()
                return
            except HistoryUnavailableError as error:
                logger.debug("stored events not read error=%s", error)
                page = StoredPage((), self._after, 0)
            if page.lost_until > max(lost_until, self._after):
                yield make_event_gap_frame(None, "cursor_expired" if is_first else "slow_consumer")
                lost_until = page.lost_until
            is_first = False
            if frames := b"".join([one.frame for one in page.entries if self._event_filter(one)]):
                yield frames
            if page.complete_until <= self._after:
                # The buffer has lost events that are not stored, or can no longer be read.
                yield make_event_gap_frame(None, "slow_consumer")
                self._after = first_buffered - 1
            self._after = max(self._after, page.complete_until)

    def finish(self) -> None:
        """Let the iterator end."""
        self._finished = True
        if self._feed is not None:
            self._feed.finish()

    def close(self) -> None:
        """Release the feed of the replay buffer."""
        if self._feed is not None:
            self._feed.close()


async def open_stored_event_feed(
    stored_events: EventLog,
    replay_buffer: ReplayBuffer,
    *,
    event_filter: EventFilter,
    cursor: str,
    open_feed: Callable[[str], EventFeed],
) -> StoredEventFeed | None:
    """Open a feed that begins with stored events, if a cursor is older than the replay buffer.

    It must be closed.

    Args:
        stored_events: source of the stored events.
        replay_buffer: source of the newer events.
        event_filter: filter of the client.
        cursor: cursor as the client sent it; "" for a new client.
        open_feed: opens the feed of the replay buffer at a cursor.

    Returns:
        the feed; None if the replay buffer has all that the client needs, or the store has not.

    Raises:
        HistoryClosedError: this server stops.
    """
    parsed = TimelineCursor.parse(cursor)
    if parsed is None or replay_buffer.resolve_cursor(parsed) is not None:
        return None
    try:
        after = await stored_events.find(parsed)
    except HistoryClosedError:
        raise
    except HistoryUnavailableError as error:
        logger.debug("stored events not read error=%s", error)
        return None
    if after is None:
        return None
    return StoredEventFeed(stored_events, after, event_filter, open_feed)
