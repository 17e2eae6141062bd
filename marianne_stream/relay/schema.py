"""Keys of a source and the values under them, as docs/reference/relay.md describes them.

A source is as untrusted as a client: its values may be any bytes of any size. Each parse function
returns a value that the edge can pass on as it is, or raises ValueError for that value alone.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeVar

import msgspec

from marianne_stream.conductor_models import ConductorInfo
from marianne_stream.models import ACTIVE_SHEET_STATUSES, JobState, RosterEntry, StateSourceName
from marianne_stream.relay.state_checks import (
    check_conductor,
    check_counts,
    check_labels,
    check_state,
)
from marianne_stream.value_limits import MAX_ERROR_CHARS
from marianne_stream.wire.cursors import LogCursor


class SourceKeys:
    """Keys of one source. `pattern` is a pattern of all of them."""

    def __init__(self, prefix: str, source: str) -> None:
        self.source = source
        self._base = base = f"{prefix}:{{{source}}}"
        self.pattern = f"{base}:*"
        self.lock = f"{base}:lock"
        self.fence = f"{base}:fence"
        self.format = f"{base}:format"
        self.status = f"{base}:status"
        self.jobs = f"{base}:jobs"
        self.states = f"{base}:states"
        self.changes = f"{base}:changes"
        self.events = f"{base}:events"
        self.interest = f"{base}:interest"

    def log(self, job_id: str) -> str:
        """Return the key of a stream: the newest lines and marks of a job's log."""
        return f"{self._base}:log:{job_id}"

    def unavailable(self, kind: str, job_id: str) -> str:
        """Return the key of a string that expires: why a state or log is unavailable."""
        return f"{self._base}:unavailable:{kind}:{job_id}"


# Version of the format, and that of data without a version.
FORMAT_VERSION = 3
UNVERSIONED_FORMAT = 1

# Fields of a stream entry as redis-py returns them.
EntryFields = Mapping[bytes, bytes]

# Field of a line of the conductor's own log.
CONDUCTOR_FIELD = ("s", "conductor")

InterestKind = Literal["state", "log"]

# Limit of the jobs of a source.
MAX_PUBLISHED_JOBS = 2_000


class RelayStatus(msgspec.Struct, frozen=True):
    """Status of a relay, which expires soon after the relay is gone."""

    source: StateSourceName
    live: bool
    events_live: bool
    origin_url: str | None = None
    version: str = ""
    epoch: str = ""
    conductor: ConductorInfo | None = None


class Unavailable(msgspec.Struct, frozen=True):
    """Reason why a state or log is unavailable: an error's code and detail."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class EventEntry:
    """Entry of the stream of events: an event, or a gap.

    Attributes:
        number: number of the event, or of the last missing event of a gap.
        event: the conductor's name of the event; "" for a gap.
        params: parameters of the event as JSON.
    """

    epoch: str
    number: int
    job_id: str = ""
    event: str = ""
    params: bytes = b""

    def fields(self) -> dict[str, str | bytes]:
        """Return the fields of the stream entry."""
        position: dict[str, str | bytes] = {"e": self.epoch, "n": str(self.number)}
        if not self.event:
            return position
        return position | {"j": self.job_id, "v": self.event, "d": self.params}


class LogEntry(NamedTuple):
    """Entry of a log: a line, a mark, or a position before the first line.

    A tuple is made in a third of the time of a frozen dataclass.

    Attributes:
        cursor: cursor behind the entry; "" if its event has no id.
        line: the line as a JSON string; b"" for a mark or a position.
        number: number of the line.
        timestamp: time at which the line was read, ISO 8601.
        mark: name of the event: log_rotated, log_gap or log_complete; "" for a line.
        data: data of the mark, as JSON.
    """

    cursor: str
    line: bytes = b""
    number: int = 0
    timestamp: str = ""
    is_truncated: bool = False
    mark: str = ""
    data: bytes = b""
    is_conductor_log: bool = False

    def fields(self) -> dict[str, str | bytes]:
        """Return the fields of the stream entry."""
        if self.mark:
            position: dict[str, str | bytes] = {"c": self.cursor} if self.cursor else {}
            return position | {"m": self.mark, "d": self.data}
        if not self.line:
            return {"c": self.cursor}
        fields: dict[str, str | bytes] = {
            "c": self.cursor,
            "l": self.line,
            "n": str(self.number),
            "t": self.timestamp,
        }
        if self.is_truncated:
            fields["x"] = "1"
        return fields | dict([CONDUCTOR_FIELD]) if self.is_conductor_log else fields


@dataclass(frozen=True, slots=True, order=True)
class LogEntryId:
    """Id in a log's stream. It rises over rotations, so XADD refuses a repeated entry.

    Attributes:
        generation: generation of the file; higher for each following file.
        offset: offset behind the entry, in bytes; 0 for a rotation or gap, which begins a file.
        is_end: whether the entry is the log's end, behind the line that ends at the offset.
    """

    generation: int
    offset: int
    is_end: bool = False

    def __str__(self) -> str:
        return f"{self.generation}-{2 * self.offset + self.is_end}"

    @classmethod
    def parse(cls, text: str | bytes) -> "LogEntryId":
        """Parse an id of Redis."""
        first, _, second = (text.decode() if isinstance(text, bytes) else text).partition("-")
        return cls(int(first), int(second) // 2, bool(int(second) % 2))


Value = TypeVar("Value")

# Far above what a relay writes, and small enough to be decoded within a few milliseconds.
MAX_STATUS_BYTES = 8 * 1024
MAX_ROSTER_ENTRY_BYTES = 16 * 1024
MAX_STATE_BYTES = 2 * 1024 * 1024
MAX_EVENT_BYTES = 256 * 1024
# A line has at most 64 KiB, which JSON may make six times as long.
MAX_LINE_BYTES = 400 * 1024
MAX_MARK_BYTES = 16 * 1024

# A file name has at most 255 bytes, which the written form may make four times as long.
MAX_JOB_ID_CHARS = 1020
MAX_DETAIL_CHARS = 1_000

EPOCH_PATTERN = re.compile(r"[0-9a-f]{16}")
NUMBER_PATTERN = re.compile(rb"[0-9]{1,18}")
TIMESTAMP_PATTERN = re.compile(rb"[0-9TZ:.+-]{0,40}")
EVENT_NAME_PATTERN = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
ORIGIN_URL_PATTERN = re.compile(r"https?://[!-~]{1,2000}")
LOG_COMPLETE = "log_complete"
MARK_NAMES = frozenset({"log_rotated", "log_gap", LOG_COMPLETE})

encode_json = msgspec.json.Encoder().encode
decode_status = msgspec.json.Decoder(RelayStatus).decode
decode_unavailable = msgspec.json.Decoder(Unavailable).decode
decode_roster_entry = msgspec.json.Decoder(RosterEntry).decode
decode_state = msgspec.json.Decoder(JobState).decode
decode_string = msgspec.json.Decoder(str).decode
decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def describe_version(data: bytes) -> str:
    """Return the version of a format for a message."""
    return data.decode() if is_number(data) else "unknown"


def parse_job_id(data: bytes) -> str:
    """Return a job id, or raise ValueError if it is not UTF-8 or not the name of a file."""
    return check_job_id(data.decode())


def check_job_id(job_id: str) -> str:
    """Return the same job id, or raise ValueError if it is not the name of a file."""
    if not 0 < len(job_id) <= MAX_JOB_ID_CHARS or "/" in job_id or "\0" in job_id:
        raise ValueError(f"not a job id: {job_id[:40]!r}")
    return job_id


def parse_status(data: bytes) -> RelayStatus:
    """Return the status of a relay. An invalid address, epoch or conductor is left out."""
    status = decode_bounded(decode_status, data, MAX_STATUS_BYTES)
    if status.origin_url is not None and not ORIGIN_URL_PATTERN.fullmatch(status.origin_url):
        status = msgspec.structs.replace(status, origin_url=None)
    if not EPOCH_PATTERN.fullmatch(status.epoch):
        status = msgspec.structs.replace(status, epoch="")
    if status.conductor is not None:
        try:
            check_conductor(status.conductor)
        except ValueError:
            status = msgspec.structs.replace(status, conductor=None)
    return status


def parse_roster_entry(data: bytes) -> RosterEntry:
    """Return an entry of the roster, without paths."""
    entry = decode_bounded(decode_roster_entry, data, MAX_ROSTER_ENTRY_BYTES)
    check_job_id(entry.job_id)
    check_labels(entry.status)
    check_counts(entry.completed_sheets, entry.total_sheets)
    return replace(entry, workspace=None) if entry.workspace is not None else entry


def make_published_entry(entry: RosterEntry) -> RosterEntry:
    """Return an entry of the roster without paths, and with the beginning of the error only."""
    message = entry.error_message
    return replace(entry, workspace=None, error_message=message and message[:MAX_ERROR_CHARS])


def parse_state(data: bytes) -> JobState:
    """Return the state of a job, without paths."""
    state = decode_bounded(decode_state, data, MAX_STATE_BYTES)
    check_state(state)
    return with_active_stalled(without_paths(state))


def without_paths(state: JobState) -> JobState:
    """Return a state without paths of the host, and without the id that only an edge adds."""
    return replace(
        state,
        workspace=None,
        worktree_path=None,
        snapshot_path=None,
        score_path=None,
        origin_job_id="",
    )


def with_active_stalled(state: JobState) -> JobState:
    """Return a state in which only active sheets have stalled."""
    if state.progress is None or not state.progress.stalled:
        return state
    active = {sheet.number for sheet in state.sheets if sheet.status in ACTIVE_SHEET_STATUSES}
    stalled = tuple(number for number in state.progress.stalled if number in active)
    return replace(state, progress=replace(state.progress, stalled=stalled))


def parse_unavailable(data: bytes) -> Unavailable:
    """Return the reason why a state or log is unavailable."""
    reason = decode_bounded(decode_unavailable, data, MAX_MARK_BYTES)
    return Unavailable(reason.code, reason.detail[:MAX_DETAIL_CHARS])


def parse_event(fields: EntryFields) -> EventEntry:
    """Return an entry of the stream of events."""
    epoch, event = fields.get(b"e", b"").decode(), fields.get(b"v", b"").decode()
    job_id, params = fields.get(b"j", b"").decode(), fields.get(b"d", b"")
    if not EPOCH_PATTERN.fullmatch(epoch):
        raise ValueError("e is not an epoch")
    if event:
        if not EVENT_NAME_PATTERN.fullmatch(event):
            raise ValueError("v is not the name of an event")
        if job_id:
            check_job_id(job_id)
        check_object(params, MAX_EVENT_BYTES)
    return EventEntry(epoch, parse_number(fields.get(b"n", b"")), job_id, event, params)


def parse_log_entry(fields: EntryFields) -> LogEntry:
    """Return an entry of a log."""
    cursor = fields.get(b"c", b"").decode()
    # A mark may have no cursor.
    if LogCursor.parse(cursor) is None and (cursor or b"m" not in fields):
        raise ValueError("c is not a position in a log")
    if b"m" in fields:
        mark, data = fields[b"m"].decode(), fields.get(b"d", b"")
        if mark not in MARK_NAMES:
            raise ValueError("m is not the name of a mark")
        check_object(data, MAX_MARK_BYTES)
        return LogEntry(cursor, mark=mark, data=data)
    if b"l" not in fields:
        return LogEntry(cursor)
    line, timestamp = fields[b"l"], fields.get(b"t", b"")
    check_line(line)
    if not TIMESTAMP_PATTERN.fullmatch(timestamp):
        raise ValueError("t is not a time")
    number, is_conductor_log = parse_number(fields.get(b"n", b"")), b"s" in fields
    return LogEntry(
        cursor,
        line,
        number,
        timestamp.decode(),
        b"x" in fields,
        is_conductor_log=is_conductor_log,
    )


def check_line(line: bytes) -> None:
    """Raise ValueError unless the bytes are a JSON string without white space around it."""
    # The decoder accepts white space.
    if not (line.startswith(b'"') and line.endswith(b'"')):
        raise ValueError("l is not a string of JSON")
    decode_bounded(decode_string, line, MAX_LINE_BYTES)


def check_object(data: bytes, max_bytes: int) -> None:
    """Raise ValueError unless the bytes are a JSON object in UTF-8."""
    decode_bounded(decode_object, data, max_bytes)
    # The decoder does not check the text of values.
    data.decode()


def parse_number(data: bytes) -> int:
    """Return a number of at most 18 digits, or raise ValueError."""
    if not is_number(data):
        raise ValueError("n is not a number")
    return int(data)


def is_number(data: bytes) -> bool:
    """Return whether the bytes are a number of at most 18 digits."""
    return NUMBER_PATTERN.fullmatch(data) is not None


def decode_bounded(decode: Callable[[bytes], Value], data: bytes, max_bytes: int) -> Value:
    """Decode JSON; raise ValueError if it is too large, too deep, or of another shape."""
    if len(data) > max_bytes:
        raise ValueError(f"got {len(data)} bytes, allowed are {max_bytes}")
    try:
        return decode(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
