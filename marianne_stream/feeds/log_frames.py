"""What a log's readers give, as frames. It must not know who is sent them."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from marianne_stream.logs.log_reader import LogGap, LogRotation, ReadResult
from marianne_stream.logs.positions import Position
from marianne_stream.schemas import (
    LogCompleteData,
    LogGapData,
    LogMissingData,
    LogPartialData,
    LogRotatedData,
)
from marianne_stream.wire import sse
from marianne_stream.wire.conductor_lines import parse_conductor_line
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_levels import LEVELS, NO_FACTS, LineFacts, LineLevel, parse_line_facts
from marianne_stream.wire.log_lines import LogLine

encode_json = msgspec.json.Encoder().encode

LEVEL_MEMBERS: dict[LineLevel | None, bytes] = {
    None: b"",
    **{level: b',"level":"%b"' % level.encode() for level in LEVELS},
}


def now_iso() -> str:
    """The moment, as the `timestamp` of lines that are read now."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def make_line_frames(
    result: ReadResult, lines: Iterable[LogLine], *, timestamp: str, is_initial: bool
) -> Iterable[bytes]:
    """Each line of a step as a `log` event whose id is the position behind it.

    Args:
        result: what the lines were read with.
        lines: those that are wanted.
        timestamp: when they were read.
        is_initial: whether they were there when the stream began.
    """
    head = b"id: l-%x-%016x-" % (result.inode, result.first_line_hash)
    word = b"true" if is_initial else b"false"
    tail = b'"timestamp":"%b","initial":%b' % (timestamp.encode(), word)
    for line in lines:
        text, number, end, line_digest, truncated, terminated = line
        mark = b"" if terminated else b"u"
        cut = b',"truncated":true' if truncated else b""
        shown = line.display_text if truncated else text.decode("utf-8", "replace")
        facts = parse_line_facts(shown)
        further = b"" if facts is NO_FACTS else make_facts_members(facts)
        if result.is_conductor_log:
            further += make_conductor_members(text)
        position = b"%b%d%b-%d-%016x" % (head, end, mark, number, line_digest)
        yield b'%b\nevent: log\ndata: {"line":%b,"line_number":%d,%b%b%b}\n\n' % (
            position,
            encode_json(shown),
            number,
            tail,
            cut,
            further,
        )


def make_partial_frame(job_id: str, line: LogLine) -> bytes:
    """A `log_partial` event. It bears no id: it is no position."""
    data = LogPartialData(job_id=job_id, line=line.display_text, line_number=line.number)
    return sse.frame(data.json_bytes(), event="log_partial")


def make_conductor_members(text: bytes) -> bytes:
    """What is said of a line of the conductor's own log, as further members."""
    begins = b',"begins_run":true' if parse_conductor_line(text).is_run_start else b""
    return b',"source":"conductor"' + begins


def make_facts_members(facts: LineFacts) -> bytes:
    """What a line says of itself, as further members of its event's data."""
    level, logged_at = facts
    word = LEVEL_MEMBERS[level]
    return b'%b,"logged_at":"%b"' % (word, logged_at.encode()) if logged_at is not None else word


def make_change_frames(result: ReadResult) -> Iterable[bytes]:
    """What a step holds behind its lines: a gap, a rotation."""
    if result.gap is not None:
        yield make_log_gap_frame(result.gap)
    if result.rotation is not None:
        yield make_rotated_frame(result.rotation)


def make_log_gap_frame(gap: LogGap | None) -> bytes:
    """A `log_gap` event; None for a cursor that could not be used. It bears no id."""
    if gap is None:
        data = LogGapData(reason="cursor_expired", lost_bytes=None)
    else:
        data = LogGapData(reason=gap.reason, lost_bytes=gap.lost_bytes)
    return sse.frame(data.json_bytes(), event="log_gap")


def make_rotated_frame(rotation: LogRotation) -> bytes:
    """A `log_rotated` event. It bears no id: the lines around it do."""
    data = LogRotatedData(log_file=rotation.log_file, reason=rotation.reason)
    return sse.frame(data.json_bytes(), event="log_rotated")


def make_complete_frame(position: Position, *, follow: bool = True) -> bytes:
    """The `log_complete` event at a position. Blocks for a moment: it belongs in a thread."""
    message = "The job has ended, and so has its log." if follow else "This is the end so far."
    return sse.frame(
        LogCompleteData(message=message).json_bytes(),
        event="log_complete",
        event_id=str(position.make_cursor().as_complete(follow=follow)),
    )


def make_missing_frame(detail: str) -> bytes:
    """Return a `log_missing` event. It bears no id: there is no place in the log yet."""
    return sse.frame(LogMissingData(detail=detail).json_bytes(), event="log_missing")


def make_no_log_frame() -> bytes:
    """The `log_complete` event of a job that has ended without a log."""
    nowhere = LogCursor(0, 0, 0, 0, time.time_ns(), kind="c")
    data = LogCompleteData(message="The job has ended, and has written no log.", missing=True)
    return sse.frame(data.json_bytes(), event="log_complete", event_id=str(nowhere))
