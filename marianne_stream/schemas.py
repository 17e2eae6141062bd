"""Pydantic models of all responses and events. `/openapi.json` is generated from them."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from marianne_stream.models import (
    JobState,
    RosterDetails,
    RosterEntry,
    Sheet,
    StateSourceName,
    format_iso_time,
)
from marianne_stream.wire.log_levels import LineLevel


def is_none(value: object) -> bool:
    """Return whether an optional field is left out of the JSON."""
    return value is None


def is_false(value: object) -> bool:
    """Return whether a flag is left out of the JSON."""
    return value is False


class Payload(BaseModel):
    """Base class: frozen, without undocumented fields."""

    # A schema is compiled when it is first used: all of them would take 20 ms at each start.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    def json_bytes(self) -> bytes:
        """Return the model as one line of UTF-8 JSON."""
        return self.model_dump_json().encode()


IsoTime = Annotated[str | None, Field(description="ISO 8601.")]
LastProgressAt = Annotated[
    str | None,
    Field(
        description="When this server last saw a change of status, counts or a sheet, ISO 8601; "
        "null if it has seen none."
    ),
]
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


class JobStatusData(Payload):
    """Data of a `job_status` event, and response of `GET /api/jobs/{job_id}/status`."""

    job_id: str
    status: str = Field(description="Status of the job; unknown statuses are passed on.")
    progress_percent: float = Field(ge=0, le=100, description="Share of completed sheets.")
    completed_sheets: int = Field(ge=0)
    total_sheets: int = Field(ge=0, description="0 while it is unknown.")
    current_sheet: int | None = Field(description="The active sheet with the lowest number.")
    error_message: str | None = Field(description="The job's, else its first failed sheet's.")
    updated_at: str | None = Field(
        description="When the conductor last wrote the state, ISO 8601; it writes all jobs at "
        "once, so this is no sign of progress."
    )
    last_progress_at: LastProgressAt

    @classmethod
    def from_state(cls, state: JobState, last_progress_at: str | None) -> Self:
        """Convert a job state, which has attributes with the names of all other fields."""
        names = cls.model_fields.keys() - {"last_progress_at"}
        values = {name: getattr(state, name) for name in names}
        return cls(**values, last_progress_at=last_progress_at)


class JobDetail(JobStatusData):
    """Response of `GET /api/jobs/{job_id}`: one job with its sheets."""

    job_name: str | None
    submitted_at: IsoTime
    created_at: IsoTime
    started_at: IsoTime
    completed_at: IsoTime
    source: StateSourceName = Field(description="Backend that the state was read from.")
    live: bool = Field(description="Whether the conductor itself reported it.")
    sheets: tuple[Sheet, ...]


class JobSheetsData(Payload):
    """Data of a `job_sheets` event: the sheets that changed; all sheets in the first one."""

    job_id: str
    complete: bool = Field(description="Whether these are all sheets; if so, drop all others.")
    sheets: tuple[Sheet, ...]


class JobFinishedData(Payload):
    """Data of a `job_finished` event."""

    job_id: str
    final_status: str


class JobDeletedData(Payload):
    """Data of a `job_deleted` event."""

    job_id: str


class JobSummary(Payload):
    """A job of the roster."""

    job_id: str
    status: str
    submitted_at: IsoTime
    started_at: IsoTime
    completed_at: str | None = Field(
        description="ISO 8601; null until the job has ended, or if it is unknown."
    )
    completed_sheets: int | None = Field(description="null if the backend does not report it.")
    total_sheets: int | None = Field(description="null if the backend does not report it.")
    current_sheet: int | None = Field(
        description="null if no sheet is active, or if the job is not watched."
    )
    updated_at: str | None = Field(
        description="When the conductor last wrote the state, ISO 8601; null if the job is not "
        "watched."
    )
    last_progress_at: LastProgressAt

    @classmethod
    def from_entry(cls, entry: RosterEntry, details: RosterDetails | None) -> "JobSummary":
        """Convert a roster entry and, if they are known, its details."""
        details = details or RosterDetails()
        return cls(
            job_id=entry.job_id,
            status=entry.status,
            submitted_at=format_iso_time(entry.submitted_at),
            started_at=format_iso_time(entry.started_at),
            completed_at=format_iso_time(entry.completed_at),
            completed_sheets=entry.completed_sheets,
            total_sheets=entry.total_sheets,
            current_sheet=details.current_sheet,
            updated_at=details.updated_at,
            last_progress_at=details.last_progress_at,
        )


class JobPage(Payload):
    """Response of `GET /api/jobs`: one page of the roster, newest first."""

    jobs: tuple[JobSummary, ...]
    total: int = Field(ge=0, description="Number of matching jobs on all pages.")
    next: str | None = Field(
        description="Value of `after` for the next page; null on the last page."
    )


class RosterData(Payload):
    """Data of a `roster` event: changed jobs and removed ids; all jobs in the first one."""

    complete: bool = Field(description="Whether these are all jobs; if so, drop all others.")
    jobs: tuple[JobSummary, ...]
    removed: tuple[str, ...]


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


class StreamErrorData(Payload):
    """Data of a `stream_error` event: an error after the headers; the stream ends after it."""

    error: str
    error_type: str


class ErrorData(Payload):
    """Body of every error response."""

    detail: str = Field(description="One sentence.")
    code: str = Field(description="Machine-readable code.")


class HealthData(Payload):
    """Response of `GET /health`: the process is alive. It checks no dependency."""

    status: Literal["ok"] = "ok"


class ReadyData(Payload):
    """Response of `GET /ready`: whether jobs can be served, and the reasons if not."""

    ready: bool
    source: StateSourceName
    live: bool
    reasons: tuple[str, ...]
