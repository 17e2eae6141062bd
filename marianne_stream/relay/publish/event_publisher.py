"""Publishes the timeline: each event once, and a gap wherever some are not to be had any more.

It must not know where events come from.
"""

from collections.abc import Iterable

from marianne_stream.fanout.mailboxes import DropOldestQueue
from marianne_stream.fanout.timeline import ReplayBuffer, ReplayEntry
from marianne_stream.relay.connecting import asked
from marianne_stream.relay.format import EventEntry
from marianne_stream.relay.keys import Keys
from marianne_stream.relay.publish.writer import Command, Writer
from marianne_stream.relay.validation import is_number

EVENTS_KEPT = 10_000

# So many in one script: Redis does nothing else meanwhile.
WRITTEN_AT_ONCE = 500


def everything(_entry: ReplayEntry) -> bool:
    """Wants all events."""
    return True


class EventPublisher:
    """Publishes one timeline.

    The ids of its entries are the timeline's own numbers, behind a number for this process, so what
    is published again has the same id: it is refused where it still is, and passed over by an edge
    that has read it before.

    Args:
        timeline: what is published.
        keys: where it goes.
    """

    def __init__(self, timeline: ReplayBuffer, keys: Keys) -> None:
        self._timeline = timeline
        self._key = keys.events
        # Rises with each process that publishes.
        self._reign = 0
        # What was published last; -1 where a gap is to come first, whatever follows.
        self._last = 0

    async def run(self, writer: Writer) -> None:
        """Publishes what was not, then what comes, until cancelled; raises as `write` does."""
        mailbox: DropOldestQueue[ReplayEntry] = DropOldestQueue()
        await self._find_place(writer)
        self._timeline.subscribe(mailbox, everything)
        try:
            await self._write(writer, self._since_last())
            while await mailbox.wait():
                # It tells that something has come; the timeline tells what of it is kept.
                mailbox.take()
                await self._write(writer, self._since_last())
        finally:
            self._timeline.unsubscribe(mailbox, everything)

    async def _find_place(self, writer: Writer) -> None:
        """Where in the stream this timeline goes on."""
        found = await asked(writer.client.xrevrange(self._key, count=1))
        newest = 0
        for entry_id, fields in found:
            newest = int(entry_id.partition(b"-")[0])
            number = fields.get(b"n", b"")
            if fields.get(b"e") == self._timeline.epoch.encode() and is_number(number):
                self._reign, self._last = newest, int(number)
                return
        # The stream is gone, or another process wrote it last, behind which something is missing.
        self._last = -1 if found else 0
        if self._reign <= newest:
            self._reign = max(writer.now_s, newest + 1)

    def _since_last(self) -> Iterable[EventEntry]:
        """What the timeline keeps and was not published, behind a gap where something is gone."""
        timeline, last = self._timeline, max(self._last, 0)
        entries = timeline.get_range(last, timeline.last_number, everything)
        if entries is None:
            entries = timeline.get_newest(EVENTS_KEPT, everything)
        first = entries[0].number if entries else timeline.last_number + 1
        if first > self._last + 1:
            yield EventEntry(timeline.epoch, first - 1)
        yield from map(self._entry, entries)

    def _entry(self, entry: ReplayEntry) -> EventEntry:
        epoch = self._timeline.epoch
        if not entry.event:
            return EventEntry(epoch, entry.number)
        return EventEntry(epoch, entry.number, entry.job_id or "", entry.event, data_of(entry))

    async def _write(self, writer: Writer, entries: Iterable[EventEntry]) -> None:
        """Publishes entries that were not; what is not kept has no number, and is passed over."""
        commands = []
        for entry in entries:
            if entry.number > self._last:
                self._last = entry.number
                commands.append(self._command(entry))
            if len(commands) == WRITTEN_AT_ONCE:
                await writer.write(commands)
                commands = []
        await writer.write(commands)

    def _command(self, entry: EventEntry) -> Command:
        fields = (field for pair in entry.fields().items() for field in pair)
        trim = ("MAXLEN", "~", str(EVENTS_KEPT))
        return Command("XADD", self._key, (*trim, f"{self._reign}-{entry.number}", *fields))


def data_of(entry: ReplayEntry) -> bytes:
    """The data of a frame, which holds it a line at a time."""
    lines = entry.frame.split(b"\n")
    return b"\n".join(line[6:] for line in lines if line.startswith(b"data: "))
