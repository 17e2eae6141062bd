"""What a log's readers give, as frames. It must not know who is sent them."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from marianne_stream.logs.reader import Gap, Position, Rotated, Step
from marianne_stream.payloads import (
    LogCompleteData,
    LogGapData,
    LogMissingData,
    LogPartialData,
    LogRotatedData,
)
from marianne_stream.wire import sse
from marianne_stream.wire.conductor_lines import conductor_line
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_levels import LEVELS, NO_FACTS, Level, LineFacts, facts_of
from marianne_stream.wire.log_lines import LogLine

text_json = msgspec.json.Encoder().encode

LEVEL_JSON: dict[Level | None, bytes] = {
    None: b"",
    **{level: b',"level":"%b"' % level.encode() for level in LEVELS},
}


def read_now() -> str:
    """The moment, as the `timestamp` of lines that are read now."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def line_frames(
    step: Step, lines: Iterable[LogLine], *, timestamp: str, initial: bool
) -> Iterable[bytes]:
    """Each line of a step as a `log` event whose id is the position behind it.

    Args:
        step: what the lines were read with.
        lines: those that are wanted.
        timestamp: when they were read.
        initial: whether they were there when the stream began.
    """
    head = b"id: l-%x-%016x-" % (step.inode, step.first)
    word = b"true" if initial else b"false"
    tail = b'"timestamp":"%b","initial":%b' % (timestamp.encode(), word)
    for line in lines:
        text, number, end, line_digest, truncated, terminated = line
        mark = b"" if terminated else b"u"
        cut = b',"truncated":true' if truncated else b""
        shown = line.shown if truncated else text.decode("utf-8", "replace")
        facts = facts_of(shown)
        further = b"" if facts is NO_FACTS else facts_json(facts)
        if step.of_conductor:
            further += conductor_json(text)
        position = b"%b%d%b-%d-%016x" % (head, end, mark, number, line_digest)
        yield b'%b\nevent: log\ndata: {"line":%b,"line_number":%d,%b%b%b}\n\n' % (
            position,
            text_json(shown),
            number,
            tail,
            cut,
            further,
        )


def partial_frame(job_id: str, line: LogLine) -> bytes:
    """A `log_partial` event. It bears no id: it is no position."""
    data = LogPartialData(job_id=job_id, line=line.shown, line_number=line.number)
    return sse.frame(data.json_bytes(), event="log_partial")


def conductor_json(text: bytes) -> bytes:
    """What is said of a line of the conductor's own log, as further members."""
    begins = b',"begins_run":true' if conductor_line(text).begins_run else b""
    return b',"source":"conductor"' + begins


def facts_json(facts: LineFacts) -> bytes:
    """What a line says of itself, as further members of its event's data."""
    level, logged_at = facts
    word = LEVEL_JSON[level]
    return b'%b,"logged_at":"%b"' % (word, logged_at.encode()) if logged_at is not None else word


def change_frames(step: Step) -> Iterable[bytes]:
    """What a step holds behind its lines: a gap, a rotation."""
    if step.gap is not None:
        yield gap_frame(step.gap)
    if step.rotated is not None:
        yield rotated_frame(step.rotated)


def gap_frame(gap: Gap | None) -> bytes:
    """A `log_gap` event; None for a cursor that could not be used. It bears no id."""
    if gap is None:
        data = LogGapData(reason="cursor_expired", lost_bytes=None)
    else:
        data = LogGapData(reason=gap.reason, lost_bytes=gap.lost_bytes)
    return sse.frame(data.json_bytes(), event="log_gap")


def rotated_frame(rotated: Rotated) -> bytes:
    """A `log_rotated` event. It bears no id: the lines around it do."""
    data = LogRotatedData(log_file=rotated.log_file, reason=rotated.reason)
    return sse.frame(data.json_bytes(), event="log_rotated")


def complete_frame(position: Position, *, follow: bool = True) -> bytes:
    """The `log_complete` event at a position. Blocks for a moment: it belongs in a thread."""
    message = "The job has ended, and so has its log." if follow else "This is the end so far."
    return sse.frame(
        LogCompleteData(message=message).json_bytes(),
        event="log_complete",
        event_id=str(position.cursor().ended(follow=follow)),
    )


def missing_frame(detail: str) -> bytes:
    """Return a `log_missing` event. It bears no id: there is no place in the log yet."""
    return sse.frame(LogMissingData(detail=detail).json_bytes(), event="log_missing")


def no_log_frame() -> bytes:
    """The `log_complete` event of a job that has ended without a log."""
    nowhere = LogCursor(0, 0, 0, 0, time.time_ns(), kind="c")
    data = LogCompleteData(message="The job has ended, and has written no log.", missing=True)
    return sse.frame(data.json_bytes(), event="log_complete", event_id=str(nowhere))
