"""What clients read, as pydantic models: `/openapi.json` is made from them. They ask nobody for
anything.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from marianne_stream.models import (
    JobState,
    RosterDetails,
    RosterEntry,
    Sheet,
    StateSourceName,
    format_iso_time,
)


def is_none(value: object) -> bool:
    """Whether a field is absent from an answer."""
    return value is None


def is_false(value: object) -> bool:
    """Whether a field that only says yes is absent from an answer."""
    return value is False


class Payload(BaseModel):
    """What a client reads: frozen, and closed to fields that nobody documented."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def json_bytes(self) -> bytes:
        """The model as one line of JSON in UTF-8."""
        return self.model_dump_json().encode()


class JobStatusData(Payload):
    """The data of a `get_job_status` event, and of `GET /api/jobs/{job_id}/status`."""

    job_id: str
    status: str = Field(description="Status of the job; unknown ones are passed on.")
    progress_percent: float = Field(ge=0, le=100, description="Completed sheets of all.")
    completed_sheets: int = Field(ge=0)
    total_sheets: int = Field(ge=0, description="0 while it is not known yet.")
    current_sheet: int | None = Field(description="The lowest sheet that is at work.")
    error_message: str | None = Field(description="The job's, else its first failed sheet's.")
    updated_at: str | None = Field(
        description="When the conductor last wrote it, ISO 8601: it writes all jobs at once, so "
        "this says nothing of the job."
    )
    last_progress_at: str | None = Field(
        description="When this server last saw a change of status, counts or a sheet, ISO 8601; "
        "null if it has seen none."
    )

    @classmethod
    def from_state(cls, state: JobState, last_progress_at: str | None) -> "JobStatusData":
        """Show a state to viewers."""
        return cls(
            job_id=state.job_id,
            status=state.status,
            progress_percent=state.progress_percent,
            completed_sheets=state.completed_sheets,
            total_sheets=state.total_sheets,
            current_sheet=state.current_sheet,
            error_message=state.error_message,
            updated_at=state.updated_at,
            last_progress_at=last_progress_at,
        )


class JobDetail(JobStatusData):
    """One job with its sheets: `GET /api/jobs/{job_id}`."""

    job_name: str | None
    submitted_at: str | None = Field(description="ISO 8601.")
    created_at: str | None = Field(description="ISO 8601.")
    started_at: str | None = Field(description="ISO 8601.")
    completed_at: str | None = Field(description="ISO 8601.")
    source: StateSourceName = Field(description="Where the state comes from.")
    live: bool = Field(description="Whether the conductor itself said it.")
    sheets: tuple[Sheet, ...]

    @classmethod
    def from_state(cls, state: JobState, last_progress_at: str | None) -> "JobDetail":
        """Show a state to programs."""
        return cls(
            **JobStatusData.from_state(state, last_progress_at).model_dump(),
            job_name=state.job_name,
            submitted_at=state.submitted_at,
            created_at=state.created_at,
            started_at=state.started_at,
            completed_at=state.completed_at,
            source=state.source,
            live=state.live,
            sheets=state.sheets,
        )


class JobSheetsData(Payload):
    """The data of a `job_sheets` event: the sheets that changed, or all of them first."""

    job_id: str
    complete: bool = Field(
        description="Whether these are all sheets, and others are to be dropped."
    )
    sheets: tuple[Sheet, ...]


class JobFinishedData(Payload):
    """The data of a `job_finished` event."""

    job_id: str
    final_status: str


class JobDeletedData(Payload):
    """The data of a `job_deleted` event."""

    job_id: str


class JobSummary(Payload):
    """One entry of the roster."""

    job_id: str
    status: str
    submitted_at: str | None = Field(description="ISO 8601.")
    started_at: str | None = Field(description="ISO 8601.")
    completed_at: str | None = Field(
        description="ISO 8601; null while it goes on, and where it is not known."
    )
    completed_sheets: int | None = Field(description="null where the source does not tell.")
    total_sheets: int | None = Field(description="null where the source does not tell.")
    current_sheet: int | None = Field(description="null where none is at work, or nobody watches.")
    updated_at: str | None = Field(
        description="When the conductor last wrote it, ISO 8601; null where nobody watches."
    )
    last_progress_at: str | None = Field(
        description="When this server last saw a change of status, counts or a sheet, ISO 8601; "
        "null if it has seen none."
    )

    @classmethod
    def from_entry(cls, entry: RosterEntry, details: RosterDetails | None) -> "JobSummary":
        """What a viewer sees of an entry, with what is known of the job besides."""
        return cls(
            job_id=entry.job_id,
            status=entry.status,
            submitted_at=format_iso_time(entry.submitted_at),
            started_at=format_iso_time(entry.started_at),
            completed_at=format_iso_time(entry.completed_at),
            completed_sheets=entry.completed_sheets,
            total_sheets=entry.total_sheets,
            current_sheet=details.current_sheet if details is not None else None,
            updated_at=details.updated_at if details is not None else None,
            last_progress_at=details.last_progress_at if details is not None else None,
        )


class JobPage(Payload):
    """One page of the roster, newest first: `GET /api/jobs`."""

    jobs: tuple[JobSummary, ...]
    total: int = Field(ge=0, description="How many jobs match, on all pages.")
    next: str | None = Field(description="What to give as `after` for the next page.")


class RosterData(Payload):
    """The data of a `roster` event: the jobs that changed, all first, and the ids that went."""

    complete: bool = Field(description="Whether these are all jobs: others are to be dropped.")
    jobs: tuple[JobSummary, ...]
    removed: tuple[str, ...]


class SourceData(Payload):
    """The data of a `source` event: where state now comes from."""

    job_id: str | None = Field(description="null on streams of more than one job.")
    source: StateSourceName
    live: bool = Field(description="Whether the conductor itself answers.")
    detail: str | None = Field(
        default=None, description="Why it does not, in a sentence; absent if that is not known."
    )

    def json_bytes(self) -> bytes:
        """Return one line of JSON in UTF-8, without a detail that is not known."""
        return self.model_dump_json(exclude=None if self.detail else {"detail"}).encode()


class HeartbeatData(Payload):
    """The data of a `heartbeat` event."""

    timestamp: float = Field(description="Epoch seconds.")


GapReason = Literal["cursor_expired", "slow_consumer", "monitor_lost"]


class GapData(Payload):
    """The data of a `gap` event: timeline events that this viewer will not see."""

    missed: int | None = Field(ge=1, description="How many; null when it cannot be known.")
    reason: GapReason


class TimelineEventData(Payload):
    """The data of a timeline event: the params of the conductor's notification, as it sent them."""

    model_config = ConfigDict(frozen=True, extra="allow")

    job_id: str = Field(description='"" for events of the whole host.')
    sheet_num: int = Field(default=0, description="0 for events of the whole job.")
    event: str
    data: Any = None
    timestamp: float = Field(description="Epoch seconds.")


LineLevel = Literal["debug", "info", "warning", "error", "critical"]


class LogData(Payload):
    """The data of a `log` event: one line of a log."""

    line: str = Field(description="Without its line end; bytes that are no UTF-8 are U+FFFD.")
    line_number: int = Field(ge=1, description="Counts every line of the file from 1.")
    timestamp: str = Field(description="When the line was read, ISO 8601.")
    initial: bool = Field(description="Whether it was there when the stream began.")
    truncated: bool = Field(default=False, description="true on a line cut at 64 KiB, else absent.")
    level: LineLevel | None = Field(
        default=None, exclude_if=is_none, description="Absent if the line has none."
    )
    logged_at: str | None = Field(
        default=None,
        exclude_if=is_none,
        description="The line's own time, ISO 8601, without an offset if the line has none; absent "
        "if the line has no time.",
    )
    source: Literal["conductor"] | None = Field(
        default=None, exclude_if=is_none, description="On lines of the conductor's own log."
    )
    begins_run: bool = Field(
        default=False,
        exclude_if=is_false,
        description="true on a line of the conductor's with which a run of the job begins, else "
        "absent.",
    )


class LogPartialData(Payload):
    """The data of a `log_partial` event: the last line of a log while it has no newline."""

    job_id: str
    line: str = Field(description='As it is so far; "" if it is gone.')
    line_number: int = Field(ge=1, description="The number of the `log` event that replaces it.")


class LogRotatedData(Payload):
    """The data of a `log_rotated` event: line_number begins again at 1."""

    log_file: str
    reason: Literal["renamed", "truncated", "replaced"]


class LogGapData(Payload):
    """The data of a `log_gap` event: what lay between the line before and the next is gone."""

    reason: Literal["cursor_expired", "truncated", "rotated_away"]
    lost_bytes: int | None = Field(ge=0, description="null where it is not known.")


class LogMissingData(Payload):
    """The data of a `log_missing` event: there is no log so far, and the stream waits for one."""

    detail: str = Field(description="Where it was looked for, and how to get one.")


class LogCompleteData(Payload):
    """The data of a `log_complete` event; the stream ends behind it."""

    message: str
    missing: bool = Field(default=False, description="Whether the job has ended without a log.")


class LogInfo(Payload):
    """`GET /api/jobs/{job_id}/logs/info`: what a log is, and where a stream would go on."""

    job_id: str
    source: Literal["job", "conductor"] = Field(description="Whose log it is.")
    log_file: str = Field(description="Its name, below the folder that it lies in.")
    size_bytes: int = Field(ge=0, description="Of the conductor's log, the job's lines alone.")
    lines: int = Field(ge=0, description="How many lines have ended.")
    last_modified: str | None = Field(description="ISO 8601.")
    cursor: str = Field(description="The position behind the last line: an id to stream from.")


class LogPageLine(Payload):
    """A line on a page of a log."""

    line: str = Field(description="Without its line end; bytes that are no UTF-8 are U+FFFD.")
    line_number: int = Field(ge=1, description="Counts every line of its file from 1.")
    cursor: str = Field(description="The position behind it: the id of its log event.")
    truncated: bool = Field(description="Whether it is cut at 64 KiB.")
    match: bool | None = Field(
        default=None,
        exclude_if=is_none,
        description="Whether the filters pass it by itself, and not as a line of an entry, or as "
        "context; absent without a filter.",
    )
    level: LineLevel | None = Field(
        default=None, exclude_if=is_none, description="Absent if the line has none."
    )
    logged_at: str | None = Field(
        default=None,
        exclude_if=is_none,
        description="The line's own time, ISO 8601, without an offset if the line has none; absent "
        "if the line has no time.",
    )
    begins_run: bool = Field(
        default=False,
        exclude_if=is_false,
        description="true on a line of the conductor's with which a run of the job begins, else "
        "absent.",
    )


class LogPagePartial(Payload):
    """The last line of a log while it has no newline."""

    line: str = Field(description="As it is so far.")
    line_number: int = Field(ge=1, description="The number that it will have.")


class LogPage(Payload):
    """`GET /api/jobs/{job_id}/logs/lines`: lines of a log in their order, and where to go on."""

    job_id: str
    source: Literal["job", "conductor"] = Field(description="Whose log it is.")
    log_file: str = Field(description="Its name, below the folder that it lies in.")
    lines: list[LogPageLine]
    before: str | None = Field(description="What `before` goes on with; null at the beginning.")
    after: str | None = Field(description="What `after`, or a stream, goes on with.")
    stopped_by: Literal["limit", "time", "start", "end"] = Field(
        description="Why there are no more lines: the page is full, the search took long, or there "
        "are none."
    )
    read_bytes: int = Field(ge=0, description="How much was looked at.")
    unread_bytes: int = Field(ge=0, description="How much is left of the file where it stopped.")
    gap: bool = Field(description="Whether a file that lies between the lines is damaged.")
    partial: LogPagePartial | None = Field(
        default=None, description="The unfinished line behind the last, where the page reaches it."
    )


class StreamErrorData(Payload):
    """The data of a `stream_error` event: a fault after the headers; the stream ends behind it."""

    error: str
    error_type: str


class ErrorData(Payload):
    """The body of every answer that is an error."""

    detail: str = Field(description="One sentence.")
    code: str = Field(description="What a program goes by.")


class HealthData(Payload):
    """`GET /health`: the process is alive. No dependency is asked."""

    status: Literal["ok"] = "ok"


class ReadyData(Payload):
    """`GET /ready`: whether jobs can be served, and what is missing."""

    ready: bool
    source: StateSourceName
    live: bool
    reasons: tuple[str, ...]
