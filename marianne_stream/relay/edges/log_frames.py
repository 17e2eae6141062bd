"""Entries of a log's stream as frames, the same as the origin sends. Pure."""

from collections.abc import Iterable

import msgspec

from marianne_stream.feeds.log_frames import conductor_json, facts_json
from marianne_stream.payloads import LogGapData
from marianne_stream.relay.format import LogEntry
from marianne_stream.wire import sse
from marianne_stream.wire.log_levels import facts_of

decode_text = msgspec.json.Decoder(str).decode


def frame_of(entry: LogEntry, *, initial: bool = False) -> bytes:
    """An entry as an event, to the letter as feeds/log_frames.py makes it."""
    if entry.mark:
        return sse.frame(entry.data, event=entry.mark, event_id=entry.cursor)
    if not entry.line:
        return sse.position(entry.cursor)
    word = b"true" if initial else b"false"
    cut = b',"truncated":true' if entry.truncated else b""
    text = decode_text(entry.line)
    facts = facts_json(facts_of(text))
    if entry.of_conductor:
        facts += conductor_json(text.encode("utf-8", "replace"))
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
