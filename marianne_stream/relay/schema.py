"""Keys of a source and the values under them, as docs/reference/relay.md describes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from marianne_stream.models import JobState, RosterEntry, StateSourceName


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


# Version of the format.
FORMAT_VERSION = 2

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


encode_json = msgspec.json.Encoder().encode
decode_status = msgspec.json.Decoder(RelayStatus).decode
decode_unavailable = msgspec.json.Decoder(Unavailable).decode
decode_roster_entry = msgspec.json.Decoder(RosterEntry).decode
decode_state = msgspec.json.Decoder(JobState).decode
