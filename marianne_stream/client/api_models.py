"""Bodies of responses and events, as far as the terminal uses them.

Unknown fields are ignored: a newer server may send more.
"""

from typing import Any

import msgspec


class WaitingBody(msgspec.Struct, frozen=True):
    """Reason why a job waits."""

    detail: str
    until: str | None = None
    code: str = ""
    since: str | None = None


class JobBody(msgspec.Struct, frozen=True):
    """State of a job, as the roster and the status stream have it."""

    job_id: str
    status: str
    started_at: str | None = None
    completed_at: str | None = None
    completed_sheets: int | None = None
    total_sheets: int | None = None
    current_sheet: int | None = None
    error_message: str | None = None
    waiting: WaitingBody | None = None
    stalled: list[int] = []
    eta_at: str | None = None
    estimated_cost: float | None = None
    waited_s: float | None = None
    last_progress_at: str | None = None


class StatusBody(JobBody, frozen=True):
    """Data of a `job_status` event."""

    run: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    resume_command: str | None = None


class JobPageBody(msgspec.Struct, frozen=True):
    """Page of the roster. The jobs stay as they came, since `--json` prints them."""

    jobs: list[dict[str, Any]]
    next: str | None = None


class SheetBody(msgspec.Struct, frozen=True):
    """Sheet of a job."""

    number: int
    status: str
    attempt: int | None = None
    started_at: str | None = None
    completed_at: str | None = None
    waiting_until: str | None = None
    error_message: str | None = None
    error_truncated: bool = False


class SheetErrorBody(msgspec.Struct, frozen=True):
    """Error of a sheet, in full."""

    error_message: str = ""


class SheetTimesBody(msgspec.Struct, frozen=True):
    """Status and times of one sheet."""

    status: str = ""
    attempt: int | None = None
    failed_attempts: int | None = None
    started_at: str | None = None
    completed_at: str | None = None
    observed: bool = False


class JobDetailBody(StatusBody, frozen=True):
    """A job with its sheets."""

    source: str = ""
    live: bool = True
    hooks: list[dict[str, Any]] = []
    sheets: list[SheetBody] = []


class RunBody(msgspec.Struct, frozen=True):
    """Recorded run of a job."""

    run: str
    status: str
    started_at: str | None = None
    completed_at: str | None = None
    completed_sheets: int | None = None
    total_sheets: int | None = None
    error_message: str | None = None
    waited_s: float | None = None


class RunPageBody(msgspec.Struct, frozen=True):
    """Page of runs, which stay as they came, since `--json` prints them."""

    runs: list[dict[str, Any]]


class LimitsBody(msgspec.Struct, frozen=True):
    """Limits of the conductor."""

    connections: int | None = None
    max_concurrent_jobs: int | None = None
    max_concurrent_sheets: int | None = None


class RateLimitBody(msgspec.Struct, frozen=True):
    """Rate limit of an instrument."""

    instrument: str
    until: str | None = None


class WaitingJobBody(msgspec.Struct, frozen=True):
    """Job that waits."""

    job_id: str
    waiting: WaitingBody


class ConductorBody(msgspec.Struct, frozen=True):
    """Facts about the conductor."""

    version: str | None = None
    started_at: str | None = None
    shutting_down: bool | None = None
    accepting_work: bool | None = None
    running_jobs: int | None = None
    limits: LimitsBody = LimitsBody()
    pressure_level: str | None = None
    rate_limits: list[RateLimitBody] = []
    memory_mb: float | None = None
    host_memory_available_mb: float | None = None
    load_averages: list[float] = []
    waiting: list[WaitingJobBody] = []


class ReadyBody(msgspec.Struct, frozen=True):
    """Response of `/ready`."""

    source: str
    live: bool
    reasons: list[str] = []


class SheetsBody(msgspec.Struct, frozen=True):
    """Data of a `job_sheets` event."""

    complete: bool
    sheets: list[SheetBody]


class RosterBody(msgspec.Struct, frozen=True):
    """Data of `roster`."""

    complete: bool
    jobs: list[JobBody]
    removed: list[str]


class LogLineBody(msgspec.Struct, frozen=True):
    """Data of `log`."""

    line: str
    line_number: int = 0
    truncated: bool = False
    source: str = ""
    level: str = ""
    logged_at: str = ""


class LogPageBody(msgspec.Struct, frozen=True):
    """Page of a log. The lines stay as they came, since `--json` prints them."""

    lines: list[dict[str, Any]]
    before: str | None = None
    after: str | None = None
    target: str | None = None
    source: str = ""


class FileBody(msgspec.Struct, frozen=True):
    """File or folder of a workspace."""

    path: str
    kind: str = ""
    size_bytes: int | None = None
    modified_at: str | None = None
    sheets: list[int] = []


class FileListBody(msgspec.Struct, frozen=True):
    """Files of a workspace, which stay as they came, since `--json` prints them."""

    entries: list[dict[str, Any]]
    truncated: bool = False


class HealthBody(msgspec.Struct, frozen=True):
    """A sign of life of the server."""

    status: str


class ErrorBody(msgspec.Struct, frozen=True):
    """Body of an error response."""

    detail: str
    code: str = ""


class TimelineEventBody(msgspec.Struct, frozen=True):
    """Data of a conductor's event."""

    event: str = ""
    job_id: str = ""
    sheet_num: int = 0
    data: object = None
    timestamp: float = 0.0
