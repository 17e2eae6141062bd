"""What is kept under the keys, as bytes and back: docs/reference/relay.md describes it for others.

Pure. It must not know Redis, or where the values come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from marianne_stream.models import JobState, RosterEntry, StateSourceName

# The version of all that docs/reference/relay.md describes. Version 1 did not say what it was.
FORMAT_VERSION = 2
UNVERSIONED_FORMAT = 1

# A stream's entry as redis-py gives it: its id, and its fields.
EntryFields = Mapping[bytes, bytes]

# Says that a line is of the conductor's own log.
CONDUCTOR_FIELD = ("s", "conductor")

InterestKind = Literal["state", "log"]

# How many jobs of a source an edge lists: a relay publishes no more than its newest.
MAX_PUBLISHED_JOBS = 2_000


class RelayStatus(msgspec.Struct, frozen=True):
    """What a relay says of itself, every few seconds; gone soon after it is gone.

    Attributes:
        source: where the states that it publishes come from.
        live: whether the conductor itself says them.
        events_live: whether the conductor's events come in.
        origin_url: where its own server can be asked for what is not published; None for nowhere.
        version: the release.
        epoch: of the process that numbers its events.
    """

    source: StateSourceName
    live: bool
    events_live: bool
    origin_url: str | None = None
    version: str = ""
    epoch: str = ""


class Unavailable(msgspec.Struct, frozen=True):
    """Why something that was asked for is not to be had: an error, as clients read it."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class EventEntry:
    """An entry of the timeline; a `monitor_lost` gap where it has no name.

    Attributes:
        epoch: of the process that numbered it.
        number: its number there; of a gap, that of the last event that was missed.
        job_id: the job.
        event: the conductor's name for it, "" for a gap.
        params: the notification's, as JSON.
    """

    epoch: str
    number: int
    job_id: str = ""
    event: str = ""
    params: bytes = b""

    def fields(self) -> dict[str, str | bytes]:
        """As the fields of a stream's entry."""
        place: dict[str, str | bytes] = {"e": self.epoch, "n": str(self.number)}
        if not self.event:
            return place
        return place | {"j": self.job_id, "v": self.event, "d": self.params}

    @classmethod
    def from_fields(cls, fields: EntryFields) -> "EventEntry":
        """From the fields of a stream's entry.

        Raises:
            ValueError: a field is missing, or is none of ours.
        """
        try:
            epoch, number = fields[b"e"].decode(), int(fields[b"n"])
        except KeyError as error:
            raise ValueError(f"an event without the field {error}") from error
        job_id, event = fields.get(b"j", b"").decode(), fields.get(b"v", b"").decode()
        return cls(epoch, number, job_id, event, fields.get(b"d", b""))


class LogEntry(NamedTuple):
    """A line of a log, or a mark of what happened there, or a position before the first line.

    There may be very many: a tuple is made in a third of the time that a frozen dataclass takes.

    Attributes:
        cursor: the id of its event; "" where it bears none.
        line: the line, as a JSON text; b"" for a mark or a position.
        number: the line's.
        timestamp: when it was read, ISO 8601.
        is_truncated: whether it is cut.
        mark: the event's name: log_rotated, log_gap or log_complete; "" for a line.
        data: the mark's data, as JSON.
        is_conductor_log: whether the line is of the conductor's own log.
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
        """As the fields of a stream's entry."""
        if self.mark:
            place: dict[str, str | bytes] = {"c": self.cursor} if self.cursor else {}
            return place | {"m": self.mark, "d": self.data}
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

    @classmethod
    def from_fields(cls, fields: EntryFields) -> "LogEntry":
        """From the fields of a stream's entry.

        Raises:
            ValueError: a field is missing, or is none of ours.
        """
        cursor = fields.get(b"c", b"").decode()
        try:
            if b"m" in fields:
                return cls(cursor, mark=fields[b"m"].decode(), data=fields[b"d"])
            if b"l" not in fields:
                return cls(fields[b"c"].decode())
            return cls(
                cursor,
                fields[b"l"],
                int(fields[b"n"]),
                fields[b"t"].decode(),
                b"x" in fields,
                is_conductor_log=b"s" in fields,
            )
        except KeyError as error:
            raise ValueError(f"an entry of a log without the field {error}") from error


@dataclass(frozen=True, slots=True, order=True)
class LogEntryId:
    """An id in a log's stream: it rises over rotations, and a repeat is refused (XADD).

    Attributes:
        generation: of the file; higher for each that follows.
        offset: how many bytes of the file lie before it; 0 for a rotation or a gap, its beginning.
        is_end: whether it is the log's end, which stands behind the line that ends there.
    """

    generation: int
    offset: int
    is_end: bool = False

    def __str__(self) -> str:
        return f"{self.generation}-{2 * self.offset + self.is_end}"

    @classmethod
    def parse(cls, text: str | bytes) -> "LogEntryId":
        """The place of an entry by its id."""
        first, _, second = (text.decode() if isinstance(text, bytes) else text).partition("-")
        return cls(int(first), int(second) // 2, bool(int(second) % 2))


encode_json = msgspec.json.Encoder().encode
decode_status = msgspec.json.Decoder(RelayStatus).decode
decode_unavailable = msgspec.json.Decoder(Unavailable).decode
decode_roster_entry = msgspec.json.Decoder(RosterEntry).decode
decode_state = msgspec.json.Decoder(JobState).decode
