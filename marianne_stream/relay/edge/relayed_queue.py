"""What comes of a relayed log at once, as frames, and the mailbox in which a viewer gets it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import msgspec

from marianne_stream.fanout.subscriber_queue import Sink, SubscriberQueue
from marianne_stream.feeds.line_matcher import LineMatcher, MatchCache
from marianne_stream.feeds.log_frames import make_conductor_members, make_facts_members
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_threads import JobThreads
from marianne_stream.relay.redis_streams import StreamEntry, decode_entries, is_id_after
from marianne_stream.relay.schema import LogEntry
from marianne_stream.relay.validation import parse_log_entry
from marianne_stream.schemas import LogGapData
from marianne_stream.wire import sse
from marianne_stream.wire.log_levels import parse_line_facts
from marianne_stream.wire.sse import EncodedFrames

LOG_COMPLETE = "log_complete"

decode_text = msgspec.json.Decoder(str).decode

# What is kept for one that does not read.
MAX_QUEUED_BYTES = 896 * 1024

LogItem = tuple[bytes, LogEntry]


def decode_log_items(entries: Iterable[StreamEntry]) -> list[LogItem]:
    """Entries with their ids."""
    return decode_entries(entries, parse_log_entry)


def make_entry_frame(entry: LogEntry, *, is_initial: bool = False) -> bytes:
    """An entry as an event, to the letter as feeds/log_frames.py makes it."""
    if entry.mark:
        return sse.frame(entry.data, event=entry.mark, event_id=entry.cursor)
    if not entry.line:
        return sse.id_only(entry.cursor)
    word = b"true" if is_initial else b"false"
    cut = b',"truncated":true' if entry.is_truncated else b""
    text = decode_text(entry.line)
    facts = make_facts_members(parse_line_facts(text))
    if entry.is_conductor_log:
        facts += make_conductor_members(text.encode("utf-8", "replace"))
    return b'id: %b\nevent: log\ndata: {"line":%b,"line_number":%d,"timestamp":"%b",%b}\n\n' % (
        entry.cursor.encode(),
        entry.line,
        entry.number,
        entry.timestamp.encode(),
        b'"initial":' + word + cut + facts,
    )


def make_gap_entry() -> LogEntry:
    """A gap that was found here: of what lies before, nobody knows how much is missing."""
    data = LogGapData(reason="rotated_away", lost_bytes=None)
    return LogEntry("", mark="log_gap", data=data.json_bytes())


def make_entry_frames(entries: Iterable[LogEntry], *, is_initial: bool = False) -> bytes:
    """Entries as events."""
    return b"".join(make_entry_frame(entry, is_initial=is_initial) for entry in entries)


@dataclass(frozen=True)
class RelayedBatch:
    """What came at once.

    Attributes:
        items: what came, with its ids.
        frames: all of it.
    """

    items: Sequence[LogItem]
    frames: bytes
    _match_cache: MatchCache = field(default_factory=MatchCache, compare=False)

    @classmethod
    def from_items(cls, items: Sequence[LogItem]) -> "RelayedBatch":
        """A batch of some entries, of which there is one at least."""
        return cls(items, make_entry_frames(entry for _, entry in items))

    @property
    def last_item(self) -> LogItem:
        """The last entry."""
        return self.items[-1]

    @property
    def is_complete(self) -> bool:
        """Whether the log ends behind it."""
        return self.last_item[1].mark == LOG_COMPLETE

    def after(self, entry_id: bytes) -> "RelayedBatch | None":
        """What of it lies behind a place: all of it, as a rule."""
        if is_id_after(self.items[0][0], entry_id):
            return self
        rest = [entry for entry in self.items if is_id_after(entry[0], entry_id)]
        return RelayedBatch.from_items(rest) if rest else None

    @cached_property
    def encoded_frames(self) -> EncodedFrames:
        """What a viewer is sent that wants all lines."""
        return EncodedFrames(self.frames)

    async def select_frames(self, matcher: LineMatcher | None, threads: JobThreads) -> bytes:
        """Return the frames that a viewer wants, made once for all who want the same."""
        if matcher is None:
            return self.frames
        return await self._match_cache.get_or_compute(matcher, partial(self._match_frames, threads))

    async def _match_frames(self, threads: JobThreads, matcher: LineMatcher) -> bytes:
        return make_entry_frames(await select_entries(self.items, matcher, threads))


async def select_entries(
    items: Sequence[LogItem], matcher: LineMatcher | None, threads: JobThreads
) -> list[LogEntry]:
    """Return the lines that are wanted, and every mark."""
    if matcher is not None:
        items = await matcher.select(threads, items, get_text)
    return [entry for _, entry in items]


def lines_after_last_mark(items: Sequence[LogItem]) -> list[bytes]:
    """Return the lines behind the last mark of some entries."""
    texts = [get_text(entry) for entry in items]
    marks = [place for place, text in enumerate(texts) if text is None]
    return [text for text in texts[marks[-1] + 1 if marks else 0 :] if text is not None]


def get_text(item: LogItem) -> bytes | None:
    """Return what a filter looks at; None for a mark."""
    line = item[1].line
    return decode_text(line).encode() if line else None


class RelayedBatchQueue(SubscriberQueue):
    """Keeps batches up to a bound; one who is behind leaves, and reads from Redis again.

    Args:
        line_filter: which lines the reader wants; all where it is None.
        sink: where frames go while the reader waits.
        after_idid: behind what the reader has.

    Attributes:
        after_idid: behind what has gone out, or was taken last.
        last_cursor: the id of the event there, where it is another one than the reader has.
        has_overflowed: whether more was offered than is kept.
        buffered_bytes: what is kept.
    """

    def __init__(self, line_filter: LineFilter | None, sink: Sink | None, after_id: bytes) -> None:
        super().__init__()
        self.line_filter = line_filter
        self.sink = sink
        self.last_id = after_id
        self.last_cursor = ""
        self.has_overflowed = False
        self.buffered_bytes = 0
        self._batches: list[RelayedBatch] = []
        # Behind what was offered last.
        self._last_offered_id = after_id

    def offer(self, batch: RelayedBatch, /) -> None:
        """Sends a batch at once, or keeps it, unless the reader has fallen behind."""
        if self._finished or self.has_overflowed:
            return
        rest = batch.after(self._last_offered_id)
        if rest is None:
            return
        self._last_offered_id = rest.last_item[0]
        # What is filtered is matched in a thread, once it was taken.
        at_once = self.line_filter is None and not rest.is_complete and self._is_reader_waiting
        if at_once and (not rest.frames or self._try_send(rest.encoded_frames)):
            self._set_position(rest)
            return
        if self._batches and self.buffered_bytes + len(rest.frames) > MAX_QUEUED_BYTES:
            self.has_overflowed = True
        else:
            self.buffered_bytes += len(rest.frames)
            self._batches.append(rest)
        self._wake()

    def take(self) -> RelayedBatch | None:
        """The oldest batch; None where there is none."""
        if not self._batches:
            return None
        batch = self._batches.pop(0)
        self.buffered_bytes -= len(batch.frames)
        self._set_position(batch)
        return batch

    def _set_position(self, batch: RelayedBatch) -> None:
        self.last_id, entry = batch.last_item
        self.last_cursor = entry.cursor or self.last_cursor

    def _has_items(self) -> bool:
        return bool(self._batches or self.has_overflowed)
