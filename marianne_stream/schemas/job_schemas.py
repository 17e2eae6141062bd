"""Payloads about jobs and the roster."""

from typing import Annotated

from pydantic import Field

from marianne_stream.models import (
    Hook,
    RosterDetails,
    RosterEntry,
    Sheet,
    StateSourceName,
    Waiting,
    format_iso_time,
    is_none,
)
from marianne_stream.schemas.payload import IsoTime, Payload, is_empty, is_zero
from marianne_stream.value_limits import MAX_ERROR_CHARS

# Stalled sheets in an entry of the roster.
MAX_SUMMARY_STALLED = 20

StalledSheets = Annotated[
    tuple[int, ...],
    Field(
        exclude_if=is_empty,
        description="Running sheets without a recent sign of life; absent if there are none.",
    ),
]

Cost = Annotated[
    float | None,
    Field(exclude_if=is_none, description="US dollars, as the conductor estimates it."),
]

WaitedTime = Annotated[
    float | None,
    Field(
        exclude_if=is_none,
        description="Time since `started_at` in which the run was paused, only waited, or was over "
        "before a resume, in seconds, without the present wait; absent if unknown.",
    ),
]

EstimatedEnd = Annotated[
    str | None,
    Field(
        exclude_if=is_none,
        description="Estimated end, ISO 8601; absent if unknown, or if the job has taken longer.",
    ),
]

LastProgressAt = Annotated[
    str | None,
    Field(
        description="When this server last saw a change of status, counts or a sheet, ISO 8601; "
        "null if it has seen none."
    ),
]


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
    run: str | None = Field(
        default=None,
        exclude_if=is_none,
        description="Name of the run: its time of submission. A resume continues the run.",
    )
    started_at: str | None = Field(
        default=None, exclude_if=is_none, description="First start of the run, ISO 8601."
    )
    completed_at: str | None = Field(
        default=None, exclude_if=is_none, description="First end of the run, ISO 8601."
    )
    waited_s: WaitedTime = None
    last_activity_at: str | None = Field(
        default=None,
        exclude_if=is_none,
        description="Last sign of life: progress, a write to the log, a changed file; ISO 8601.",
    )
    eta_at: EstimatedEnd = None
    stalled: StalledSheets = ()
    waiting: Waiting | None = Field(default=None, exclude_if=is_none)
    resume_command: str | None = Field(
        default=None,
        exclude_if=is_none,
        description="Command that lets a failed, cancelled or paused job go on.",
    )
    estimated_cost: Cost = None
    input_tokens: int | None = Field(default=None, exclude_if=is_none)
    output_tokens: int | None = Field(default=None, exclude_if=is_none)
    hooks: tuple[Hook, ...] = Field(
        default=(), exclude_if=is_empty, description="Hooks that were executed after the job."
    )
    workspace: str | None = Field(
        default=None,
        exclude_if=is_none,
        description="Folder of the job; only for tokens that may see all jobs.",
    )
    score_path: str | None = Field(
        default=None,
        exclude_if=is_none,
        description="File that the job was submitted with; only for tokens that may see all jobs.",
    )


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
    started_at: str | None = Field(
        description="First start of the run, ISO 8601; the last start if the job was never watched."
    )
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
    active_sheets: int = Field(
        default=0,
        exclude_if=is_zero,
        description="Number of active sheets; absent if none is, or if the job is not watched.",
    )
    waited_s: WaitedTime = None
    waiting: Waiting | None = Field(
        default=None, exclude_if=is_none, description="Known only if the job is watched."
    )
    eta_at: EstimatedEnd = None
    stalled: tuple[int, ...] = Field(
        default=(), exclude_if=is_empty, description="As in `job_status`; the first 20."
    )
    error_message: str | None = Field(
        default=None, exclude_if=is_none, description="The first 300 characters, if known."
    )
    estimated_cost: Cost = None

    @classmethod
    def from_entry(cls, entry: RosterEntry, details: RosterDetails | None) -> "JobSummary":
        """Convert a roster entry and, if they are known, its details."""
        details = details or RosterDetails()
        message = details.error_message or entry.error_message
        return cls(
            job_id=entry.job_id,
            status=entry.status,
            submitted_at=format_iso_time(entry.submitted_at),
            started_at=details.started_at or format_iso_time(entry.started_at),
            completed_at=format_iso_time(entry.completed_at),
            completed_sheets=entry.completed_sheets,
            total_sheets=entry.total_sheets,
            current_sheet=details.current_sheet,
            active_sheets=details.active_sheets,
            updated_at=details.updated_at,
            last_progress_at=details.last_progress_at,
            waited_s=details.waited_s,
            waiting=details.waiting,
            eta_at=details.eta_at,
            stalled=details.stalled[:MAX_SUMMARY_STALLED],
            error_message=message[:MAX_ERROR_CHARS] if message is not None else None,
            estimated_cost=details.estimated_cost,
        )


class WaitingJob(Payload):
    """A job that waits now."""

    job_id: str
    status: str
    waiting: Waiting


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
