"""Entries of a relayed log as frames, and the queue in which a client gets them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.feeds.batch_queue import BatchQueue, FrameBatch
from marianne_stream.feeds.line_matcher import LineMatcher
from marianne_stream.feeds.log_frames import make_conductor_members, make_facts_members
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_threads import JobThreads
from marianne_stream.relay.edge.log_stream import LOG_COMPLETE, LogPosition, LogStreamEntry
from marianne_stream.relay.redis_streams import is_id_after
from marianne_stream.relay.schema import LogEntry
from marianne_stream.wire import sse
from marianne_stream.wire.log_levels import parse_line_facts

decode_text = msgspec.json.Decoder(str).decode

# Limit of a client's queue.
MAX_QUEUED_BYTES = 896 * 1024


def make_entry_frame(entry: LogEntry, *, is_initial: bool = False) -> bytes:
    """Return the frame of an entry, the same bytes as feeds/log_frames.py makes."""
    if entry.mark:
        return sse.frame(entry.data, event=entry.mark, event_id=entry.cursor)
    if not entry.line:
        return sse.id_only(entry.cursor)
    text = decode_text(entry.line)
    members = b"true" if is_initial else b"false"
    if entry.is_truncated:
        members += b',"truncated":true'
    members += make_facts_members(parse_line_facts(text))
    if entry.is_conductor_log:
        members += make_conductor_members(text.encode("utf-8", "replace"))
    return (
        b'id: %b\nevent: log\ndata: {"line":%b,"line_number":%d,"timestamp":"%b","initial":%b}\n\n'
        % (entry.cursor.encode(), entry.line, entry.number, entry.timestamp.encode(), members)
    )


def make_entry_frames(entries: Iterable[LogEntry], *, is_initial: bool = False) -> bytes:
    """Return the frames of entries."""
    return b"".join(make_entry_frame(entry, is_initial=is_initial) for entry in entries)


@dataclass(frozen=True, kw_only=True)
class RelayedBatch(FrameBatch):
    """Entries that were read at once, at least one, and the position behind them."""

    items: Sequence[LogStreamEntry]
    end: LogPosition

    @classmethod
    def from_items(cls, items: Sequence[LogStreamEntry], end: LogPosition) -> "RelayedBatch":
        """Encode entries for all clients."""
        return cls(
            items=items,
            end=end,
            frames=make_entry_frames(entry for _, entry in items),
            is_complete=items[-1][1].mark == LOG_COMPLETE,
        )

    def after(self, entry_id: bytes) -> "RelayedBatch | None":
        """Return the entries behind an id: usually all."""
        if is_id_after(self.items[0][0], entry_id):
            return self
        rest = [item for item in self.items if is_id_after(item[0], entry_id)]
        return RelayedBatch.from_items(rest, self.end) if rest else None

    async def _match_frames(self, threads: JobThreads, matcher: LineMatcher) -> bytes:
        return make_entry_frames(await select_entries(self.items, matcher, threads))


async def select_entries(
    items: Sequence[LogStreamEntry], matcher: LineMatcher | None, threads: JobThreads
) -> list[LogEntry]:
    """Return the lines that pass a filter, and every mark."""
    if matcher is not None:
        items = await matcher.select(threads, items, get_text)
    return [entry for _, entry in items]


def lines_after_last_mark(items: Sequence[LogStreamEntry]) -> list[bytes]:
    """Return the lines behind the last mark."""
    lines: list[bytes] = []
    for item in items:
        text = get_text(item)
        if text is None:
            lines.clear()
        else:
            lines.append(text)
    return lines


def get_text(item: LogStreamEntry) -> bytes | None:
    """Return the text of a line for filters, or None for a mark."""
    line = item[1].line
    return decode_text(line).encode() if line else None


class RelayedBatchQueue(BatchQueue[RelayedBatch]):
    """Batches behind a position that one client has not taken yet.

    Attributes:
        position: position behind the last batch that was sent or taken.
    """

    def __init__(
        self, line_filter: LineFilter | None, sink: Sink | None, position: LogPosition
    ) -> None:
        super().__init__(line_filter, sink, max_bytes=MAX_QUEUED_BYTES)
        self.position = position
        self._last_offered_id = position.entry_id

    def _accept(self, batch: RelayedBatch) -> RelayedBatch | None:
        rest = batch.after(self._last_offered_id)
        if rest is not None:
            self._last_offered_id = rest.items[-1][0]
        return rest

    def _set_position(self, batch: RelayedBatch) -> None:
        self.position = batch.end
