"""Publisher of the conductor's events: each once, and a gap where some are missing."""

from collections.abc import Iterable

from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.fanout.replay_entry import ReplayEntry
from marianne_stream.fanout.subscriber_queue import DropOldestQueue
from marianne_stream.relay.publish.writer import Command, Writer
from marianne_stream.relay.redis_client import call
from marianne_stream.relay.schema import EventEntry, SourceKeys, is_number

MAX_STREAM_EVENTS = 10_000

# Events of one script, while which Redis does nothing else.
MAX_BATCH_EVENTS = 500


def match_all(_entry: ReplayEntry) -> bool:
    """Return True: every entry is published."""
    return True


class EventPublisher:
    """Publishes the entries of a replay buffer.

    The id of an entry is the term of this process and the number in the buffer. An event that is
    published again keeps its id, so Redis refuses it, or an edge that has read it skips it.
    """

    def __init__(self, replay_buffer: ReplayBuffer, keys: SourceKeys) -> None:
        self._replay_buffer = replay_buffer
        self._key = keys.events
        # Higher for each process that publishes.
        self._term = 0
        # Number of the newest event that was published. Those that were restored are published by
        # the process that has received them; one less if a gap must come first.
        self._last_number = replay_buffer.restored_number

    async def run(self, writer: Writer) -> None:
        """Publish kept and new events until cancelled; raises as `Writer.write` does."""
        queue: DropOldestQueue[ReplayEntry] = DropOldestQueue()
        await self._find_position(writer)
        self._replay_buffer.subscribe(queue, match_all)
        try:
            await self._publish(writer, self._iter_unpublished())
            while await queue.wait():
                # The queue only wakes this task; the buffer has what is kept.
                queue.take()
                await self._publish(writer, self._iter_unpublished())
        finally:
            self._replay_buffer.unsubscribe(queue, match_all)

    async def _find_position(self, writer: Writer) -> None:
        """Find the newest published event, by which the term and the position are set."""
        found = await call(writer.client.xrevrange(self._key, count=1))
        newest_term = 0
        for entry_id, fields in found:
            newest_term = int(entry_id.partition(b"-")[0])
            number = fields.get(b"n", b"")
            if fields.get(b"e") == self._replay_buffer.epoch.encode() and is_number(number):
                self._term, self._last_number = newest_term, int(number)
                return
        # Behind the events of another process, some are missing.
        self._last_number = self._replay_buffer.restored_number - bool(found)
        if self._term <= newest_term:
            self._term = max(writer.redis_time_s, newest_term + 1)

    def _iter_unpublished(self) -> Iterable[EventEntry]:
        """Yield the kept entries that were not published, after a gap if some are gone."""
        buffer = self._replay_buffer
        last = max(self._last_number, buffer.restored_number)
        entries = buffer.get_range(last, buffer.last_number, match_all)
        if entries is None:
            entries = buffer.get_newest(MAX_STREAM_EVENTS, match_all)
        first = entries[0].number if entries else buffer.last_number + 1
        if first > self._last_number + 1:
            yield EventEntry(buffer.epoch, first - 1)
        for entry in entries:
            job_id = (entry.job_id or "") if entry.event else ""
            yield EventEntry(buffer.epoch, entry.number, job_id, entry.event, entry.params)

    async def _publish(self, writer: Writer, entries: Iterable[EventEntry]) -> None:
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
