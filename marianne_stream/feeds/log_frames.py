"""Frames of log lines, gaps, rotations and the end of a log."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from marianne_stream.logs.log_reader import LogGap, LogRotation, ReadResult
from marianne_stream.logs.positions import Position
from marianne_stream.schemas.log_schemas import (
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
    """Return the current time for the `timestamp` of lines."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def make_line_frames(
    result: ReadResult, lines: Iterable[LogLine], *, timestamp: str, is_initial: bool
) -> Iterable[bytes]:
    """Encode lines as `log` events, each with the cursor behind it as id.

    `is_initial` tells whether they were in the log when the stream began.
    """
    head = b"id: l-%x-%016x-" % (result.inode, result.first_line_hash)
    level_name = b"true" if is_initial else b"false"
    tail = b'"timestamp":"%b","initial":%b' % (timestamp.encode(), level_name)
    for line in lines:
        text, number, end, line_digest, truncated, terminated = line
        suffix = b"" if terminated else b"u"
        cut = b',"truncated":true' if truncated else b""
        shown = line.display_text if truncated else text.decode("utf-8", "replace")
        facts = parse_line_facts(shown)
        further = b"" if facts is NO_FACTS else make_facts_members(facts)
        if result.is_conductor_log:
            further += make_conductor_members(text)
        position = b"%b%d%b-%d-%016x" % (head, end, suffix, number, line_digest)
        yield b'%b\nevent: log\ndata: {"line":%b,"line_number":%d,%b%b%b}\n\n' % (
            position,
            encode_json(shown),
            number,
            tail,
            cut,
            further,
        )


def make_partial_frame(job_id: str, line: LogLine) -> bytes:
    """Encode a `log_partial` event. It has no id: it is not a position."""
    data = LogPartialData(job_id=job_id, line=line.display_text, line_number=line.number)
    return sse.frame(data.json_bytes(), event="log_partial")


def make_conductor_members(text: bytes) -> bytes:
    """Return the JSON members that only lines of the conductor's log have."""
    begins = b',"begins_run":true' if parse_conductor_line(text).is_run_start else b""
    return b',"source":"conductor"' + begins


def make_facts_members(facts: LineFacts) -> bytes:
    """Return the JSON members of level and time."""
    level, logged_at = facts
    level_name = LEVEL_MEMBERS[level]
    return (
        b'%b,"logged_at":"%b"' % (level_name, logged_at.encode())
        if logged_at is not None
        else level_name
    )


def make_change_frames(result: ReadResult) -> Iterable[bytes]:
    """Encode the gap and the rotation of a read result."""
    if result.gap is not None:
        yield make_log_gap_frame(result.gap)
    if result.rotation is not None:
        yield make_rotated_frame(result.rotation)


def make_log_gap_frame(gap: LogGap | None) -> bytes:
    """Encode a `log_gap` event without an id; None for a cursor that could not be used."""
    return sse.frame(make_log_gap_data(gap), event="log_gap")


def make_log_gap_data(gap: LogGap | None) -> bytes:
    """Encode the data of a `log_gap` event; None for a cursor that could not be used."""
    if gap is None:
        return LogGapData(reason="cursor_expired", lost_bytes=None).json_bytes()
    return LogGapData(reason=gap.reason, lost_bytes=gap.lost_bytes).json_bytes()


def make_rotated_frame(rotation: LogRotation) -> bytes:
    """Encode a `log_rotated` event. It has no id: the lines around it do."""
    return sse.frame(make_rotated_data(rotation), event="log_rotated")


def make_rotated_data(rotation: LogRotation) -> bytes:
    """Encode the data of a `log_rotated` event."""
    return LogRotatedData(log_file=rotation.log_file, reason=rotation.reason).json_bytes()


def make_complete_frame(position: Position, *, follow: bool = True) -> bytes:
    """Encode the `log_complete` event at a position. Blocks shortly: call it in a thread."""
    return sse.frame(
        make_complete_data(follow=follow),
        event="log_complete",
        event_id=str(position.make_cursor().as_complete(follow=follow)),
    )


def make_complete_data(*, follow: bool) -> bytes:
    """Encode the data of a `log_complete` event."""
    message = "The job has ended, and so has its log." if follow else "This is the end so far."
    return LogCompleteData(message=message).json_bytes()


def make_missing_frame(detail: str) -> bytes:
    """Encode a `log_missing` event. It has no id: the log has no position yet."""
    return sse.frame(LogMissingData(detail=detail).json_bytes(), event="log_missing")


def make_no_log_frame() -> bytes:
    """Encode the `log_complete` event of a job that has ended without a log."""
    nowhere = LogCursor(0, 0, 0, 0, time.time_ns(), kind="c")
    data = LogCompleteData(message="The job has ended, and has written no log.", missing=True)
    return sse.frame(data.json_bytes(), event="log_complete", event_id=str(nowhere))
