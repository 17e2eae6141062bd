"""Payloads about logs."""

from typing import Annotated, Literal

from pydantic import Field

from marianne_stream.models import is_false, is_none
from marianne_stream.schemas.payload import Payload
from marianne_stream.wire.log_levels import LineLevel

LineText = Annotated[str, Field(description="Without its line end; invalid UTF-8 becomes U+FFFD.")]

LineNumber = Annotated[int, Field(ge=1, description="Counts every line of the file from 1.")]

Level = Annotated[
    LineLevel | None, Field(exclude_if=is_none, description="Absent if the line has none.")
]

LoggedAt = Annotated[
    str | None,
    Field(
        exclude_if=is_none,
        description="The line's own time, ISO 8601, without an offset if the line has none; absent "
        "if the line has no time.",
    ),
]

BeginsRun = Annotated[
    bool,
    Field(
        exclude_if=is_false,
        description="true on a line of the conductor's log that begins a run, else absent.",
    ),
]

LogSourceField = Annotated[
    Literal["job", "conductor"],
    Field(description="Whether it is the job's own log or the conductor's."),
]

LogFileField = Annotated[str, Field(description="Name of the file, relative to its folder.")]


class LogData(Payload):
    """Data of a `log` event: one line of a log."""

    line: LineText
    line_number: LineNumber
    timestamp: str = Field(description="When the line was read, ISO 8601.")
    initial: bool = Field(description="Whether the line was there when the stream began.")
    truncated: bool = Field(default=False, description="true on a line cut at 64 KiB, else absent.")
    level: Level = None
    logged_at: LoggedAt = None
    source: Literal["conductor"] | None = Field(
        default=None, exclude_if=is_none, description="On lines of the conductor's own log."
    )
    begins_run: BeginsRun = False


class LogPartialData(Payload):
    """Data of a `log_partial` event: the last line of a log while it has no newline."""

    job_id: str
    line: str = Field(description='The text so far; "" if the line is gone.')
    line_number: int = Field(ge=1, description="The number of the `log` event that replaces it.")


class LogRotatedData(Payload):
    """Data of a `log_rotated` event: line numbers start again at 1."""

    log_file: str
    reason: Literal["renamed", "truncated", "replaced"]


class LogGapData(Payload):
    """Data of a `log_gap` event: lines between the previous and the next one are lost."""

    reason: Literal["cursor_expired", "truncated", "rotated_away"]
    lost_bytes: int | None = Field(ge=0, description="null if it is unknown.")


class LogMissingData(Payload):
    """Data of a `log_missing` event: there is no log yet, and the stream waits for one."""

    detail: str = Field(description="The places that were searched, and how to get a log.")


class LogCompleteData(Payload):
    """Data of a `log_complete` event, after which the stream ends."""

    message: str
    missing: bool = Field(default=False, description="Whether the job has ended without a log.")


class LogInfo(Payload):
    """Response of `GET /api/jobs/{job_id}/logs/info`: the log file, and the cursor of its end."""

    job_id: str
    source: LogSourceField
    log_file: LogFileField
    size_bytes: int = Field(
        ge=0, description="Size; of the conductor's log, of the job's lines only."
    )
    lines: int = Field(ge=0, description="Number of complete lines.")
    last_modified: str | None = Field(description="ISO 8601.")
    cursor: str = Field(description="Cursor after the last line, to stream from.")


class LogPageLine(Payload):
    """A line on a page of a log."""

    line: LineText
    line_number: LineNumber
    cursor: str = Field(description="Cursor after the line: the id of its log event.")
    truncated: bool = Field(description="Whether the line is cut at 64 KiB.")
    match: bool | None = Field(
        default=None,
        exclude_if=is_none,
        description="Whether the line itself passes the filters, rather than its entry or as "
        "context; absent without a filter.",
    )
    level: Level = None
    logged_at: LoggedAt = None
    begins_run: BeginsRun = False


class LogPagePartial(Payload):
    """The last line of a log while it has no newline."""

    line: str = Field(description="The text so far.")
    line_number: int = Field(ge=1, description="Number that the complete line will have.")


class LogPage(Payload):
    """Response of `GET /api/jobs/{job_id}/logs/lines`: lines in order, and the cursors to go on."""

    job_id: str
    source: LogSourceField
    log_file: LogFileField
    lines: list[LogPageLine]
    before: str | None = Field(
        description="Value of `before` for older lines; null at the beginning."
    )
    after: str | None = Field(description="Cursor for newer lines, or for a stream.")
    stopped_by: Literal["limit", "time", "start", "end"] = Field(
        description="Reason why there are no more lines: the page is full, the search took too "
        "long, or the log starts or ends here."
    )
    read_bytes: int = Field(ge=0, description="Number of bytes that were searched.")
    unread_bytes: int = Field(
        ge=0, description="Number of bytes of the file that were not searched."
    )
    gap: bool = Field(description="Whether a damaged file lies between the lines.")
    partial: LogPagePartial | None = Field(
        default=None, description="The unfinished last line, if the page ends with it."
    )
    target: str | None = Field(
        default=None,
        description="Cursor of the line that `line` or `time` names; null if there is none.",
    )
