"""Payloads of events, and of marks in streams."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from marianne_stream.models import StateSourceName
from marianne_stream.schemas.payload import Payload


class SourceData(Payload):
    """Data of a `source` event: the backend that state is read from now."""

    job_id: str | None = Field(description="null on streams of more than one job.")
    source: StateSourceName
    live: bool = Field(description="Whether the conductor itself answers.")
    detail: str | None = Field(
        default=None, description="Reason why it does not, in a sentence; absent if it is unknown."
    )

    def json_bytes(self) -> bytes:
        """Return one line of UTF-8 JSON, without `detail` if it is unknown."""
        return self.model_dump_json(exclude=None if self.detail else {"detail"}).encode()


class HeartbeatData(Payload):
    """Data of a `heartbeat` event."""

    timestamp: float = Field(description="Epoch seconds.")


GapReason = Literal["cursor_expired", "slow_consumer", "monitor_lost"]


class GapData(Payload):
    """Data of a `gap` event: events that this client will not receive."""

    missed: int | None = Field(ge=1, description="Number of lost events; null if it is unknown.")
    reason: GapReason


class TimelineEventData(Payload):
    """Data of a conductor's event: the parameters of its notification, unchanged."""

    model_config = ConfigDict(frozen=True, extra="allow")

    job_id: str = Field(description='"" for events of the whole host.')
    sheet_num: int = Field(default=0, description="0 for events of the whole job.")
    event: str
    data: Any = None
    timestamp: float = Field(description="Epoch seconds.")


class PartErrorData(Payload):
    """Data of a `part_error` event: a part of a combined stream has ended; the others go on."""

    part: str = Field(description="The part, as the client named it.")
    job_id: str | None = Field(
        description="null for the roster, and if no job can have the id of the part."
    )
    status: int = Field(description="Status with which the part's own stream would be answered.")
    code: str = Field(description="Machine-readable code, as of an error response.")
    detail: str = Field(description="One sentence.")


class PartStartData(Payload):
    """Data of a `part_start` event: a log has begun. Its id, if any, is where the log begins."""

    part: str = Field(description="The part, as the client named it.")
    job_id: str


class StreamErrorData(Payload):
    """Data of a `stream_error` event: an error after the headers; the stream ends after it."""

    error: str
    error_type: str
