"""Entries of the event stream: encoded events and gaps."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from marianne_stream.conductor_models import UNNAMED_EVENT
from marianne_stream.wire import sse

# Names that can be sent in an SSE `event` field; other events are sent as `message`.
SAFE_EVENT_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,200}")

# Names with another meaning in our streams or in a browser.
RESERVED_NAMES = frozenset(
    (
        *("gap", "source", "heartbeat", "stream_error", "part_start", "part_error"),
        *("job_status", "job_sheets", "job_finished", "job_deleted", "roster", "conductor"),
        *("log", "log_partial", "log_rotated", "log_gap", "log_missing", "log_complete"),
        *("error", "open", UNNAMED_EVENT),
    )
)


@dataclass(frozen=True, slots=True)
class ReplayEntry:
    """An encoded frame of the event stream.

    Attributes:
        number: sequence number from 1; an unbuffered frame has that of the next entry.
        job_id: the job of the event; None if the frame is for all clients.
        event: name of the event as the conductor gave it; "" if the entry is not an event.
        frame: encoded SSE frame.
        params: parameters of the event as JSON; empty if the entry is not an event.
        source: name of the origin; "" for this process's own events.
        scope: prefix of the job ids that the frame concerns if job_id is None.
    """

    number: int
    job_id: str | None
    event: str
    frame: bytes
    params: bytes = b""
    source: str = ""
    scope: str = ""

    @property
    def is_gap(self) -> bool:
        """True if the entry says that events before it are missing."""
        return self.job_id is None

    @property
    def size_bytes(self) -> int:
        """Size of the frame in bytes: what a client is sent."""
        return len(self.frame)

    @property
    def memory_bytes(self) -> int:
        """Approximate size in memory, in bytes."""
        return len(self.frame) + len(self.params)


EntryFilter = Callable[[ReplayEntry], bool]


def to_sse_name(event: str) -> str:
    """Return the `event` field for a conductor's event; "" if the name cannot be sent there."""
    is_safe = SAFE_EVENT_NAME.fullmatch(event) and event not in RESERVED_NAMES
    return event if is_safe else ""


def matches_any_scope(scopes: frozenset[str], entry_filter: EntryFilter) -> bool:
    """Return True if a filter selects jobs whose ids begin with one of the prefixes."""
    return any(entry_filter(ReplayEntry(0, None, "", b"", scope=scope)) for scope in scopes)


def split_into_writes(entries: list[ReplayEntry]) -> Iterator[list[ReplayEntry]]:
    """Split entries into groups of at most one write; a larger entry stands alone."""
    part: list[ReplayEntry] = []
    size = 0
    for entry in entries:
        if part and size + entry.size_bytes > sse.MAX_WRITE_BYTES:
            yield part
            part, size = [], 0
        part.append(entry)
        size += entry.size_bytes
    yield part
