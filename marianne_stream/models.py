"""The values that cross a boundary: what the sources of state say, and what viewers are sent.

The frozen dataclasses are what the parts of the server hand to each other; the pydantic models are
what clients read, and what `/openapi.json` is made from. Nothing here asks anybody for anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SourceName = Literal["conductor", "registry", "json", "redis", "none"]

# A newer conductor may know more statuses: an unknown one is passed on, and is not terminal.
TERMINAL_STATUSES = frozenset({"completed", "failed", "cancelled"})

# A sheet in one of these is at work: the lowest of them is the current sheet.
WORKING_STATUSES = frozenset({"dispatched", "in_progress"})


def iso_time(epoch_s: float | None) -> str | None:
    """Epoch seconds as ISO 8601 in UTC with milliseconds and a `Z`; None for no time at all.

    A number that no calendar has a time for is no time, either.
    """
    if epoch_s is None:
        return None
    try:
        text = datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return None
    return text.replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Sheet:
    """One step of a score, as far as a viewer sees it."""

    number: Annotated[int, Field(description="Number of the sheet, from 1.")]
    status: Annotated[str, Field(description="Status of the sheet; unknown ones are passed on.")]
    instrument_name: Annotated[str | None, Field(description="What plays it.")] = None
    movement: Annotated[int | float | str | None, Field(description="The part it belongs to.")] = (
        None
    )
    error_message: Annotated[str | None, Field(description="Why it failed or was skipped.")] = None


@dataclass(frozen=True, slots=True)
class RosterEntry:
    """One job as a roster has it: light, and right about the status.

    Times are epoch seconds. The sheet counts are None where the source does not tell them.
    """

    job_id: str
    status: str
    submitted_at: float | None = None
    started_at: float | None = None
    completed_sheets: int | None = None
    total_sheets: int | None = None
    workspace: str | None = None

    @property
    def terminal(self) -> bool:
        """Whether the job is over, for as long as nobody runs it again."""
        return self.status in TERMINAL_STATUSES


@dataclass(frozen=True, slots=True)
class Roster:
    """All jobs that a source of state lists, at one moment."""

    entries: Mapping[str, RosterEntry]
    source: SourceName
    # Whether the source is what the jobs run in, rather than what is left of it on disk.
    live: bool


@dataclass(frozen=True, slots=True)
class JobState:
    """Everything known of one job at one moment.

    `checkpoint_status` is what the checkpoint alone says: while it differs, the state is never
    final. The paths are for the server alone and are never sent.
    """

    job_id: str
    status: str
    source: SourceName
    live: bool
    checkpoint_status: str
    job_name: str | None = None
    sheets: tuple[Sheet, ...] = ()
    total_sheets: int = 0
    current_sheet: int | None = None
    error_message: str | None = None
    submitted_at: str | None = None
    created_at: str | None = None
    started_at: str | None = None
    updated_at: str | None = None
    completed_at: str | None = None
    workspace: str | None = field(default=None, compare=False)
    worktree_path: str | None = field(default=None, compare=False)
    snapshot_path: str | None = field(default=None, compare=False)
    # Tells one run of an id from the next; the same from every source.
    run: str = ""
    completed_sheets: int = 0

    @property
    def terminal(self) -> bool:
        """Whether the status is one that a run ends with."""
        return self.status in TERMINAL_STATUSES

    @property
    def settled(self) -> bool:
        """Whether the roster and the checkpoint agree."""
        return self.status == self.checkpoint_status

    @property
    def final(self) -> bool:
        """Whether the job is over and nothing contradicts it."""
        return self.terminal and self.settled

    @property
    def progress_percent(self) -> float:
        """Completed sheets of all, 0.0 to 100.0, to one decimal."""
        if self.total_sheets <= 0:
            return 0.0
        return round(100.0 * self.completed_sheets / self.total_sheets, 1)

    @property
    def at_work(self) -> bool:
        """Whether any sheet is being played."""
        return any(sheet.status in WORKING_STATUSES for sheet in self.sheets)


@dataclass(frozen=True, slots=True)
class MonitorEvent:
    """One notification of the conductor's monitor.

    `params` are the notification's own, whole, as the JSON that the conductor wrote; `job_id` is ""
    for an event of the whole host.
    """

    job_id: str
    event: str
    params: bytes

    @property
    def announces_change(self) -> bool:
        """Whether it says that a job's state may have changed, rather than that something moved."""
        return self.event.startswith(("job.", "sheet.", "baton."))

    @property
    def of_whole_job(self) -> bool:
        """Whether it says that the job's own status may have changed."""
        return self.event.startswith("job.")


class Payload(BaseModel):
    """What a client reads: frozen, and closed to fields that nobody documented."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def json_bytes(self) -> bytes:
        """The model as one line of JSON in UTF-8."""
        return self.model_dump_json().encode()


class JobStatusData(Payload):
    """The data of a `job_status` event, and of `GET /api/jobs/{job_id}/status`."""

    job_id: str
    status: str = Field(description="Status of the job; unknown ones are passed on.")
    progress_percent: float = Field(ge=0, le=100, description="Completed sheets of all.")
    completed_sheets: int = Field(ge=0)
    total_sheets: int = Field(ge=0, description="0 while it is not known yet.")
    current_sheet: int | None = Field(description="The lowest sheet that is at work.")
    error_message: str | None = Field(description="The job's, else its first failed sheet's.")
    updated_at: str | None = Field(description="When the conductor last wrote it, ISO 8601.")

    @classmethod
    def of(cls, state: JobState) -> "JobStatusData":
        """What a viewer sees of a state."""
        return cls(
            job_id=state.job_id,
            status=state.status,
            progress_percent=state.progress_percent,
            completed_sheets=state.completed_sheets,
            total_sheets=state.total_sheets,
            current_sheet=state.current_sheet,
            error_message=state.error_message,
            updated_at=state.updated_at,
        )


class JobDetail(JobStatusData):
    """One job with its sheets: `GET /api/jobs/{job_id}`."""

    job_name: str | None
    submitted_at: str | None = Field(description="ISO 8601.")
    created_at: str | None = Field(description="ISO 8601.")
    started_at: str | None = Field(description="ISO 8601.")
    completed_at: str | None = Field(description="ISO 8601.")
    source: SourceName = Field(description="Where the state comes from.")
    live: bool = Field(description="Whether the conductor itself said it.")
    sheets: tuple[Sheet, ...]

    @classmethod
    def of(cls, state: JobState) -> "JobDetail":
        """What a program reads of a state."""
        return cls(
            **JobStatusData.of(state).model_dump(),
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
    completed_sheets: int | None = Field(description="null where the source does not tell.")
    total_sheets: int | None = Field(description="null where the source does not tell.")

    @classmethod
    def of(cls, entry: RosterEntry) -> "JobSummary":
        """What a viewer sees of an entry."""
        return cls(
            job_id=entry.job_id,
            status=entry.status,
            submitted_at=iso_time(entry.submitted_at),
            started_at=iso_time(entry.started_at),
            completed_sheets=entry.completed_sheets,
            total_sheets=entry.total_sheets,
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
    gone: tuple[str, ...]


class SourceData(Payload):
    """The data of a `source` event: where state now comes from."""

    job_id: str | None = Field(description="null on streams of more than one job.")
    source: SourceName
    live: bool = Field(description="Whether the conductor itself answers.")


class HeartbeatData(Payload):
    """The data of a `heartbeat` event."""

    timestamp: float = Field(description="Epoch seconds.")


GapReason = Literal["cursor_unknown", "slow_reader", "monitor_lost"]


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


class LogData(Payload):
    """The data of a `log` event: one line of a log."""

    line: str = Field(description="Without its line end; bytes that are no UTF-8 are U+FFFD.")
    line_number: int = Field(ge=1, description="Counts every line of the file from 1.")
    timestamp: str = Field(description="When the line was read, ISO 8601.")
    initial: bool = Field(description="Whether it was there when the stream began.")
    truncated: bool = Field(default=False, description="true on a line cut at 64 KiB, else absent.")


class LogRotatedData(Payload):
    """The data of a `log_rotated` event: line_number begins again at 1."""

    log_file: str
    reason: Literal["renamed", "truncated", "replaced"]


class LogGapData(Payload):
    """The data of a `log_gap` event: what lay between the line before and the next is gone."""

    reason: Literal["cursor_unknown", "truncated", "rotated_away"]
    lost_bytes: int | None = Field(ge=0, description="null where it is not known.")


class LogCompleteData(Payload):
    """The data of a `log_complete` event; the stream ends behind it."""

    message: str


class LogInfo(Payload):
    """`GET /api/jobs/{job_id}/logs/info`: what a log is, and where a stream would go on."""

    job_id: str
    source: Literal["job", "conductor"] = Field(description="Whose log it is.")
    log_file: str = Field(description="Its name, below the folder that it lies in.")
    size_bytes: int = Field(ge=0, description="Of the conductor's log, the job's lines alone.")
    lines: int = Field(ge=0, description="How many lines have ended.")
    last_modified: str | None = Field(description="ISO 8601.")
    cursor: str = Field(description="The position behind the last line: an id to stream from.")


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
    source: SourceName
    live: bool
    missing: tuple[str, ...]
