"""Publishes the timeline: each event once, and a gap wherever some are not to be had any more.

It must not know where events come from.
"""

from collections.abc import Iterable

from marianne_stream.fanout.replay_buffer import ReplayBuffer, ReplayEntry
from marianne_stream.fanout.subscriber_queue import DropOldestQueue
from marianne_stream.relay.publish.writer import Command, Writer
from marianne_stream.relay.redis_client import call
from marianne_stream.relay.redis_keys import SourceKeys
from marianne_stream.relay.schema import EventEntry
from marianne_stream.relay.validation import is_number

MAX_STREAM_EVENTS = 10_000

# So many in one script: Redis does nothing else meanwhile.
MAX_BATCH_EVENTS = 500


def match_all(_entry: ReplayEntry) -> bool:
    """Wants all events."""
    return True


class EventPublisher:
    """Publishes one timeline.

    The ids of its entries are the timeline's own numbers, behind a number for this process, so what
    is published again has the same id: it is refused where it still is, and passed over by an edge
    that has read it before.

    Args:
        replay_buffer: what is published.
        keys: where it goes.
    """

    def __init__(self, replay_buffer: ReplayBuffer, keys: SourceKeys) -> None:
        self._replay_buffer = replay_buffer
        self._key = keys.events
        # Rises with each process that publishes.
        self._term = 0
        # What was published last; -1 where a gap is to come first, whatever follows.
        self._last_number = 0

    async def run(self, writer: Writer) -> None:
        """Publishes what was not, then what comes, until cancelled; raises as `write` does."""
        mailbox: DropOldestQueue[ReplayEntry] = DropOldestQueue()
        await self._find_position(writer)
        self._replay_buffer.subscribe(mailbox, match_all)
        try:
            await self._publish_entries(writer, self._iter_unpublished())
            while await mailbox.wait():
                # It tells that something has come; the timeline tells what of it is kept.
                mailbox.take()
                await self._publish_entries(writer, self._iter_unpublished())
        finally:
            self._replay_buffer.unsubscribe(mailbox, match_all)

    async def _find_position(self, writer: Writer) -> None:
        """Where in the stream this timeline goes on."""
        found = await call(writer.client.xrevrange(self._key, count=1))
        newest = 0
        for entry_id, fields in found:
            newest = int(entry_id.partition(b"-")[0])
            number = fields.get(b"n", b"")
            if fields.get(b"e") == self._replay_buffer.epoch.encode() and is_number(number):
                self._term, self._last_number = newest, int(number)
                return
        # The stream is gone, or another process wrote it last, behind which something is missing.
        self._last_number = -1 if found else 0
        if self._term <= newest:
            self._term = max(writer.redis_time_s, newest + 1)

    def _iter_unpublished(self) -> Iterable[EventEntry]:
        """What the timeline keeps and was not published, behind a gap where something is gone."""
        timeline, last = self._replay_buffer, max(self._last_number, 0)
        entries = timeline.get_range(last, timeline.last_number, match_all)
        if entries is None:
            entries = timeline.get_newest(MAX_STREAM_EVENTS, match_all)
        first = entries[0].number if entries else timeline.last_number + 1
        if first > self._last_number + 1:
            yield EventEntry(timeline.epoch, first - 1)
        yield from map(self._make_entry, entries)

    def _make_entry(self, entry: ReplayEntry) -> EventEntry:
        epoch = self._replay_buffer.epoch
        if not entry.event:
            return EventEntry(epoch, entry.number)
        return EventEntry(
            epoch, entry.number, entry.job_id or "", entry.event, parse_frame_data(entry)
        )

    async def _publish_entries(self, writer: Writer, entries: Iterable[EventEntry]) -> None:
        """Publishes entries that were not; what is not kept has no number, and is passed over."""
        commands = []
        for entry in entries:
            if entry.number > self._last_number:
                self._last_number = entry.number
                commands.append(self._make_command(entry))
            if len(commands) == MAX_BATCH_EVENTS:
                await writer.write(commands)
                commands = []
        await writer.write(commands)

    def _make_command(self, entry: EventEntry) -> Command:
        fields = (field for pair in entry.fields().items() for field in pair)
        trim = ("MAXLEN", "~", str(MAX_STREAM_EVENTS))
        return Command("XADD", self._key, (*trim, f"{self._term}-{entry.number}", *fields))


def parse_frame_data(entry: ReplayEntry) -> bytes:
    """The data of a frame, which holds it a line at a time."""
    lines = entry.frame.split(b"\n")
    return b"\n".join(line[6:] for line in lines if line.startswith(b"data: "))
