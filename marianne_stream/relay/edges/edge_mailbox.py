"""What comes of a relayed log at once, as frames, and the mailbox in which a viewer gets it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import msgspec

from marianne_stream.fanout.mailboxes import Sink, SubscriberQueue
from marianne_stream.feeds.log_frames import make_conductor_members, make_facts_members
from marianne_stream.feeds.log_matching import LineMatcher, MatchCache
from marianne_stream.logs.index import LineFilter
from marianne_stream.logs.threads import JobThreads
from marianne_stream.payloads import LogGapData
from marianne_stream.relay.format import LogEntry
from marianne_stream.relay.streams import Entry, is_after, readable
from marianne_stream.relay.validation import parse_log_entry
from marianne_stream.wire import sse
from marianne_stream.wire.log_levels import parse_line_facts
from marianne_stream.wire.sse import EncodedFrames

COMPLETE = "log_complete"

decode_text = msgspec.json.Decoder(str).decode

# What is kept for one that does not read.
MAILBOX_BYTES = 896 * 1024

Placed = tuple[bytes, LogEntry]


def placed(entries: Iterable[Entry]) -> list[Placed]:
    """Entries with their ids."""
    return readable(entries, parse_log_entry)


def frame_of(entry: LogEntry, *, initial: bool = False) -> bytes:
    """An entry as an event, to the letter as feeds/log_frames.py makes it."""
    if entry.mark:
        return sse.frame(entry.data, event=entry.mark, event_id=entry.cursor)
    if not entry.line:
        return sse.id_only(entry.cursor)
    word = b"true" if initial else b"false"
    cut = b',"truncated":true' if entry.truncated else b""
    text = decode_text(entry.line)
    facts = make_facts_members(parse_line_facts(text))
    if entry.of_conductor:
        facts += make_conductor_members(text.encode("utf-8", "replace"))
    return b'id: %b\nevent: log\ndata: {"line":%b,"line_number":%d,"timestamp":"%b",%b}\n\n' % (
        entry.cursor.encode(),
        entry.line,
        entry.number,
        entry.timestamp.encode(),
        b'"initial":' + word + cut + facts,
    )


def lost_entry() -> LogEntry:
    """A gap that was found here: of what lies before, nobody knows how much is missing."""
    data = LogGapData(reason="rotated_away", lost_bytes=None)
    return LogEntry("", mark="log_gap", data=data.json_bytes())


def frames_of(entries: Iterable[LogEntry], *, initial: bool = False) -> bytes:
    """Entries as events."""
    return b"".join(frame_of(entry, initial=initial) for entry in entries)


@dataclass(frozen=True)
class RelayedBatch:
    """What came at once.

    Attributes:
        entries: what came, with its ids.
        frames: all of it.
    """

    entries: Sequence[Placed]
    frames: bytes
    _wanted: MatchCache = field(default_factory=MatchCache, compare=False)

    @classmethod
    def of(cls, entries: Sequence[Placed]) -> "RelayedBatch":
        """A batch of some entries, of which there is one at least."""
        return cls(entries, frames_of(entry for _, entry in entries))

    @property
    def end(self) -> Placed:
        """The last entry."""
        return self.entries[-1]

    @property
    def complete(self) -> bool:
        """Whether the log ends behind it."""
        return self.end[1].mark == COMPLETE

    def behind(self, place: bytes) -> "RelayedBatch | None":
        """What of it lies behind a place: all of it, as a rule."""
        if is_after(self.entries[0][0], place):
            return self
        rest = [entry for entry in self.entries if is_after(entry[0], place)]
        return RelayedBatch.of(rest) if rest else None

    @cached_property
    def all(self) -> EncodedFrames:
        """What a viewer is sent that wants all lines."""
        return EncodedFrames(self.frames)

    async def wanted(self, filtering: LineMatcher | None, threads: JobThreads) -> bytes:
        """Return the frames that a viewer wants, made once for all who want the same."""
        if filtering is None:
            return self.frames
        return await self._wanted.get_or_compute(filtering, partial(self._matched, threads))

    async def _matched(self, threads: JobThreads, filtering: LineMatcher) -> bytes:
        return frames_of(await chosen(self.entries, filtering, threads))


async def chosen(
    entries: Sequence[Placed], filtering: LineMatcher | None, threads: JobThreads
) -> list[LogEntry]:
    """Return the lines that are wanted, and every mark."""
    if filtering is not None:
        entries = await filtering.select(threads, entries, text_of)
    return [entry for _, entry in entries]


def lines_of(entries: Sequence[Placed]) -> list[bytes]:
    """Return the lines behind the last mark of some entries."""
    texts = [text_of(entry) for entry in entries]
    marks = [place for place, text in enumerate(texts) if text is None]
    return [text for text in texts[marks[-1] + 1 if marks else 0 :] if text is not None]


def text_of(placed: Placed) -> bytes | None:
    """Return what a filter looks at; None for a mark."""
    line = placed[1].line
    return decode_text(line).encode() if line else None


class RelayedMailbox(SubscriberQueue):
    """Keeps batches up to a bound; one who is behind leaves, and reads from Redis again.

    Args:
        only: which lines the reader wants; all where it is None.
        sink: where frames go while the reader waits.
        place: behind what the reader has.

    Attributes:
        place: behind what has gone out, or was taken last.
        cursor: the id of the event there, where it is another one than the reader has.
        behind: whether more was offered than is kept.
        held_bytes: what is kept.
    """

    def __init__(self, only: LineFilter | None, outlet: Sink | None, place: bytes) -> None:
        super().__init__()
        self.only = only
        self.sink = outlet
        self.place = place
        self.cursor = ""
        self.behind = False
        self.held_bytes = 0
        self._batches: list[RelayedBatch] = []
        # Behind what was offered last.
        self._offered = place

    def offer(self, batch: RelayedBatch, /) -> None:
        """Sends a batch at once, or keeps it, unless the reader has fallen behind."""
        if self._finished or self.behind:
            return
        rest = batch.behind(self._offered)
        if rest is None:
            return
        self._offered = rest.end[0]
        # What is filtered is matched in a thread, once it was taken.
        at_once = self.only is None and not rest.complete and self._is_reader_waiting
        if at_once and (not rest.frames or self._try_send(rest.all)):
            self._has(rest)
            return
        if self._batches and self.held_bytes + len(rest.frames) > MAILBOX_BYTES:
            self.behind = True
        else:
            self.held_bytes += len(rest.frames)
            self._batches.append(rest)
        self._wake()

    def take(self) -> RelayedBatch | None:
        """The oldest batch; None where there is none."""
        if not self._batches:
            return None
        batch = self._batches.pop(0)
        self.held_bytes -= len(batch.frames)
        self._has(batch)
        return batch

    def _has(self, batch: RelayedBatch) -> None:
        self.place, entry = batch.end
        self.cursor = entry.cursor or self.cursor

    def _has_items(self) -> bool:
        return bool(self._batches or self.behind)
